"""An LSTM layer for processors: the same numbers as torch's, with less work for each frame.

torch's own layer is one kernel, in fp32 only, which computes the gradient of its inputs even where
nobody asks for it. Here, as in `gru_cpu`, the gates' input share and the weights' gradient are one
product each over all frames, a frame's gradient is a product with what is known beforehand, and
products are in the precision that is asked for (`bench/recurrent_layers.py`).
"""

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from .recurrent_cpu import input_gates, parts_of, product_dtype, weight_gradient


def run_lstm(
    layer: nn.LSTM, x: torch.Tensor, begin: tuple[torch.Tensor, ...] | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what one layer in one direction gives, and its cell after each frame: (B, T, H) each.

    Args:
        layer: of one layer, `batch_first`, with biases.
        x: (B, T, F).
        begin: output and cell (B, H) before the first frame; None is zeros.
    """
    w_ih, weight, b_ih, b_hh = parts_of(layer)
    gates = input_gates(x, w_ih)  # (T, B, 4H)
    if begin is None:
        begin = (weight.new_zeros(x.shape[0], layer.hidden_size),) * 2
    h, c = (part.to(weight.dtype) for part in begin)
    y, cells = _Recurrence.apply(gates, h, c, weight, b_ih + b_hh, product_dtype(weight))
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
        gates: torch.Tensor,
        h_begin: torch.Tensor,
        c_begin: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        dtype: torch.dtype,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return outputs and cells; products are in `dtype`, and all else is in the weights'."""
        T, B, _ = gates.shape
        H = h_begin.shape[1]
        inner = weight.to(dtype).t()  # (H, 4H)
        is_low = dtype != weight.dtype
        opened = torch.add(gates, bias)  # (T, B, 4H)
        # Before, and after each frame.
        h, c = weight.new_empty(T + 1, B, H), weight.new_empty(T + 1, B, H)
        h[0], c[0] = h_begin, c_begin
        g, tanh_c = weight.new_empty(T, B, H), weight.new_empty(T, B, H)
        factors = h.to(dtype)  # of the products: h itself, unless it has to be rounded
        before = factors.unbind()
        frames = zip(opened.unbind(), c.unbind(), g.unbind(), tanh_c.unbind(), h[1:], strict=False)
        cells = c.unbind()
        for t, (a, cell, new, squashed, out) in enumerate(frames):
            if is_low:
                a.add_(before[t] @ inner)
            else:
                a.addmm_(before[t], inner)
            torch.tanh(a[:, 2 * H : 3 * H], out=new)
            a.sigmoid_()  # of g too, which costs less than to go around it
            i, f, _, o = a.split(H, 1)
            torch.mul(i, new, out=cells[t + 1]).addcmul_(f, cell)
            torch.mul(o, torch.tanh(cells[t + 1], out=squashed), out=out)
            if is_low:
                before[t + 1].copy_(out)
        ctx.save_for_backward(factors, c, opened, g, tanh_c, weight)
        ctx.set_materialize_grads(False)
        return h[1:], c[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_y: torch.Tensor | None, d_c: torch.Tensor | None) -> Any:  # noqa: ANN401
        """Return the gradients of gates, output and cell at the beginning, weight and bias."""
        before, c, opened, g, tanh_c, weight = ctx.saved_tensors
        T, B, H = g.shape
        i, f, _, o = opened.view(T, B, 4, H).unbind(2)
        # Of the sums for i, f, g by the cell's gradient, of that for o by the output's.
        factor = weight.new_empty(T, B, 4, H)
        aten = torch.ops.aten
        aten.sigmoid_backward.grad_input(g, i, grad_input=factor[:, :, 0])
        aten.sigmoid_backward.grad_input(c[:-1], f, grad_input=factor[:, :, 1])
        aten.tanh_backward.grad_input(i, g, grad_input=factor[:, :, 2])
        aten.sigmoid_backward.grad_input(tanh_c, o, grad_input=factor[:, :, 3])
        to_cell = aten.tanh_backward(o, tanh_c)
        inner = weight.to(before.dtype)  # (4H, H)
        d_gates = before.new_empty(T, B, 4, H)
        d_h, d_cell = weight.new_zeros(B, H), weight.new_zeros(B, H)
        for t in range(T - 1, -1, -1):
            if d_y is not None:
                d_h = d_h + d_y[t]
            if d_c is not None:
                d_cell = d_cell + d_c[t]
            d_cell = torch.addcmul(d_cell, d_h, to_cell[t])
            d = d_gates[t]
            torch.mul(factor[t, :, :3], d_cell[:, None], out=d[:, :3])
            torch.mul(factor[t, :, 3], d_h, out=d[:, 3])
            d_h = d.view(B, 4 * H) @ inner
            d_cell = d_cell * f[t]
        rows = d_gates.view(T, B, 4 * H)
        d_weight = weight_gradient(rows, before[:-1], weight.dtype)
        d_bias = rows.sum((0, 1), dtype=weight.dtype)
        return rows, d_h.to(weight.dtype), d_cell, d_weight, d_bias, None
