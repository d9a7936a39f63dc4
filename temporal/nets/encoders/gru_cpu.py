"""A GRU layer for processors: the same numbers as torch's, with less work for each frame.

torch's own layer runs a dozen operations a frame and, going backward, adds a gradient as large as
the recurrent weights for every frame. With the gates of all frames at hand, all that a frame's
gradient needs is a product with what is known beforehand; the weights' gradient then is one matrix
product over all frames (`bench/recurrent_layers.py`).
"""

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from .recurrent_cpu import input_gates, parts_of, product_dtype, weight_gradient


def run_gru(layer: nn.GRU, x: torch.Tensor, begin: torch.Tensor | None) -> torch.Tensor:
    """Return what one layer in one direction gives, (B, T, H).

    Args:
        layer: of one layer, `batch_first`, with biases.
        x: (B, T, F).
        begin: (B, H) before the first frame; None is zeros.
    """
    w_ih, weight, b_ih, bias = parts_of(layer)
    gates = input_gates(x, w_ih, b_ih)  # (T, B, 3H)
    if begin is None:
        begin = weight.new_zeros(x.shape[0], layer.hidden_size)
    y: torch.Tensor = _Recurrence.apply(
        gates.to(weight.dtype), begin.to(weight.dtype), weight, bias, product_dtype(weight)
    )
    return y.transpose(0, 1)


class _Recurrence(torch.autograd.Function):
    """From the input's share of the gates r, z, n (T, B, 3H) to the outputs (T, B, H).

    With g the state's share of the gates: r, z = sigmoid(i + g), n = tanh(i_n + r g_n), and the
    new state is n + z (h - n). Going backward, the gradient of g is that of the new state times a
    factor that the forward pass has settled, for each gate.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        gates: torch.Tensor,
        begin: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        dtype: torch.dtype,
    ) -> torch.Tensor:
        """Return the outputs; products are in `dtype`, and all else is in the weights'."""
        T, B, _ = gates.shape
        H = begin.shape[1]
        is_low = dtype != weight.dtype
        inner = weight.to(dtype).t()  # (H, 3H)
        # Before, and after each frame.
        h = gates.new_empty(T + 1, B, H)
        h[0] = begin
        own = gates.new_empty(T, B, 3 * H)
        rz = gates.new_empty(T, B, 2 * H)
        n = gates.new_empty(T, B, H)
        from_x, n_from_x = gates[..., : 2 * H], gates[..., 2 * H :]
        for t in range(T):
            g = own[t]
            if is_low:
                torch.add(h[t].to(dtype) @ inner, bias, out=g)
            else:
                torch.addmm(bias, h[t], inner, out=g)
            both = torch.add(from_x[t], g[:, : 2 * H], out=rz[t]).sigmoid_()
            torch.addcmul(n_from_x[t], both[:, :H], g[:, 2 * H :], out=n[t]).tanh_()
            torch.lerp(n[t], h[t], both[:, H:], out=h[t + 1])
        ctx.save_for_backward(h, own, rz, n, weight)
        ctx.dtype = dtype
        return h[1:].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> Any:  # noqa: ANN401
        """Return the gradients of gates, begin, weight and bias."""
        h, own, rz, n, weight = ctx.saved_tensors
        dtype: torch.dtype = ctx.dtype
        T, B, H = grad.shape
        r, z = rz[..., :H], rz[..., H:]
        to_n = (1 - z) * (1 - n * n)
        factor = grad.new_empty(T, B, 3, H)
        factor[:, :, 0] = to_n * own[..., 2 * H :] * r * (1 - r)
        factor[:, :, 1] = (h[:-1] - n) * z * (1 - z)
        factor[:, :, 2] = to_n * r
        # (3H, H), laid out the other way round, in which it is read faster.
        inner = weight.to(dtype).t().contiguous().t()
        d_own = grad.new_empty(T, B, 3, H, dtype=dtype)
        d_h = grad.new_empty(T, B, H)
        d_before = grad.new_zeros(B, H)
        for t in range(T - 1, -1, -1):
            d = torch.add(grad[t], d_before, out=d_h[t])
            torch.mul(factor[t], d[:, None], out=d_own[t])
            back = d_own[t].view(B, 3 * H) @ inner
            d_before = torch.addcmul(back, d, z[t])
        d_gates = grad.new_empty(T, B, 3 * H)
        flat = d_own.view(T, B, 3 * H)
        d_gates[..., : 2 * H] = flat[..., : 2 * H]
        torch.mul(d_h, to_n, out=d_gates[..., 2 * H :])
        d_weight = weight_gradient(flat, h[:-1], weight.dtype)
        return d_gates, d_before, d_weight, flat.sum((0, 1), dtype=weight.dtype), None
