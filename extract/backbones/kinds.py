"""What a backbone is: how it is built, started from a seed, and what it accepts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import nn

from ...cache.spec import Channels, Option
from ...core.registry import Registry
from .base import Reading, Trunk
from .settings import Settings

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class BackboneKind:
    """A backbone: registered, any network of timm, or a user's own module."""

    name: str
    defaults: Settings
    channels: Channels
    pools: tuple[str, ...]
    """What `pool` may be at the final layer."""
    build: Callable[[Settings, int], nn.Module]
    """Builds the network, with a classifier of so many classes, 0 for none. Unless `is_whole`, it
    may be on the meta device: the parameters get their values later."""
    trunk: Trunk
    """Runs the network up to its last unpooled output."""
    readings: Mapping[str, Reading] = field(default_factory=dict)
    """Pools of the final layer that need more than the form of the trunk's output."""
    logits: Mapping[str, Reading] = field(default_factory=dict)
    """Pools from which the classifier goes on, each as the reading that ends in its output."""
    classifiers: tuple[str, ...] = ()
    """Submodules that make up the classifier; their weights are loaded only where it is read."""
    n_classes: int = 0
    """Classes of the classifier under random weights; 0 if it then has none."""
    initialise: Callable[[nn.Module, torch.Generator], None] | None = None
    """Sets every parameter and buffer from a seed, the classifier apart."""
    draw: Callable[[Settings, int, int], nn.Module] | None = None
    """For networks that set their own first values: as `build`, from the seed that comes last."""
    has_weights: bool = True
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
    has_penultimate: bool = True
    """Whether the final layer is what a classifier would go on from."""
    pool_aliases: Mapping[str, str] = field(default_factory=dict)
    channels_last: bool = True
    cpu_batch_size: int = 8
    """Frames per forward pass on a CPU by default: for most networks more only miss its caches."""
    cpu_batch_size_bf16: int = 8
    """The same in bfloat16, where activations take half the room."""
    is_whole: bool = False
    """Whether `build` returns all that the state dict does not hold, so never on meta."""
    hub_id: str | None = None
    """What `--weights pretrained` stands for."""
    accepts_own: bool = False
    """Whether `--weights own` is possible: a user's module that brings its weights."""
    objective: str = "supervised"
    """How published weights of this family were learnt."""
    formats: str = "insightface, timm or own state dict"
    """Which checkpoints it reads, for people."""
    dim: int = 0
    """Length of an embedding at the default settings; 0 where it is not known beforehand."""
    options: Mapping[str, Option] = field(default_factory=dict)
    """Further identity: the code of a user's own module."""

    def is_classifier_key(self, key: str) -> bool:
        """Whether a state-dict key belongs to the classifier."""
        return key.startswith(tuple(f"{name}." for name in self.classifiers))

    def reads_classifier(self, settings: Settings) -> bool:
        """Whether these settings read the classifier's output or something inside it."""
        layer = settings.layer
        return layer == "logits" or layer in self.classifiers or self.is_classifier_key(layer)


BACKBONES: Final[Registry[BackboneKind]] = Registry("backbone")
