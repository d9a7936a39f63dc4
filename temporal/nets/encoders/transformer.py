"""A transformer over frames, one or both directions."""

from dataclasses import dataclass
from typing import Final, cast

import torch
import torch.nn.functional as F
from torch import nn

from ....core.errors import UsageError
from ...config import RunConfig
from ..dropout import Dropout
from ..state import State
from .attention import View, attend, view_back, view_near, view_of_all
from .base import ENCODERS, Encoder
from .padding import lengths, may_be_padded
from .positions import Turn, sinusoidal, turned, turns

_LOOK_EVERY: Final = 1024
"""An accelerator is asked only once in so many frames how much of the past can be let go."""


@dataclass(frozen=True)
class Past:
    """Keys and values of the frames before a segment, each row's newest at the end."""

    seen: torch.Tensor
    """(B,) frames of the video that came before; the slots beyond them are empty."""
    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    """Keys and values of each layer, (B, heads, P, d)."""

    def is_real(self) -> torch.Tensor:
        """Return which of the P slots hold a frame, (B, P)."""
        P = self.layers[0][0].shape[2]
        return torch.arange(P, device=self.seen.device) >= P - self.seen[:, None]


@ENCODERS.register("transformer")
class TransformerEncoder(Encoder):
    """Self-attention layers; with `norm=post` and `positions=none` the published encoder.

    A linear layer comes first where F is not H. Padding is never attended to. In one direction the
    state carries keys and values, so that segments of any lengths give what the whole sequence
    gives; with `attention_context` n it holds n frames, else all since the start of the video.

    Args:
        n_features: F.
        config: `hidden_size` (H), `heads`, `ffn_size`, `norm`, `positions`, `attention_context`,
            `dropout`, `bidirectional`.
        layers: how many layers.

    Raises:
        UsageError: H cannot be shared out among the heads.
    """

    def __init__(self, n_features: int, config: RunConfig, layers: int) -> None:
        super().__init__()
        _check_heads(config)
        self.n_outputs = config.hidden_size
        self.is_causal = not config.bidirectional
        self.positions = config.positions
        self.context = config.attention_context
        self.heads = config.heads
        self.width = config.hidden_size // config.heads
        self.affine: nn.Linear | None = None
        if n_features != config.hidden_size:
            self.affine = nn.Linear(n_features, config.hidden_size)
        self.layers = nn.ModuleList(TransformerLayer(config) for _ in range(layers))
        self.norm = nn.LayerNorm(config.hidden_size) if config.norm == "pre" else None

    def forward(
        self, features: torch.Tensor, is_frame: torch.Tensor, state: State = None
    ) -> tuple[torch.Tensor, State]:
        """Return (B, T, H) and, in one direction, the state.

        That is (frames seen (B,), (keys, values) of each layer, (B, heads, P, d)).
        """
        x = features if self.affine is None else self.affine(features)
        T, device = x.shape[1], x.device
        past = self._past(x, state) if self.is_causal else None
        is_padded = may_be_padded(is_frame, is_training=self.training)
        view = self._view(is_frame, past, is_padded=is_padded)
        place = torch.arange(T, device=device)[None]  # (1, T)
        if past is not None:
            place = place + past.seen[:, None]  # (B, T)
        if self.positions == "sinusoidal":
            x = x + sinusoidal(place, self.n_outputs, x.dtype)
        turn = turns(place, self.width, x.dtype) if self.positions == "rotary" else None
        found = []
        for number, layer in enumerate(self.layers):
            before = None if past is None else past.layers[number]
            x, keys, values = layer(x, view, turn, before)
            found.append((keys, values))
        if self.norm is not None:
            x = self.norm(x)
        return x, self._state(found, is_frame, past, is_padded=is_padded)

    def _past(self, x: torch.Tensor, state: State) -> Past | None:
        """Return what a state holds; at the start of videos None, or `context` empty slots."""
        if state is not None:
            return Past(*cast(tuple[torch.Tensor, tuple[tuple[torch.Tensor, torch.Tensor]]], state))
        if not self.context:
            return None
        seen = torch.zeros(len(x), dtype=torch.long, device=x.device)
        empty = x.new_zeros(len(x), self.heads, self.context, self.width)
        return Past(seen, ((empty, empty),) * len(self.layers))

    def _view(self, is_frame: torch.Tensor, past: Past | None, *, is_padded: bool) -> View:
        is_past = None if past is None else past.is_real()
        if self.context:
            return view_near(is_frame, is_past, self.context, is_padded=is_padded)
        if self.is_causal:
            return view_back(is_frame, is_past)
        return view_of_all(is_frame, is_padded=is_padded)

    def _state(
        self,
        found: list[tuple[torch.Tensor, torch.Tensor]],
        is_frame: torch.Tensor,
        past: Past | None,
        *,
        is_padded: bool,
    ) -> State:
        """Return the state after each row's last real frame.

        Args:
            found: keys and values of each layer (B, heads, P + T, d), the past's in front.
            is_frame: (B, T).
            past: what was before.
            is_padded: False only if all frames are real.
        """
        if not self.is_causal:
            return None
        T, n_keys = is_frame.shape[1], found[0][0].shape[2]
        length = lengths(is_frame)
        seen = length if past is None else past.seen + length
        n = self.context or n_keys - _free(seen, n_keys, T)
        if not is_padded:
            return seen, tuple((k[:, :, n_keys - n :], v[:, :, n_keys - n :]) for k, v in found)
        # Each row's padding goes out at the end, so that its newest frame comes to stand there.
        slot = torch.arange(n_keys - n, n_keys, device=seen.device) - (T - length)[:, None]
        slot = slot.clamp(min=0)[:, None, :, None]  # (B, 1, n, 1)
        return seen, tuple((_taken(keys, slot), _taken(values, slot)) for keys, values in found)


def _free(seen: torch.Tensor, n_keys: int, T: int) -> int:
    """Return how many of the oldest slots hold no row's frame, as far as is known.

    Without a context every frame of a video is kept, but not those of the videos before it.
    """
    is_due = n_keys // _LOOK_EVERY > (n_keys - T) // _LOOK_EVERY
    if seen.device.type != "cpu" and not is_due:
        return 0
    return n_keys - max(1, int(seen.max()))


def _taken(keys: torch.Tensor, slot: torch.Tensor) -> torch.Tensor:
    """Return the keys (B, heads, n, d) in the slots (B, 1, n, 1)."""
    B, heads, _, d = keys.shape
    return keys.gather(2, slot.expand(B, heads, -1, d))


class TransformerLayer(nn.Module):
    """Self-attention and a feed-forward network, each with a residual sum.

    Dropout is where torch's own layer has it: on the weights of attention, on both branches, and
    inside the feed-forward network.

    Args:
        config: as for the encoder.
    """

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        width, hidden = config.hidden_size, config.ffn_size or 2 * config.hidden_size
        self.heads = config.heads
        self.is_pre = config.norm == "pre"
        self.projection_in = nn.Linear(width, 3 * width)
        self.projection_out = nn.Linear(width, width)
        self.linear1 = nn.Linear(width, hidden)
        self.linear2 = nn.Linear(hidden, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = Dropout(config.dropout)
        nn.init.xavier_uniform_(self.projection_in.weight)
        nn.init.zeros_(self.projection_in.bias)
        nn.init.zeros_(self.projection_out.bias)

    def forward(
        self,
        x: torch.Tensor,
        view: View,
        turn: Turn | None,
        past: tuple[torch.Tensor, torch.Tensor] | None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return (B, T, H), and keys and values (B, heads, P + T, d).

        Args:
            x: (B, T, H).
            view: what each frame sees.
            turn: of queries and keys, if positions are rotary.
            past: keys and values (B, heads, P, d) of earlier segments.
        """
        y, keys, values = self._attention(self.norm1(x) if self.is_pre else x, view, turn, past)
        x = x + self.dropout(y)
        if not self.is_pre:
            x = self.norm1(x)
        y = self._feed_forward(self.norm2(x) if self.is_pre else x)
        x = x + self.dropout(y)
        return (x if self.is_pre else self.norm2(x)), keys, values

    def _attention(
        self,
        x: torch.Tensor,
        view: View,
        turn: Turn | None,
        past: tuple[torch.Tensor, torch.Tensor] | None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        split = self.projection_in(x).unflatten(2, (3, self.heads, -1))  # (B, T, 3, heads, d)
        q, k, v = split.permute(2, 0, 3, 1, 4)  # (B, heads, T, d)
        if turn is not None:
            q, k = turned(q, turn), turned(k, turn)
        if past is not None:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        y = attend(q, k, v, view, self.dropout.p if self.training else 0.0)
        return self.projection_out(y.transpose(1, 2).flatten(2)), k, v

    def _feed_forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.linear2(self.dropout(F.relu(self.linear1(x))))
        return y


def _check_heads(config: RunConfig) -> None:
    """Refuse a width that the heads cannot share.

    Raises:
        UsageError: it is not a multiple of them, or a rotary head's width is odd.
    """
    width, heads = config.hidden_size, config.heads
    if width % heads:
        message = (
            f"hidden_size of a transformer must be a multiple of its heads, but got {width} and "
            f"{heads} heads; change hidden_size, heads or task_heads"
        )
        raise UsageError(message)
    if config.positions == "rotary" and width // heads % 2:
        message = (
            f"positions=rotary needs heads of an even width, but hidden_size {width} with {heads} "
            f"heads gives {width // heads}; change one of them, or use positions=sinusoidal"
        )
        raise UsageError(message)
