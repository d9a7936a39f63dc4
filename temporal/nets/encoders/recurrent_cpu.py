"""What the recurrent layers for processors share; `gru_cpu` and `lstm_cpu` say what they gain."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import nn


def product_dtype(weight: torch.Tensor) -> torch.dtype:
    """Return in which dtype products with a weight are wanted on a processor: autocast's, if on.

    As for torch's own layers, float64 stays what it is.
    """
    if torch.is_autocast_enabled("cpu") and weight.dtype == torch.float32:
        return torch.get_autocast_dtype("cpu")
    return weight.dtype


def parts_of(layer: nn.RNNBase) -> tuple[torch.Tensor, ...]:
    """Return the weights (nH, F) and (nH, H) of a layer, and its biases (nH,)."""
    return tuple(cast(torch.Tensor, part) for part in layer.all_weights[0])


def input_gates(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the input's share (T, B, nH) of the gates of all frames (B, T, F) in one product.

    Frame after frame from here on, so that neither the gates nor their gradient, which are larger
    than the input, are laid out anew.
    """
    x = x.transpose(0, 1).to(product_dtype(weight), memory_format=torch.contiguous_format)
    return F.linear(x, weight, bias)


def weight_gradient(rows: torch.Tensor, before: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the gradient (nH, H) of the recurrent weights in one product over all frames.

    Args:
        rows: (T, B, nH) gradients of the state's share of the gates.
        before: (T, B, H) outputs one frame earlier.
        dtype: of the weights.
    """
    n = rows.shape[0] * rows.shape[1]
    before = before.reshape(n, -1).to(rows.dtype)
    return (rows.view(n, -1).t() @ before).to(dtype)
