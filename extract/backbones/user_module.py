"""A user's own module as a backbone: `file.py:factory`, or an entry point of `abaw.backbones`.

The factory takes no arguments and returns a module that maps normalised frames (B, C, S, S) to a
vector (B, D), tokens (B, N, D) or a map (B, D, H, W). The module may have an attribute
`abaw_settings`, a dictionary of defaults: any setting (`input_size`, `mean`, `std`,
`interpolation`, `crop`, `pool`, …), `channels` (rgb, bgr or grey) and `objective` (supervised or
unsupervised). An attribute `num_prefix_tokens` says how many of its tokens come before those of
patches, the class token first.

Naming a file runs its code: nothing here shuts it in.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import Any, Final

import torch
from torch import nn

from ...core.errors import UsageError
from ...core.user_code import UserFile, callable_of, failing_in, package_of
from ..checkpoints import parse_seed
from .kinds import BackboneKind
from .settings import Settings, resolve_settings

GROUP: Final = "abaw.backbones"
_DEFAULTS: Final = Settings(
    input_size=224,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    interpolation="bicubic",
    pool="",
)
"""Where `abaw_settings` says nothing: ImageNet's, as most published networks have them."""
_OBJECTIVES: Final = ("supervised", "unsupervised")


def kind_of_file(name: str, weights: str) -> BackboneKind:
    """Return the backbone that a function in a file makes, the function already called.

    Args:
        name: `file.py:factory`; `~` is the home folder.
        weights: under `random:SEED` the function is called with torch seeded so.

    Raises:
        UsageError: the file or the function is not there, or fails, or makes no module.
    """
    file, factory_name = UserFile.of(name, "backbone")
    short = f"{file.path.name}:{factory_name}"
    with failing_in(_needed(short), file.path), file.running() as module:
        network = _made(callable_of(module, factory_name, file.path, "function"), weights)
    return _kind(short, network, file.digest())


def kind_of_entry_point(point: EntryPoint, weights: str) -> BackboneKind:
    """Return the backbone of an installed package, its factory already called.

    Raises:
        UsageError: the package's code fails or makes no module.
    """
    where = f"{point.name} of {package_of(point)}"
    with failing_in(_needed(where), None):
        network = _made(point.load(), weights)
    return _kind(point.name, network, package_of(point))


def _made(factory: Callable[[], Any], weights: str) -> object:
    """Return what the factory makes, with torch's global generator left as it was."""
    with torch.random.fork_rng(devices=[]):
        seed = parse_seed(weights)
        if seed is not None:
            torch.manual_seed(seed)
        return factory()


def _needed(name: str) -> str:
    return f"the backbone {name} must make a module"


def _kind(name: str, network: object, code: str) -> BackboneKind:
    if not isinstance(network, nn.Module):
        message = (
            f"the factory of the backbone {name} must return a torch.nn.Module, but returned a "
            f"{type(network).__name__}; have it return the network"
        )
        raise UsageError(message)
    network = network.to(device="cpu", dtype=torch.float32)
    given = getattr(network, "abaw_settings", {})
    if not isinstance(given, Mapping):
        message = f"abaw_settings of {name} must be a dictionary, but is a {type(given).__name__}"
        raise UsageError(message)
    given = dict(given)
    channels = given.pop("channels", "rgb")
    objective = given.pop("objective", "unknown")
    if channels not in ("rgb", "bgr", "grey"):
        message = f"channels in abaw_settings of {name} must be rgb, bgr or grey, but is {channels}"
        raise UsageError(message)
    if objective not in (*_OBJECTIVES, "unknown"):
        message = (
            f"objective in abaw_settings of {name} must be {' or '.join(_OBJECTIVES)}, but is "
            f"{objective}"
        )
        raise UsageError(message)
    kind = BackboneKind(
        name=name,
        defaults=_DEFAULTS,
        channels=channels,
        pools=("none", "cls", "mean", "grid3"),
        build=lambda settings, n_classes: network,
        draw=lambda settings, n_classes, seed: network,
        trunk=lambda module, frames: module(frames),
        has_penultimate=False,
        is_whole=True,
        accepts_own=True,
        objective=objective,
        formats="own state dict (.pth, .safetensors), own",
        options={"code": code},
    )
    try:
        return replace(kind, defaults=resolve_settings(kind, given))
    except UsageError as error:
        message = f"{error} (abaw_settings of {name})"
        raise UsageError(message) from error
