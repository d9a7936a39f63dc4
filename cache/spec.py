"""What makes an embedding what it is, and the fingerprint of that."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from .errors import CacheError

Option = str | int | float | bool
Channels = Literal["rgb", "bgr", "grey", "unknown"]
StoredDtype = Literal["float16", "float32"]

Flip = Literal["no", "mirror", "mean", "unknown"]

SPEC_VERSION = 2


def canonical_json(value: object) -> str:
    """Return `value` as JSON with sorted keys, no spaces and no NaN: equal values, equal text."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


@dataclass(frozen=True, kw_only=True)
class EmbeddingSpec:
    """Identity of an embedding: two stores with equal specs hold the same thing.

    Compute precision, device and library versions are provenance, not identity; the embedding's
    name is what users call it and is not here either.
    """

    backbone: str
    """Registered name of the stage-1 network; `import:LAYOUT` of features made elsewhere."""
    weights: str
    """`sha256:<hex>` of the content of the tensors loaded, `none` for a network without any,
    `unknown` of an import, like all texts below that an import cannot tell."""
    input_size: int
    """Side of the square input, pixels; 0 where it is unknown."""
    position_table: str
    """`none`, `stored` (read from the weights), `interpolated` (read and resampled to this input
    size) or `built` (made for this input size)."""
    crop: str
    """Part of the source frame that is used. `full`: all of it is resized to the input. A fraction
    such as `0.875`: the shorter side is resized to floor(input_size / fraction), the other one in
    proportion, and the centre cut out. `squash:0.875`: both sides are resized to that length."""
    interpolation: str
    """Filter of the resize, by the name the image library gives it."""
    mean: tuple[float, ...]
    """Subtracted per channel, on the scale pixel / 255."""
    std: tuple[float, ...]
    """Divided by per channel, on the scale pixel / 255."""
    channels: Channels
    """Channel order that the network gets."""
    layer: str
    """Where in the network the vector is taken."""
    pool: str
    """How a map of tokens or pixels becomes one vector."""
    flip: Flip
    """`no`: of the frame; `mirror`: of its mirror image; `mean`: the mean of both."""
    options: dict[str, Option] = field(default_factory=dict)
    """Settings that not every embedding has: `min_side` and `max_side` (pixels; frames outside are
    failures), `code` (of a user's own module), `columns` and the like (of an import)."""
    dim: int
    """Length of one embedding."""
    dtype: StoredDtype
    """Type of the stored numbers."""
    version: int = SPEC_VERSION
    """Version of this list of fields."""

    def __post_init__(self) -> None:
        # 0 and 0.0 are one number but two texts; the fingerprint must not tell them apart.
        object.__setattr__(self, "mean", tuple(float(value) for value in self.mean))
        object.__setattr__(self, "std", tuple(float(value) for value in self.std))
        object.__setattr__(self, "options", dict(self.options))
        if self.dtype not in get_args(StoredDtype):
            message = f"dtype must be float16 or float32, but got {self.dtype!r}; choose one"
            raise CacheError(message)
        if self.channels not in get_args(Channels):
            message = (
                f"channels must be rgb, bgr, grey or unknown, but got {self.channels!r}; choose one"
            )
            raise CacheError(message)
        if self.flip not in get_args(Flip):
            message = f"flip must be no, mirror, mean or unknown, but got {self.flip!r}; choose one"
            raise CacheError(message)
        if not (isinstance(self.dim, int) and self.dim >= 1):
            message = f"dim must be a whole number of at least 1, but got {self.dim!r}"
            raise CacheError(message)

    def __hash__(self) -> int:
        return hash(self.to_json())

    def to_json(self) -> str:
        """Return the canonical JSON: what is stored, and what the fingerprint is made of."""
        return canonical_json(asdict(self))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON, 64 hexadecimal digits."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @classmethod
    def from_json(cls, text: str, where: str = "an embedding spec") -> "EmbeddingSpec":
        """Return the spec that `to_json` wrote.

        Args:
            text: the JSON.
            where: the place it was found, for the error.

        Raises:
            CacheError: the text is not JSON, of another version, or has a field too few or too
                many.
        """
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            message = f"{where} must be JSON, but {error}"
            raise CacheError(message) from error
        version = value.get("version") if isinstance(value, dict) else None
        if isinstance(version, int) and version != SPEC_VERSION:
            do = (
                "remove the store and extract it again" if version < SPEC_VERSION else "update abaw"
            )
            message = (
                f"{where} must have version {SPEC_VERSION} of EmbeddingSpec, the one that this "
                f"abaw reads, but has version {version}; {do}"
            )
            raise CacheError(message)
        known = {item.name for item in fields(cls)}
        found = set(value) if isinstance(value, dict) else set()
        if found != known:
            message = (
                f"{where} must have the fields of an EmbeddingSpec, but lacks "
                f"{sorted(known - found)} and has besides {sorted(found - known)}; "
                f"it may come from another version of abaw"
            )
            raise CacheError(message)
        return cls(**value)

    def differences(self, other: "EmbeddingSpec") -> list[tuple[str, Any, Any]]:
        """Return (field, mine, theirs) of every field that differs, options one by one."""
        found: list[tuple[str, Any, Any]] = []
        for item in fields(self):
            mine, theirs = getattr(self, item.name), getattr(other, item.name)
            if item.name != "options":
                if mine != theirs:
                    found.append((item.name, mine, theirs))
                continue
            for key in sorted(set(mine) | set(theirs)):
                pair = mine.get(key), theirs.get(key)
                if canonical_json(pair[0]) != canonical_json(pair[1]):
                    found.append((f"options.{key}", *pair))
        return found
