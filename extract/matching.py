"""Tensors into a network, key by key; what does not fit is listed, what may be missing allowed."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

import torch
from torch import nn

from .checkpoints import Tensors, is_counter
from .errors import WeightsError

_SHOWN: Final = 4


@dataclass(frozen=True)
class Allowed:
    """Keys that did not match and were allowed not to."""

    missing: tuple[str, ...] = ()
    """In the network but not in the weights; these tensors now hold NaN."""
    unexpected: tuple[str, ...] = ()
    """In the weights but not in the network."""


def load_strictly(
    network: nn.Module,
    tensors: Tensors,
    backbone: str,
    source: str,
    allow_missing: Sequence[str] = (),
    allow_unexpected: Sequence[str] = (),
) -> Allowed:
    """Put tensors into a network, every one in its place.

    Args:
        network: on the CPU.
        tensors: the weights.
        backbone: name of the network, for messages.
        source: name of the weights, for messages.
        allow_missing: patterns like `head.*` of keys that the weights may lack.
        allow_unexpected: patterns of keys that the weights may have besides.

    Raises:
        WeightsError: other keys are missing, left over, or of another shape; the message names
            them. Or a tensor is not finite.
    """
    wanted = network.state_dict()
    missing = [key for key in wanted if key not in tensors and not is_counter(key)]
    unexpected = [key for key in tensors if key not in wanted]
    allowed = Allowed(
        tuple(key for key in missing if _matches(key, allow_missing)),
        tuple(key for key in unexpected if _matches(key, allow_unexpected)),
    )
    shapes = [
        f"{key} {tuple(tensors[key].shape)} instead of {tuple(wanted[key].shape)}"
        for key in wanted
        if key in tensors and tensors[key].shape != wanted[key].shape
    ]
    faults = [
        f"{len(keys)} {what} ({', '.join(keys[:_SHOWN])}{', …' if len(keys) > _SHOWN else ''})"
        for keys, what in (
            ([key for key in missing if key not in allowed.missing], "keys missing"),
            ([key for key in unexpected if key not in allowed.unexpected], "unexpected keys"),
            (shapes, "of other shapes"),
        )
        if keys
    ]
    if faults:
        message = (
            f"{source} must hold the weights of {backbone}, but has {' and '.join(faults)}; give "
            f"the backbone that they belong to"
        )
        raise WeightsError(message)
    tensors = {key: tensor for key, tensor in tensors.items() if key in wanted}
    bad = [
        key for key, item in tensors.items() if item.is_floating_point() and not _is_finite(item)
    ]
    if bad:
        message = f"{source} must hold finite weights, but {bad[0]} does not"
        raise WeightsError(message)
    whole = [key for key in allowed.missing if not wanted[key].is_floating_point()]
    if whole:
        message = (
            f"{source} lacks {whole[0]}, whole numbers that cannot be shown to be unused; it must "
            f"be there, so allow-missing must not cover it"
        )
        raise WeightsError(message)
    filled = {key: torch.zeros_like(item) for key, item in wanted.items() if is_counter(key)}
    filled |= {key: torch.full_like(wanted[key], torch.nan) for key in allowed.missing}
    network.load_state_dict(filled | tensors, strict=True)
    return allowed


def _matches(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def _is_finite(tensor: torch.Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())
