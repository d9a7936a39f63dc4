"""The settings of one run: typed, checked, and saved with it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, get_args, get_origin

import yaml

from ..core.errors import UsageError
from ..core.names import check_embedding_name, labels_store_name, near_misses
from ..core.tasks import Task

Fill = Literal["hold", "zero", "drop"]


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run: what it is trained on, what is trained, and how."""

    features: tuple[str, ...]
    """Names of embeddings; concatenated in this order."""
    labels: str = "labels"
    """Name of the labels store."""
    fill: Fill = "hold"
    """What a frame without an embedding gets: the last one before it, 0 (the training mean), or it
    is dropped."""
    max_missing: float = 0.05
    """Largest share of a split's labelled frames that may lack an embedding; 1 allows any."""

    encoder: str = "gru"
    """Registered name of the temporal network."""
    framework: str = "se"
    """Registered name of how tasks share it."""
    projection: int = 128
    """Width of the linear layer in front of the encoder; 0 leaves it out."""
    input_dropout: float = 0.2
    """Share of feature dimensions left out at random, in front of that layer."""
    hidden_size: int = 128
    """Width of the encoder's output; in two directions each has half."""
    layers: int = 1
    """Layers of the encoder."""
    bidirectional: bool = True
    """Whether a frame also sees what follows it; a network that does not can run live."""
    dropout: float = 0.3
    """Share of values left out at random behind the projection and the encoder and in the heads."""
    head_hidden: tuple[int, ...] = (64,)
    """Widths of each head's hidden layers."""

    segment_length: int = 32
    """Frames of a training window."""
    stride: int = 16
    """Frames from one training window to the next."""
    batch_size: int = 8
    """Windows per step."""
    epochs: int = 40
    """Passes over the training windows; the best one by the validation split is kept."""
    learning_rate: float = 2e-3
    """Highest learning rate of AdamW."""
    weight_decay: float = 1e-2
    """Decoupled weight decay of AdamW."""
    warmup: float = 0.05
    """Share of the steps over which the learning rate rises; then it falls as a cosine."""
    clip_norm: float = 1.0
    """Largest norm of the gradient over all parameters."""

    ccc_share: float = 0.5
    """Loss of valence and arousal: this share of 1 - CCC, the rest mean squared error."""
    balance_expression: float = 0.5
    """Class weights: inverse training frequency to this power; 0 is none."""
    balance_au: float = 1.0
    """Weight of an AU's positives: (negatives / positives) to this power; 0 is none."""
    weight_valence: float = 1.0
    """Factor of the loss of valence; 0 leaves the task untrained, as for the others."""
    weight_arousal: float = 1.0
    """Factor of the loss of arousal."""
    weight_expression: float = 1.0
    """Factor of the cross-entropy of expressions."""
    weight_au: float = 1.0
    """Factor of the binary cross-entropy of action units."""

    seed: int = 0
    """Draws the network's weights and its dropout."""
    data_seed: int = 0
    """Draws the order of the windows."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    threads: int = 1
    """CPU threads of one operation. More help networks far larger than the default only: its
    matrices are so small that a second thread mostly waits."""

    def __post_init__(self) -> None:
        if not self.features:
            message = "a run needs the name of an embedding, or several joined by '+'"
            raise UsageError(message)
        for name in self.features:
            check_embedding_name(name)
        if len(set(self.features)) < len(self.features):
            message = f"each embedding can be named once, but got {'+'.join(self.features)}"
            raise UsageError(message)
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                message = f"{name} of a run must be from {low:g} to {high:g}, but got {value}"
                raise UsageError(message)
        if self.stride > self.segment_length:
            message = (
                f"stride must be at most segment_length, else frames between windows are never "
                f"seen, but got {self.stride} and {self.segment_length}"
            )
            raise UsageError(message)
        if self.bidirectional and self.hidden_size % 2:
            message = f"hidden_size must be even in two directions, but got {self.hidden_size}"
            raise UsageError(message)

        if not all(width >= 1 for width in self.head_hidden):
            widths = ",".join(map(str, self.head_hidden))
            message = f"head_hidden of a run must be widths of at least 1, but got {widths}"
            raise UsageError(message)
        if not any(self.task_weights.values()):
            message = "a run needs a task with a weight above 0, but all four weights are 0"
            raise UsageError(message)

    @property
    def task_weights(self) -> dict[Task, float]:
        """Task -> factor of its loss."""
        return {
            "valence": self.weight_valence,
            "arousal": self.weight_arousal,
            "expression": self.weight_expression,
            "au": self.weight_au,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON takes them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str) -> "RunConfig":
        """Return the config of a mapping, as read from JSON or YAML, or from texts.

        Raises:
            UsageError: a key is unknown or a value is not of its type; the message says `where`.
        """
        known = {field.name: field.type for field in fields(cls)}
        for key in values:
            if key not in known:
                message = f"a run has no setting {key!r} ({where}); {near_misses(key, known)}"
                raise UsageError(message)
        return cls(**{key: _parse(key, known[key], value) for key, value in values.items()})


_BIG: Final = 10**9
_RANGES: Final[dict[str, tuple[float, float]]] = {
    "max_missing": (0, 1),
    "projection": (0, _BIG),
    "input_dropout": (0, 0.99),
    "hidden_size": (1, _BIG),
    "layers": (1, 100),
    "dropout": (0, 0.99),
    "segment_length": (1, _BIG),
    "stride": (1, _BIG),
    "batch_size": (1, _BIG),
    "epochs": (1, _BIG),
    "learning_rate": (0, 100),
    "weight_decay": (0, 100),
    "warmup": (0, 1),
    "clip_norm": (1e-12, 1e12),
    "ccc_share": (0, 1),
    "balance_expression": (0, 2),
    "balance_au": (0, 2),
    "weight_valence": (0, 1e6),
    "weight_arousal": (0, 1e6),
    "weight_expression": (0, 1e6),
    "weight_au": (0, 1e6),
    "seed": (0, 2**63 - 1),
    "data_seed": (0, 2**63 - 1),
    "threads": (1, 1024),
}


def config_from_command(
    features: str,
    config: Path | None,
    settings: Sequence[str],
    **named: Any,  # noqa: ANN401
) -> RunConfig:
    """Return the config that a command asks for: file, then `--set`, then named options.

    Args:
        features: `A+B`.
        config: YAML file of settings, if any.
        settings: `key=value` texts.
        named: options of their own; None where not given.

    Raises:
        UsageError: a setting is unknown or cannot be read.
    """
    values: dict[str, Any] = {}
    if config is not None:
        values |= _read_yaml(config)
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals:
            message = f"--set takes key=value, but got {text!r}"
            raise UsageError(message)
        values[key.strip()] = value.strip()
    values |= {key: value for key, value in named.items() if value is not None}
    values["features"] = features.split("+")
    if "labels" in values:
        values["labels"] = labels_store_name(str(values["labels"]))
    return RunConfig.from_dict(values, str(config) if config else "--set")


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        message = f"{path} must be a YAML file of settings, but cannot be read: {error}"
        raise UsageError(message) from error
    if not isinstance(value, dict):
        message = f"{path} must hold a mapping of settings, but holds a {type(value).__name__}"
        raise UsageError(message)
    return {str(key): item for key, item in value.items()}


_NEEDED: Final = {bool: "true or false", int: "a whole number", float: "a number", str: "a name"}


def _parse(key: str, kind: Any, value: Any) -> Any:  # noqa: ANN401 - any field's type
    """Return a value of the field's type from text, JSON or YAML."""
    text = str(value).strip()
    try:
        if get_origin(kind) is tuple:
            items = value if isinstance(value, list | tuple) else text.strip("()[]").split(",")
            inner = get_args(kind)[0]
            return tuple(inner(str(item).strip()) for item in items if str(item).strip())
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if get_origin(kind) is Literal:
            if text not in get_args(kind):
                raise ValueError
            return text
        if isinstance(kind, UnionType) or kind not in {int, float, str}:
            raise TypeError
        return kind(text)
    except (ValueError, KeyError):
        if get_origin(kind) is Literal:
            needed = " or ".join(get_args(kind))
        elif get_origin(kind) is tuple:
            needed = f"{_NEEDED[get_args(kind)[0]]}, or several joined by commas"
        else:
            needed = _NEEDED[kind]
        message = f"{key} of a run must be {needed}, but got {text!r}"
        raise UsageError(message) from None
