"""Grey thumbnails: what any embedding has to be compared with."""

from torch import nn

from .kinds import BACKBONES, BackboneKind
from .settings import Settings

BACKBONES.add(
    "thumbnail",
    BackboneKind(
        name="thumbnail",
        defaults=Settings(
            input_size=12, mean=(0.0,), std=(1.0,), interpolation="area", pool="none"
        ),
        channels="grey",
        pools=("none",),
        build=lambda settings, n_classes: nn.Identity(),
        trunk=lambda network, frames: network(frames),
        readings={"none": lambda network, pixels: pixels.flatten(1)},
        has_weights=False,
        has_penultimate=False,
        channels_last=False,
        cpu_batch_size=64,
        cpu_batch_size_bf16=64,
        objective="none",
        formats="none: it has no weights",
        dim=144,
    ),
)
