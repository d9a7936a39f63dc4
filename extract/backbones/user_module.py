"""A user's own module as a backbone: `file.py:factory`, or an entry point of `abaw.backbones`.

The factory takes no arguments and returns a module that maps normalised frames (B, C, S, S) to a
vector (B, D), tokens (B, N, D) or a map (B, D, H, W). The module may have an attribute
`abaw_settings`, a dictionary of defaults: any setting (`input_size`, `mean`, `std`,
`interpolation`, `crop`, `pool`, …), `channels` (rgb, bgr or grey) and `objective` (supervised or
unsupervised). An attribute `num_prefix_tokens` says how many of its tokens come before those of
patches, the class token first.

Naming a file runs its code: nothing here shuts it in.
"""

import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from ...core.errors import UsageError
from ...core.names import near_misses
from ..checkpoints import parse_seed
from .kinds import BackboneKind
from .settings import Settings, resolve_settings
from .user_code import UserFile

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


def is_file(name: str) -> bool:
    """Whether a backbone's name is of the form `file.py:factory`."""
    path, colon, _ = name.rpartition(":")
    return bool(colon) and path.endswith(".py")


def installed() -> dict[str, EntryPoint]:
    """Return the backbones that installed packages offer, by name; nothing of them is loaded."""
    return {point.name: point for point in entry_points(group=GROUP)}


def package_of(point: EntryPoint) -> str:
    """Return name and version of the package that offers an entry point."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def kind_of_file(name: str, weights: str) -> BackboneKind:
    """Return the backbone that a function in a file makes, the function already called.

    Args:
        name: `file.py:factory`; `~` is the home folder.
        weights: under `random:SEED` the function is called with torch seeded so.

    Raises:
        UsageError: the file or the function is not there, or fails, or makes no module.
    """
    text, _, factory_name = name.rpartition(":")
    path = Path(text).expanduser()
    short = f"{path.name}:{factory_name}"
    if not path.is_file():
        message = f"the file of the backbone {name} must exist, but {path} does not; check the path"
        raise UsageError(message)
    file = UserFile(path)
    with _naming(short, path), file.running() as module:
        factory = getattr(module, factory_name, None)
        if not callable(factory):
            known = [key for key, item in vars(module).items() if callable(item)]
            message = (
                f"{path} must have a function {factory_name!r}, but has none; "
                f"{near_misses(factory_name, known)}"
            )
            raise UsageError(message)
        network = _made(factory, weights)
    return _kind(short, network, file.digest())


def kind_of_entry_point(point: EntryPoint, weights: str) -> BackboneKind:
    """Return the backbone of an installed package, its factory already called.

    Raises:
        UsageError: the package's code fails or makes no module.
    """
    where = f"{point.name} of {package_of(point)}"
    with _naming(where, None):
        network = _made(point.load(), weights)
    return _kind(point.name, network, package_of(point))


def _made(factory: Callable[[], Any], weights: str) -> object:
    """Return what the factory makes, with torch's global generator left as it was."""
    with torch.random.fork_rng(devices=[]):
        seed = parse_seed(weights)
        if seed is not None:
            torch.manual_seed(seed)
        return factory()


@contextmanager
def _naming(name: str, path: Path | None) -> Iterator[None]:
    """Have an error in a user's code say where it is; its traceback stays as the cause."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        message = (
            f"the backbone {name} must make a module, but its code fails {_place(error, path)}"
        )
        raise UsageError(message) from error


def _place(error: Exception, path: Path | None) -> str:
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if path is not None and frame.filename == str(path)
    ]
    if isinstance(error, SyntaxError):
        lines = [error.lineno]
    at = f"in line {lines[-1]} of {path}" if lines else "while it is loaded"
    return f"{at}: {type(error).__name__}: {error}; mend it"


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
