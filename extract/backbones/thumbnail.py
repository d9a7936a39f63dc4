"""Grey thumbnails: what any embedding has to be compared with."""

import torch
from torch import nn

from .base import BACKBONES, BackboneKind, Embedder, Settings


def _build(settings: Settings) -> Embedder:
    def flat(_: nn.Module, frames: torch.Tensor) -> torch.Tensor:
        return frames.flatten(1)

    return Embedder(nn.Identity(), flat, settings.input_size**2, flip=settings.flip)


BACKBONES.add(
    "thumbnail",
    BackboneKind(
        name="thumbnail",
        defaults=Settings(
            input_size=12, mean=(0.0,), std=(1.0,), interpolation="area", pool="none"
        ),
        channels="grey",
        pools=("none",),
        build=_build,
        initialise=None,
        channels_last=False,
        objective="none",
        formats="none: it has no weights",
    ),
)
