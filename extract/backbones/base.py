"""What a backbone is: how it is built, started from a seed, and what it accepts."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import nn

from ...cache.spec import Channels
from ...core.errors import UsageError
from ...core.names import near_misses
from ...core.registry import Registry

Tensors = dict[str, torch.Tensor]

INTERPOLATIONS: Final = ("bilinear", "bicubic", "opencv-bilinear", "area")
"""Resizing filters: the first two with antialiasing, as Pillow has them; `opencv-bilinear` takes
the nearest four pixels whatever the scale, as `cv2.resize` does; `area` averages."""
DTYPES: Final = ("float16", "float32")


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
    layer: str = "final"
    flip: bool = False
    """The mean of the frame's and its mirror image's embedding is taken, at twice the cost."""
    dtype: str = "float16"
    """Type the embeddings are stored in."""


class Embedder(nn.Module):
    """A network and how its output becomes one vector a frame.

    Args:
        network: owns the weights; its state-dict keys are those of published checkpoints.
        pooled: from the network and a batch (B, C, S, S) to (B, D).
        dim: D.
        flip: average in the mirror image.
    """

    def __init__(
        self,
        network: nn.Module,
        pooled: Callable[[Any, torch.Tensor], torch.Tensor],
        dim: int,
        *,
        flip: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self._pooled = pooled
        self.dim = dim
        self._flip = flip

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the embeddings (B, D) of normalised frames (B, C, S, S)."""
        embedding = self._pooled(self.network, frames)
        if self._flip:
            mirrored = self._pooled(self.network, frames.flip(3))
            embedding = (embedding.float() + mirrored.float()) / 2
        return embedding


@dataclass(frozen=True, kw_only=True)
class BackboneKind:
    """A registered backbone."""

    name: str
    defaults: Settings
    channels: Channels
    pools: tuple[str, ...]
    build: Callable[[Settings], Embedder]
    """Builds the network, also on the meta device: its parameters get their values later."""
    initialise: Callable[[nn.Module, torch.Generator], None] | None
    """Sets every parameter and buffer from a seed; None for a network without parameters."""
    adapt: Callable[[Tensors, Settings], tuple[Tensors, list[str]]] = field(
        default=lambda tensors, _: (tensors, [])
    )
    """From a checkpoint's tensors to the network's, and the keys left out on purpose."""
    position_table: Callable[[nn.Module], str | None] = field(default=lambda _: None)
    """Key of the network's position table, if it has one."""
    smallest_input: int = 1
    """Smallest side, pixels, that leaves something to pool."""
    fixed_input: bool = False
    """The architecture allows no other input size."""
    pool_aliases: Mapping[str, str] = field(default_factory=dict)
    channels_last: bool = True
    hub_id: str | None = None
    """What `--weights pretrained` stands for."""
    objective: str = "supervised"
    """How published weights of this family were learnt."""
    formats: str = "insightface, timm or own state dict"
    """Which checkpoints it reads, for people."""


BACKBONES: Final[Registry[BackboneKind]] = Registry("backbone")


def resolve_settings(kind: BackboneKind, given: Mapping[str, Any]) -> Settings:
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
    settings = Settings(**values)
    n_channels = 1 if kind.channels == "grey" else 3
    for key in ("mean", "std"):
        if len(values[key]) != n_channels:
            message = (
                f"{key} of {kind.name} needs {n_channels} numbers on the scale pixel / 255, one a "
                f"channel, but got {len(values[key])}"
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
    return settings


def _parse(kind: BackboneKind, key: str, value: object) -> object:
    choices = {
        "pool": (*kind.pools, *kind.pool_aliases),
        "layer": ("final",),
        "dtype": DTYPES,
        "interpolation": INTERPOLATIONS,
        "flip": ("true", "false"),
    }
    text = str(value).strip()
    if key in choices:
        text = text.lower() if key == "flip" else text
        if text not in choices[key]:
            message = f"{key} of {kind.name} must be {' or '.join(choices[key])}, but got {text!r}"
            raise UsageError(message)
        return text == "true" if key == "flip" else kind.pool_aliases.get(text, text)
    try:
        if key == "input_size":
            size = int(text)
            if not 1 <= size <= 4096:
                raise ValueError
            return size
        texts = value if isinstance(value, list | tuple) else text.strip("[]() ").split(",")
        numbers = tuple(float(number) for number in texts)
        if not all(map(math.isfinite, numbers)):
            raise ValueError
        return numbers
    except (TypeError, ValueError):
        needed = (
            "a whole number from 1 to 4096" if key == "input_size" else "numbers like 0.5,0.5,0.5"
        )
        message = f"{key} of {kind.name} must be {needed}, but got {text!r}"
        raise UsageError(message) from None


def forward_all(embedders: Sequence[Embedder], frames: torch.Tensor) -> list[torch.Tensor]:
    """Return the embeddings (B, D) of each of `embedders`, which share one network."""
    return [embedder(frames) for embedder in embedders]
