"""What can be set about one embedding, and reading it from text or YAML."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ...cache.spec import Flip
from ...core.errors import UsageError
from ...core.names import near_misses

if TYPE_CHECKING:
    from .kinds import BackboneKind

INTERPOLATIONS: Final = ("bilinear", "bicubic", "opencv-bilinear", "area")
"""Resizing filters: the first two with antialiasing, as Pillow has them; `opencv-bilinear` takes
the nearest four pixels whatever the scale, as `cv2.resize` does; `area` averages."""
DTYPES: Final = ("float16", "float32")
FLIPS: Final[Mapping[str, Flip]] = {
    "no": "no",
    "mirror": "mirror",
    "mean": "mean",
    "false": "no",
    "true": "mirror",
}
LAYER_POOLS: Final = ("none", "cls", "mean", "grid3")
"""What `pool` may be at a submodule's output, as its form allows."""
_LARGEST_SIDE: Final = 4096


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set about one embedding, resolved."""

    input_size: int
    """Side of the square input, pixels."""
    mean: tuple[float, ...]
    """Subtracted per channel, on the scale pixel / 255."""
    std: tuple[float, ...]
    """Divided by per channel, on the scale pixel / 255."""
    interpolation: str
    """One of `INTERPOLATIONS`."""
    pool: str
    """How a map of tokens or pixels becomes a vector; empty: what the form of the output asks for.
    """
    crop: str = "full"
    """`full`: the frame is resized to the input. A fraction: the shorter side is resized to
    input_size / fraction, and the centre cut out. `squash:` and a fraction: both sides are."""
    layer: str = "final"
    """`final`, `logits` (the classifier's output) or the path of a submodule."""
    flip: Flip = "no"
    """`mirror`: the embedding is that of the mirror image; `mean`: the mean of both, at twice the
    cost."""
    dtype: str = "float16"
    """Type the embeddings are stored in."""
    position_table: str = "stored"
    """`interpolate`: a stored table of another input size is resampled to this one."""
    min_side: int = 0
    """Frames whose shorter side is below this, pixels, are failures; 0 for no limit."""
    max_side: int = 0
    """Frames whose longer side is above this, pixels, are failures; 0 for no limit."""


def resolve_settings(kind: "BackboneKind", given: Mapping[str, Any]) -> Settings:
    """Return the kind's defaults with what was given put in.

    Args:
        kind: the backbone.
        given: key -> value, as text from the command line or as YAML reads it.

    Raises:
        UsageError: a key is unknown, or a value is not one of those allowed.
    """
    values: dict[str, Any] = dict(vars(kind.defaults))
    for key, value in given.items():
        if key not in values:
            message = f"{kind.name} has no setting {key!r}; {near_misses(key, values)}"
            raise UsageError(message)
        values[key] = _parse(kind, key, value)
    _resolve_layer_and_pool(kind, values, is_pool_given="pool" in given)
    settings = Settings(**values)
    _check(kind, settings)
    return settings


def _resolve_layer_and_pool(
    kind: "BackboneKind", values: dict[str, Any], *, is_pool_given: bool
) -> None:
    """Replace aliases, and find the pools that the layer allows."""
    if values["layer"] == "penultimate":
        if not kind.has_penultimate:
            message = (
                f"{kind.name} has no classifier, so no penultimate layer; leave layer out or name "
                f"a submodule"
            )
            raise UsageError(message)
        values["layer"] = "final"
    layer, pool = values["layer"], values["pool"]
    if layer == "final":
        allowed: tuple[str, ...] = kind.pools
        pool = kind.pool_aliases.get(pool, pool)
    elif layer == "logits":
        if not kind.logits:
            message = (
                f"{kind.name} has no classifier, so no layer=logits; leave layer out or name a "
                f"submodule"
            )
            raise UsageError(message)
        allowed = tuple(kind.logits)
        pool = kind.pool_aliases.get(pool, pool)
        if not is_pool_given and pool not in allowed:
            pool = allowed[0]
    else:
        allowed = LAYER_POOLS
        if not is_pool_given:
            pool = ""  # as the form of the output asks for
    if pool not in allowed and (pool or is_pool_given):
        at = "" if layer == "final" else f" at layer={layer}"
        aliases = kind.pool_aliases if layer in ("final", "logits") else {}
        names = (*allowed, *(alias for alias, name in aliases.items() if name in allowed))
        message = f"pool of {kind.name}{at} must be {' or '.join(names)}, but got {pool!r}"
        raise UsageError(message)
    values["pool"] = pool


def _check(kind: "BackboneKind", settings: Settings) -> None:
    n_channels = 1 if kind.channels == "grey" else 3
    for key in ("mean", "std"):
        numbers = getattr(settings, key)
        if len(numbers) != n_channels:
            message = (
                f"{key} of {kind.name} needs {n_channels} numbers on the scale pixel / 255, one a "
                f"channel, but got {len(numbers)}"
            )
            raise UsageError(message)
    if min(settings.std) <= 0:
        message = f"std of {kind.name} must be above 0, but got {', '.join(map(str, settings.std))}"
        raise UsageError(message)
    if settings.input_size < kind.smallest_input:
        message = (
            f"input_size of {kind.name} must be at least {kind.smallest_input}, but got "
            f"{settings.input_size}"
        )
        raise UsageError(message)
    if kind.fixed_input and settings.input_size != kind.defaults.input_size:
        message = (
            f"{kind.name} is built for input_size={kind.defaults.input_size}, but got "
            f"{settings.input_size}; leave input_size out"
        )
        raise UsageError(message)
    if settings.max_side and settings.min_side > settings.max_side:
        message = (
            f"min_side of {kind.name} must not be above max_side, but got {settings.min_side} and "
            f"{settings.max_side}"
        )
        raise UsageError(message)


def _parse(kind: "BackboneKind", key: str, value: object) -> object:
    text = str(value).strip()
    choices: dict[str, tuple[str, ...]] = {
        "dtype": DTYPES,
        "interpolation": INTERPOLATIONS,
        "flip": ("no", "mirror", "mean", "true", "false"),
        "position_table": ("stored", "interpolate"),
    }
    if key in choices:
        text = text.lower() if key == "flip" else text
        if text not in choices[key]:
            message = f"{key} of {kind.name} must be {' or '.join(choices[key])}, but got {text!r}"
            raise UsageError(message)
        return FLIPS[text] if key == "flip" else text
    readers: dict[str, tuple[Callable[[], object], str]] = {
        "pool": (lambda: text, "a name"),
        "layer": (lambda: _filled(text), "final, logits, penultimate or a submodule like layer3"),
        "crop": (lambda: parse_crop(text), "full, a fraction like 0.875, or squash:0.95"),
        "input_size": (lambda: _whole(text, 1), f"a whole number from 1 to {_LARGEST_SIDE}"),
        "min_side": (lambda: _whole(text, 0), f"a whole number from 0 to {_LARGEST_SIDE}"),
        "max_side": (lambda: _whole(text, 0), f"a whole number from 0 to {_LARGEST_SIDE}"),
        "mean": (lambda: _numbers(value), "numbers like 0.5,0.5,0.5"),
        "std": (lambda: _numbers(value), "numbers like 0.5,0.5,0.5"),
    }
    read, needed = readers[key]
    try:
        return read()
    except (TypeError, ValueError):
        message = f"{key} of {kind.name} must be {needed}, but got {text!r}"
        raise UsageError(message) from None


def parse_crop(text: str) -> str:
    """Return a crop in its one written form; resizing both sides to the input is `full`.

    Raises:
        ValueError: it is none.

    >>> parse_crop("0.8750"), parse_crop("squash:1"), parse_crop("1")
    ('0.875', 'full', '1.0')
    """
    if text == "full":
        return text
    squash, number = text.startswith("squash:"), text.removeprefix("squash:")
    fraction = float(number)
    if not 0.1 <= fraction <= 1:
        raise ValueError
    if squash:
        return "full" if fraction == 1 else f"squash:{fraction}"
    return str(fraction)


def _filled(text: str) -> str:
    if not text:
        raise ValueError
    return text


def _whole(text: str, least: int) -> int:
    number = int(text)
    if not least <= number <= _LARGEST_SIDE:
        raise ValueError
    return number


def _numbers(value: object) -> tuple[float, ...]:
    texts = value if isinstance(value, list | tuple) else str(value).strip("[]() ").split(",")
    numbers = tuple(float(number) for number in texts)
    if not all(map(math.isfinite, numbers)):
        raise ValueError
    return numbers
