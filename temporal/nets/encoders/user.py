"""A user's own encoder: `file.py:Class`, or an entry point of `abaw.encoders`.

The class is called with the number of features F, the run's config and the number of layers, and
is an `Encoder`. It is built, and tried on two short segments, before anything is trained.

Naming a file runs its code: nothing here shuts it in.
"""

import inspect
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any, Final

import torch

from ....core.errors import UsageError
from ....core.user_code import UserFile, callable_of, failing_in, package_of
from ...config import RunConfig
from ..state import State
from .base import Encoder

GROUP: Final = "abaw.encoders"
_LENGTHS: Final = (5, 3)
"""Real frames of the segments that an encoder is tried on."""


def encoder_of_file(
    name: str, n_features: int, config: RunConfig, layers: int
) -> tuple[Encoder, str]:
    """Return the encoder of a class in a file, and the hash of the code that ran for it.

    Args:
        name: `file.py:Class`; `~` is the home folder.
        n_features: F.
        config: the run's settings.
        layers: how many layers.

    Raises:
        UsageError: the file or the class is not there, or fails, or is no encoder.
    """
    file, class_name = UserFile.of(name, "encoder")
    short = f"{file.path.name}:{class_name}"
    with failing_in(f"the encoder {short} must be built and run", file.path):
        with file.running() as module:
            found = callable_of(module, class_name, file.path, "class")
            encoder = _made(short, found, n_features, config, layers)
        return encoder, file.digest()


def encoder_of_entry_point(
    point: EntryPoint, n_features: int, config: RunConfig, layers: int
) -> tuple[Encoder, str]:
    """Return the encoder of an installed package, and the package's name and version.

    Raises:
        UsageError: the package's code fails, or is no encoder.
    """
    where = f"{point.name} of {package_of(point)}"
    with failing_in(f"the encoder {where} must be built and run", None):
        return _made(where, point.load(), n_features, config, layers), package_of(point)


def _made(
    name: str, builder: Callable[..., Any], n_features: int, config: RunConfig, layers: int
) -> Encoder:
    """Return what the class makes, checked."""
    try:
        inspect.signature(builder).bind(n_features, config, layers)
    except TypeError as error:
        message = (
            f"the encoder {name} must be called with (n_features, config, layers), but is "
            f"{builder.__name__}{inspect.signature(builder)}: {error}; change its arguments"
        )
        raise UsageError(message) from error
    encoder = builder(n_features, config, layers)
    if not isinstance(encoder, Encoder):
        message = (
            f"the encoder {name} must be an abaw.temporal.nets.encoders.Encoder, but is a "
            f"{type(encoder).__name__} that is none; have its class extend Encoder"
        )
        raise UsageError(message)
    for attribute, kind in (("n_outputs", int), ("is_causal", bool)):
        value = getattr(encoder, attribute, None)
        if type(value) is not kind:
            message = (
                f"{attribute} of the encoder {name} must be {_ARTICLE[kind]}, but is {value!r}; "
                f"set it in __init__"
            )
            raise UsageError(message)
    _try(name, encoder, n_features)
    return encoder


_ARTICLE: Final[dict[type, str]] = {int: "an int, its output's width", bool: "True or False"}


def _try(name: str, encoder: Encoder, n_features: int) -> None:
    """Run the encoder on two segments, one of them padded, and check what it gives."""
    B, T = len(_LENGTHS), max(_LENGTHS)
    weights = next(encoder.parameters(), torch.zeros(()))
    features = torch.zeros(B, T, n_features, dtype=weights.dtype, device=weights.device)
    is_frame = torch.arange(T)[None] < torch.tensor(_LENGTHS)[:, None]
    was_training = encoder.training
    encoder.eval()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        found = encoder(features, is_frame.to(weights.device))
        if not isinstance(found, tuple) or len(found) != 2:
            message = (
                f"the encoder {name} must return (outputs, state), but returns a "
                f"{type(found).__name__}; return None as the state if it carries none"
            )
            raise UsageError(message)
        y, state = found
        needed = (B, T, encoder.n_outputs)
        shape = tuple(y.shape) if isinstance(y, torch.Tensor) else type(y).__name__
        if shape != needed:
            message = (
                f"the encoder {name} must give {needed}, as its n_outputs says, for features "
                f"{tuple(features.shape)}, but gives {shape}; change its forward, or n_outputs"
            )
            raise UsageError(message)
        _check_state(name, encoder, state, B)
        encoder(features, is_frame.to(weights.device), state)
    encoder.train(was_training)


def _check_state(name: str, encoder: Encoder, state: State, B: int) -> None:
    if state is not None and not encoder.is_causal:
        message = (
            f"the encoder {name} must return no state, for its is_causal is False, but returns "
            f"one; return None"
        )
        raise UsageError(message)
    wrong = _wrong_part(state, B)
    if wrong is not None:
        message = (
            f"the state of the encoder {name} must be tensors with the batch ({B}) first, or "
            f"tuples of such, but holds {wrong}; change what its forward returns"
        )
        raise UsageError(message)


def _wrong_part(state: object, B: int) -> str | None:
    """Return what in a state is neither a tensor of B rows nor a tuple, if anything."""
    if state is None:
        return None
    if isinstance(state, torch.Tensor):
        is_right = state.ndim > 0 and len(state) == B
        return None if is_right else f"a tensor of shape {tuple(state.shape)}"
    if isinstance(state, tuple):
        found = (_wrong_part(part, B) for part in state)
        return next((part for part in found if part is not None), None)
    return f"a {type(state).__name__}"
