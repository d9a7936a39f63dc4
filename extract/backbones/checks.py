"""Runs a filled network on noise: whether a frame reaches the embedding, and a tensor does not."""

from collections.abc import Sequence
from typing import Final

import torch
from torch import nn

from ..errors import WeightsError
from .base import Embedder
from .kinds import BackboneKind
from .layers import blank_frames
from .settings import Settings

_PROBE_SEED: Final = 0
_LEAST_CHANGE: Final = 1e-4
"""Of the largest value of an embedding: less is not told apart in float16."""


def check_unused(
    kind: BackboneKind,
    network: nn.Module,
    settings: Settings,
    embedder: Embedder,
    missing: Sequence[str],
    source: str,
) -> None:
    """Refuse keys that may be missing but are used: with NaN in them the embedding is not finite.

    Raises:
        WeightsError: the embedding depends on one of them; the message names the first.
    """
    if not missing:
        return
    frames = _noise(kind, network, settings)
    if _is_finite(embedder, frames):
        return
    state = network.state_dict()
    with torch.no_grad():
        for key in missing:
            state[key].zero_()
        for key in missing:
            state[key].fill_(torch.nan)
            if not _is_finite(embedder, frames):
                break
            state[key].zero_()
    message = (
        f"{source} lacks {key}, on which the embedding of {kind.name} at layer={settings.layer} "
        f"depends, so it cannot be allowed to be missing; give complete weights, or narrow the "
        f"pattern of --allow-missing"
    )
    raise WeightsError(message)


def check_alive(
    kind: BackboneKind, network: nn.Module, settings: Settings, embedder: Embedder
) -> None:
    """Refuse a random start from which nothing of a frame arrives at the embedding.

    Some networks need trained norms or gates for that: activations that a hundred layers halve
    are 0 in float16, and a store of zeros looks like any other.

    Raises:
        WeightsError: two different frames have one embedding, or it is not finite.
    """
    with torch.inference_mode():
        found = embedder(_noise(kind, network, settings))
    least = _LEAST_CHANGE * float(found.abs().max())
    if settings.dtype == "float16":
        found = found.half().float()
        least = max(least, torch.finfo(torch.float16).tiny)  # below, numbers lose their digits
    if torch.isfinite(found).all() and float((found[0] - found[1]).abs().max()) > least:
        return
    message = (
        f"random weights of {kind.name} must give embeddings that differ from frame to frame, but "
        f"as {settings.dtype} they do not (largest value {float(found.abs().max()):.1e}); use "
        f"trained weights, another layer or another backbone"
    )
    raise WeightsError(message)


def _noise(kind: BackboneKind, network: nn.Module, settings: Settings) -> torch.Tensor:
    """Return normalised frames of noise on the CPU, (2, C, S, S), the same in every call."""
    shape = blank_frames(kind, network, settings).shape
    return torch.randn(shape, generator=torch.Generator().manual_seed(_PROBE_SEED))


def _is_finite(embedder: Embedder, frames: torch.Tensor) -> bool:
    with torch.inference_mode():
        return bool(torch.isfinite(embedder(frames)).all())
