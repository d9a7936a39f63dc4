"""GRU layers, one or both directions."""

import torch
from torch import nn

from ...config import RunConfig
from ..state import State
from .base import ENCODERS, Encoder


@ENCODERS.register("gru")
class GruEncoder(Encoder):
    """Stacked GRU layers with dropout between them and on the output.

    In one direction it is the published encoder (two layers, dropout 0.3), and its state may be
    carried over segments. In both directions, the backward layer starts at each sequence's own
    last real frame, so padding is never seen; a segment then has to be a video, or is a window
    that stands for itself.

    Args:
        n_features: F.
        config: `hidden_size` (H in one direction, H / 2 in each of two), `dropout`,
            `bidirectional`.
        layers: how many layers.
    """

    def __init__(self, n_features: int, config: RunConfig, layers: int) -> None:
        super().__init__()
        self.is_causal = not config.bidirectional
        self.n_outputs = config.hidden_size
        width = config.hidden_size // 2 if config.bidirectional else config.hidden_size
        sizes = [n_features] + [config.hidden_size] * (layers - 1)
        self.onward = nn.ModuleList(nn.GRU(size, width, batch_first=True) for size in sizes)
        self.backward_: nn.ModuleList | None = None
        if config.bidirectional:
            self.backward_ = nn.ModuleList(nn.GRU(size, width, batch_first=True) for size in sizes)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, features: torch.Tensor, is_frame: torch.Tensor, state: State = None
    ) -> tuple[torch.Tensor, State]:
        """Return (B, T, H) and, in one direction, the state (B, layers, H)."""
        x, states = features, []
        length = is_frame.sum(dim=1)  # (B,)
        order = None if self.backward_ is None else _reversing(is_frame)
        for number, layer in enumerate(self.onward):
            if number:
                x = self.dropout(x)
            begin = None
            if isinstance(state, torch.Tensor):
                begin = state[:, number][None].contiguous()  # (1, B, H)
            y, _ = layer(x, begin)  # (B, T, width)
            if self.backward_ is None:
                states.append(_last(y, length, begin))
            elif order is not None:
                turned, _ = self.backward_[number](_reordered(x, order))
                y = torch.cat([y, _reordered(turned, order)], dim=2)  # (B, T, H)
            x = y
        return self.dropout(x), torch.stack(states, dim=1) if states else None


def _last(y: torch.Tensor, length: torch.Tensor, begin: torch.Tensor | None) -> torch.Tensor:
    """Return the state (B, H) after the last real frame; without one, the state before."""
    place = (length - 1).clamp(min=0)
    last = y[torch.arange(len(y), device=y.device), place]  # (B, H)
    before = torch.zeros_like(last) if begin is None else begin[0]
    return torch.where(length[:, None] > 0, last, before)


def _reversing(is_frame: torch.Tensor) -> torch.Tensor:
    """Return the order (B, T) that reverses the real frames and leaves padding where it is.

    It is its own inverse.
    """
    place = torch.arange(is_frame.shape[1], device=is_frame.device).expand(is_frame.shape)
    mirrored = is_frame.sum(dim=1, keepdim=True) - 1 - place
    return torch.where(is_frame, mirrored, place)


def _reordered(x: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    return x.gather(1, order[:, :, None].expand_as(x))
