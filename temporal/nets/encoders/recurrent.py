"""GRU and LSTM layers, one or both directions."""

from abc import abstractmethod
from typing import Final

import torch
import torch.nn.functional as F
from torch import nn

from ...config import RunConfig
from ..dropout import Dropout
from ..state import State
from .base import ENCODERS, Encoder
from .gru_cpu import run_gru
from .lstm_cpu import run_lstm
from .padding import lengths, may_be_padded, reordered, reversing
from .recurrent_cpu import product_dtype

LEAST_LSTM: Final = 8 * 512
"""Rows times width of an LSTM layer from which this project's own, in bf16, is the quicker one on a
processor: what a product gains there then outweighs that frames are gone through one by one."""

Memory = tuple[torch.Tensor, ...]
"""What one layer keeps after a frame: tensors (B, H); a GRU has one, an LSTM two."""


class RecurrentEncoder(Encoder):
    """Stacked recurrent layers with dropout between them and on the output.

    In one direction the state may be carried over segments. In both directions, the backward layer
    starts at each sequence's own last real frame, so padding is never seen; a segment then has to
    be a video, or is a window that stands for itself.

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
        self.onward = nn.ModuleList(self.layer(size, width) for size in sizes)
        self.backward_: nn.ModuleList | None = None
        if config.bidirectional:
            self.backward_ = nn.ModuleList(self.layer(size, width) for size in sizes)
        self.dropout = Dropout(config.dropout)

    @staticmethod
    @abstractmethod
    def layer(n_inputs: int, width: int) -> nn.Module:
        """Return one layer in one direction, of batches (B, T, n_inputs)."""

    def trains_on_cpu(self, x: torch.Tensor) -> bool:
        """Return whether a layer's gradient may be asked for on a processor, uncompiled.

        Layers of this project's own are made for that.
        """
        is_wanted = x.device.type == "cpu" and torch.is_grad_enabled()
        return is_wanted and not torch.compiler.is_compiling()

    @abstractmethod
    def run(
        self, layer: nn.Module, x: torch.Tensor, length: torch.Tensor | None, begin: Memory | None
    ) -> tuple[torch.Tensor, Memory]:
        """Return what a layer gives (B, T, H), and its memory after each row's last real frame.

        Args:
            layer: made by `layer`.
            x: (B, T, …).
            length: (B,) real frames of each row; None if none is padded.
            begin: the memory before the first frame; None is zeros.
        """

    def forward(
        self, features: torch.Tensor, is_frame: torch.Tensor, state: State = None
    ) -> tuple[torch.Tensor, State]:
        """Return (B, T, H) and, in one direction, the state: tensors (B, layers, H)."""
        x = features
        if self.backward_ is not None:
            order = reversing(is_frame)
            for number, (onward, back) in enumerate(zip(self.onward, self.backward_, strict=True)):
                if number:
                    x = self.dropout(x)
                y, _ = self.run(onward, x, None, None)  # (B, T, H / 2)
                turned, _ = self.run(back, reordered(x, order), None, None)
                x = torch.cat([y, reordered(turned, order)], dim=2)  # (B, T, H)
            return self.dropout(x), None
        is_padded = may_be_padded(is_frame, is_training=self.training)
        length = lengths(is_frame) if is_padded else None
        before = () if state is None else state if isinstance(state, tuple) else (state,)
        memories: list[Memory] = []
        for number, onward in enumerate(self.onward):
            if number:
                x = self.dropout(x)
            begin = tuple(part[:, number] for part in before if isinstance(part, torch.Tensor))
            x, memory = self.run(onward, x, length, begin or None)
            memories.append(memory)
        after = tuple(torch.stack(parts, dim=1) for parts in zip(*memories, strict=True))
        return self.dropout(x), after if len(after) > 1 else after[0]


@ENCODERS.register("gru")
class GruEncoder(RecurrentEncoder):
    """Stacked GRU layers; in one direction, two of them are the published encoder.

    The state is a tensor (B, layers, H).
    """

    @staticmethod
    def layer(n_inputs: int, width: int) -> nn.Module:
        """Return one layer in one direction, of batches (B, T, n_inputs)."""
        return nn.GRU(n_inputs, width, batch_first=True)

    def run(
        self, layer: nn.Module, x: torch.Tensor, length: torch.Tensor | None, begin: Memory | None
    ) -> tuple[torch.Tensor, Memory]:
        """Return what a layer gives, and (its output at each row's last real frame,)."""
        assert isinstance(layer, nn.GRU)
        if self.trains_on_cpu(x):
            y = run_gru(layer, x, None if begin is None else begin[0])
        else:
            y, _ = layer(x, None if begin is None else begin[0][None].contiguous())
        if length is None:
            return y, (y[:, -1],)
        return y, (_at_last(y, length, begin[0] if begin else None),)


@ENCODERS.register("lstm")
class LstmEncoder(RecurrentEncoder):
    """Stacked LSTM layers; in one direction, one without dropout is the published encoder.

    The state is a pair of tensors (B, layers, H): outputs and cells.
    """

    @staticmethod
    def layer(n_inputs: int, width: int) -> nn.Module:
        """Return one layer in one direction, of batches (B, T, n_inputs)."""
        return nn.LSTM(n_inputs, width, batch_first=True)

    def run(
        self, layer: nn.Module, x: torch.Tensor, length: torch.Tensor | None, begin: Memory | None
    ) -> tuple[torch.Tensor, Memory]:
        """Return what a layer gives, and (output, cell) after each row's last real frame."""
        assert isinstance(layer, nn.LSTM)
        h, c = begin if begin is not None else (None, None)
        if self.trains_on_cpu(x) and _is_own_lstm_quicker(layer, x):
            y, cells = run_lstm(layer, x, begin)
            if length is None:
                return y, (y[:, -1], cells[:, -1])
            return y, (_at_last(y, length, h), _at_last(cells, length, c))
        first = None if begin is None else tuple(part[None].contiguous() for part in begin)
        if x.device.type == "cpu":
            dtype = layer.all_weights[0][0].dtype
            first = None if first is None else tuple(part.to(dtype) for part in first)
            # The kernel in bf16 rounds the cell, too, after every frame, which long memories do not
            # bear, and not every processor has it.
            with torch.autocast("cpu", enabled=False):
                y, last = layer(x.to(dtype), first)
        else:
            y, last = layer(x, first)
        if length is None:
            return y, (last[0][0], last[1][0])
        h, c = begin if begin is not None else (torch.zeros_like(y[:, 0]),) * 2  # (B, H)
        return y, (_at_last(y, length, h), _cell_at_last(layer, x, y, length, (h, c)))


def _is_own_lstm_quicker(layer: nn.LSTM, x: torch.Tensor) -> bool:
    """Return whether `run_lstm` takes less time than torch's layer, which is one kernel in fp32.

    It does where products are in bf16 and take most of the time (`bench/recurrent_layers.py`).
    """
    weight = layer.all_weights[0][1]
    is_low = product_dtype(weight) != weight.dtype
    return is_low and x.shape[0] * layer.hidden_size >= LEAST_LSTM


def _at_last(y: torch.Tensor, length: torch.Tensor, begin: torch.Tensor | None) -> torch.Tensor:
    """Return (B, H) at the last real frame of each row; without one, what was before."""
    place = (length - 1).clamp(min=0)
    last = y[torch.arange(len(y), device=y.device), place]  # (B, H)
    before = torch.zeros_like(last) if begin is None else begin
    return torch.where(length[:, None] > 0, last, before)


def _cell_at_last(
    layer: nn.LSTM, x: torch.Tensor, y: torch.Tensor, length: torch.Tensor, begin: Memory
) -> torch.Tensor:
    """Return the cell (B, H) after the last real frame of each row.

    Torch tells the cell after the last frame only, which may be padding, and packed sequences need
    the lengths on the host. Outputs being known, the gates of all frames are one matrix product,
    and c_t = f_t c_(t-1) + i_t g_t is a weighted sum: each term decays by the forget gates that
    follow it.
    """
    h, c = begin
    before = torch.cat([h[:, None], y[:, :-1]], dim=1)  # (B, T, H), the outputs one frame earlier
    from_x, from_h, bias_x, bias_h = layer.all_weights[0]
    gates = F.linear(x, from_x, bias_x) + F.linear(before, from_h, bias_h)  # (B, T, 4 H)
    enter, forget, new, _ = gates.chunk(4, dim=2)
    is_frame = torch.arange(x.shape[1], device=x.device) < length[:, None]  # (B, T)
    zero = torch.zeros((), dtype=x.dtype, device=x.device)
    decay = torch.where(is_frame[..., None], F.logsigmoid(forget), zero)
    until = decay.flip(1).cumsum(1).flip(1)  # from each frame to the last real one
    after = torch.cat([until[:, 1:], torch.zeros_like(until[:, :1])], dim=1)
    added = torch.where(is_frame[..., None], enter.sigmoid() * new.tanh(), zero)
    return c * until[:, 0].exp() + (added * after.exp()).sum(dim=1)
