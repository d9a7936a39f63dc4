"""An LSTM layer for processors: the same numbers as torch's, with less work for each frame.

torch's own layer is one kernel, in fp32 only, which computes the gradient of its inputs even where
nobody asks for it. Here, as in `gru_cpu`, the gates' input share and the weights' gradient are one
product each over all frames, a frame's gradient is a product with what is known beforehand, and
products are in the precision that is asked for (`bench/recurrent_layers.py`).
"""

from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from .recurrent_cpu import input_gates, parts_of, product_dtype, weight_gradient

_CHUNK: Final = 16
"""Frames whose factors are computed together: they stay in the cache until they are used."""


def run_lstm(
    layer: nn.LSTM, x: torch.Tensor, begin: tuple[torch.Tensor, ...] | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what one layer in one direction gives, and its cell after each frame: (B, T, H) each.

    Under autocast the former is in its dtype, as torch's layer has it; the cell never is.

    Args:
        layer: of one layer, `batch_first`, with biases.
        x: (B, T, F).
        begin: output and cell (B, H) before the first frame; None is zeros.
    """
    w_ih, weight, b_ih, b_hh = parts_of(layer)
    from_x = input_gates(x, w_ih)  # (T, B, 4H); biases are added in the precision of the rest
    if begin is None:
        begin = (weight.new_zeros(x.shape[0], layer.hidden_size),) * 2
    h, c = (part.to(weight.dtype) for part in begin)
    y, cells = _Recurrence.apply(from_x, h, c, weight, b_ih + b_hh, product_dtype(weight))
    return y.transpose(0, 1), cells.transpose(0, 1)


class _Recurrence(torch.autograd.Function):
    """From the input's share of the gates i, f, g, o (T, B, 4H) to outputs and cells (T, B, H).

    Of the sums with the state's share, i, f, o are the sigmoid and g the tanh; the new cell is
    f c + i g, and the output o tanh of it. Going backward, the gradient of a gate's sum is that of
    the cell, for o that of the output, times a factor that the forward pass has settled.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        from_x: torch.Tensor,
        h_begin: torch.Tensor,
        c_begin: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        dtype: torch.dtype,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return outputs and cells; products and outputs are in `dtype`, and all else is not."""
        T, B, _ = from_x.shape
        H = h_begin.shape[1]
        inner = weight.to(dtype).t()  # (H, 4H)
        is_low = dtype != weight.dtype
        # Before, and after each frame.
        h, c = weight.new_empty(T + 1, B, H, dtype=dtype), weight.new_empty(T + 1, B, H)
        h[0], c[0] = h_begin, c_begin
        gates = weight.new_empty(T, B, 4 * H)
        g, tanh_c = weight.new_empty(T, B, H), weight.new_empty(T, B, H)
        # Frame by frame beforehand: a look-up in a tuple costs less than one in a tensor.
        share, gate, y, cell, new, tanh = (
            part.unbind() for part in (from_x, gates, h, c, g, tanh_c)
        )
        for t in range(T):
            a = torch.add(share[t], bias, out=gate[t])
            if is_low:
                a.add_(y[t] @ inner)
            else:
                a.addmm_(y[t], inner)
            torch.tanh(a[:, 2 * H : 3 * H], out=new[t])
            i, f, _, o = a.sigmoid_().chunk(4, 1)  # of g too: to leave it out costs more
            torch.mul(i, new[t], out=cell[t + 1]).addcmul_(f, cell[t])
            torch.mul(o, torch.tanh(cell[t + 1], out=tanh[t]), out=y[t + 1])
        ctx.save_for_backward(gates, c, h, g, tanh_c, weight)
        ctx.set_materialize_grads(False)
        return h[1:], c[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_y: torch.Tensor | None, d_c: torch.Tensor | None) -> Any:  # noqa: ANN401
        """Return the gradients of from_x, h_begin, c_begin, weight and bias."""
        gates, c, h, g, tanh_c, weight = ctx.saved_tensors
        T, B, H = g.shape
        inner = weight.to(h.dtype)  # (4H, H)
        rows = h.new_empty(T, B, 4 * H)
        d_gates = rows.view(T, B, 4, H)
        row, by_c, by_h, from_y = (
            part.unbind()
            for part in (
                *(rows, d_gates[:, :, :3], d_gates[:, :, 3]),
                torch.zeros_like(g) if d_y is None else d_y.to(g.dtype),
            )
        )
        d_before, d_cell = weight.new_zeros(B, H), weight.new_zeros(B, H)
        for t, factor, to_cell, forget in _factors(gates, c, g, tanh_c):
            d_h = d_before + from_y[t]
            if d_c is not None:
                d_cell = d_cell + d_c[t]
            d_cell = torch.addcmul(d_cell, d_h, to_cell)
            torch.mul(factor[:, :3], d_cell[:, None], out=by_c[t])
            torch.mul(factor[:, 3], d_h, out=by_h[t])
            d_before = row[t] @ inner
            d_cell = d_cell * forget
        d_weight = weight_gradient(rows, h[:-1], weight.dtype)
        d_bias = rows.sum((0, 1)).to(weight.dtype)
        return rows, d_before.to(weight.dtype), d_cell, d_weight, d_bias, None


def _factors(
    gates: torch.Tensor, c: torch.Tensor, g: torch.Tensor, tanh_c: torch.Tensor
) -> Iterator[tuple[int, torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Yield what gradients are multiplied by, from the last frame to the first.

    Yields:
        The frame; (B, 4, H) for the sums of i, f, g of the cell's gradient, of o of the output's;
        (B, H) for the cell's of the output's; (B, H) for that of the cell before of the cell's.
    """
    T, B, H = g.shape
    factor, to_cell = g.new_empty(_CHUNK, B, 4, H), g.new_empty(_CHUNK, B, H)
    aten = torch.ops.aten
    for start in reversed(range(0, T, _CHUNK)):
        n = min(_CHUNK, T - start)
        part = slice(start, start + n)
        i, f, _, o = gates[part].view(n, B, 4, H).unbind(2)
        by_i, by_f, by_g, by_o = factor[:n].unbind(2)
        aten.sigmoid_backward.grad_input(g[part], i, grad_input=by_i)
        aten.sigmoid_backward.grad_input(c[part], f, grad_input=by_f)
        aten.tanh_backward.grad_input(i, g[part], grad_input=by_g)
        aten.sigmoid_backward.grad_input(tanh_c[part], o, grad_input=by_o)
        aten.tanh_backward.grad_input(o, tanh_c[part], grad_input=to_cell[:n])
        for place in reversed(range(n)):
            yield start + place, factor[place], to_cell[place], f[place]
