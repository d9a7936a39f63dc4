"""A GRU layer for processors: the same numbers as torch's, with less work for each frame.

torch's own layer runs a dozen operations a frame and, going backward, adds a gradient as large as
the recurrent weights for every frame. With the gates of all frames at hand, all that a frame's
gradient needs is a product with what is known beforehand; the weights' gradient then is one matrix
product over all frames (`bench/gru_layer.py`).
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn


def run_gru(layer: nn.GRU, x: torch.Tensor, begin: torch.Tensor | None) -> torch.Tensor:
    """Return what one layer in one direction gives, (B, T, H).

    Args:
        layer: of one layer, `batch_first`, with biases.
        x: (B, T, F).
        begin: (B, H) before the first frame; None is zeros.
    """
    w_ih, weight, b_ih, bias = (cast(torch.Tensor, part) for part in layer.all_weights[0])
    gates = F.linear(x, w_ih, b_ih).transpose(0, 1)  # (T, B, 3H)
    low = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
    if begin is None:
        begin = weight.new_zeros(x.shape[0], layer.hidden_size)
    y: torch.Tensor = _Recurrence.apply(
        gates.to(weight.dtype), begin.to(weight.dtype), weight, bias, low
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
        low: torch.dtype | None,
    ) -> torch.Tensor:
        """Return the outputs; matrix products are in `low`, if that is given."""
        T, B, _ = gates.shape
        H = begin.shape[1]
        inner = (weight if low is None else weight.to(low)).t()  # (H, 3H)
        # Before, and after each frame.
        h = gates.new_empty(T + 1, B, H)
        h[0] = begin
        own = gates.new_empty(T, B, 3 * H)
        rz = gates.new_empty(T, B, 2 * H)
        n = gates.new_empty(T, B, H)
        from_x, n_from_x = gates[..., : 2 * H], gates[..., 2 * H :]
        for t in range(T):
            g = own[t]
            if low is None:
                torch.addmm(bias, h[t], inner, out=g)
            else:
                torch.add(h[t].to(low) @ inner, bias, out=g)
            both = torch.add(from_x[t], g[:, : 2 * H], out=rz[t]).sigmoid_()
            torch.addcmul(n_from_x[t], both[:, :H], g[:, 2 * H :], out=n[t]).tanh_()
            torch.lerp(n[t], h[t], both[:, H:], out=h[t + 1])
        ctx.save_for_backward(h, own, rz, n, weight)
        ctx.low = low
        return h[1:].clone()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:  # noqa: ANN401
        """Return the gradients of gates, begin, weight and bias."""
        h, own, rz, n, weight = ctx.saved_tensors
        low: torch.dtype | None = ctx.low
        T, B, H = grad.shape
        r, z = rz[..., :H], rz[..., H:]
        to_n = (1 - z) * (1 - n * n)
        factor = grad.new_empty(T, B, 3, H)
        factor[:, :, 0] = to_n * own[..., 2 * H :] * r * (1 - r)
        factor[:, :, 1] = (h[:-1] - n) * z * (1 - z)
        factor[:, :, 2] = to_n * r
        # (3H, H), laid out the other way round, in which it is read faster.
        inner = (weight if low is None else weight.to(low)).t().contiguous().t()
        d_own = grad.new_empty(T, B, 3, H, dtype=low or grad.dtype)
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
        rows = flat.view(T * B, 3 * H)
        before = h[:-1].reshape(T * B, H)
        d_weight = (rows.t() @ before.to(rows.dtype)).to(weight.dtype)
        return d_gates, d_before, d_weight, flat.sum((0, 1), dtype=weight.dtype), None
