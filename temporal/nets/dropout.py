"""Dropout whose random numbers are cheap on a processor, where they cost more than the layer."""

from typing import Final

import torch
import torch.nn.functional as F
from torch import nn

_VALUES: Final = 1 << 16
_LOWEST: Final = -(1 << 15)
"""Of 16 random bits, taken as a whole number."""


class Dropout(nn.Module):
    """Leaves a share of values out in training, and scales the others up, as torch's does.

    torch draws a number for each value on a processor, one after another; here a draw of 64 bits
    serves four, which takes a fifth of the time (`bench/recurrent_layers.py`). So the share is a
    multiple of 2**-16. Elsewhere it is torch's own.

    Args:
        p: the share, from 0 to below 1.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self._threshold = round(p * _VALUES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x, or in training x with values left out."""
        if not self.training or self._threshold == 0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        n = x.numel()
        drawn = torch.empty(-(-n // 4), dtype=torch.int64).random_(-(2**63), None)
        is_kept = drawn.view(torch.int16)[:n].view(x.shape) >= _LOWEST + self._threshold
        return x * is_kept.to(x.dtype).mul_(_VALUES / (_VALUES - self._threshold))

    def extra_repr(self) -> str:
        """Return the share, as `print` shows it."""
        return f"p={self.p}"
