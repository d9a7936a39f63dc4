"""From decoded frames to what a network takes, on whatever device the frames are.

Everything a pixel goes through depends on its own frame alone and sums in a fixed order, so the
result is the same to the last bit in any batch.
"""

import math

import torch
import torch.nn.functional as F

from ..cache.spec import EmbeddingSpec

_GREY = (0.299, 0.587, 0.114)
"""ITU-R BT.601 luma of red, green and blue, as Pillow and OpenCV have it."""
_LEVELS = 255.0

Taps = tuple[torch.Tensor, torch.Tensor]
"""Which input pixels make each output pixel, and their weights; both (n_taps, n_out)."""


class Preprocessor:
    """Colour, resize and normalisation of one embedding, as its spec says.

    Args:
        spec: the embedding's identity.
    """

    def __init__(self, spec: EmbeddingSpec) -> None:
        self.spec = spec
        self._constants: dict[torch.device, tuple[torch.Tensor, ...]] = {}
        self._taps: dict[tuple[torch.device, int], Taps] = {}

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        """Return normalised frames, float32 (B, C, S, S).

        Args:
            frames: uint8 (B, H, W, 3), red first.
        """
        red, green, blue, mean, std = self._on(frames.device)
        x = frames.permute(0, 3, 1, 2).float()  # (B, 3, H, W)
        if self.spec.channels == "grey":
            # Whole grey levels, as image libraries return them.
            x = (x[:, :1] * red + x[:, 1:2] * green + x[:, 2:] * blue).round()  # (B, 1, H, W)
        elif self.spec.channels == "bgr":
            x = x.flip(1)
        return (self._resized(x) / _LEVELS - mean) / std

    def _resized(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, C, S, S); frames of that size already are left as they are."""
        size, interpolation = self.spec.input_size, self.spec.interpolation
        if x.shape[2:] == (size, size):
            return x
        if interpolation == "area":
            for axis in (2, 3):
                x = _weighted(x, axis, *self._area(x.device, x.shape[axis]))
            return x
        antialias = interpolation != "opencv-bilinear"
        mode = "bicubic" if interpolation == "bicubic" else "bilinear"
        x = F.interpolate(x, (size, size), mode=mode, antialias=antialias, align_corners=False)
        # Image libraries give whole levels in range; a bicubic filter overshoots.
        return x.round().clamp(0, _LEVELS)

    def _on(self, device: torch.device) -> tuple[torch.Tensor, ...]:
        if device not in self._constants:
            rows = (*((weight,) for weight in _GREY), self.spec.mean, self.spec.std)
            self._constants[device] = tuple(
                torch.tensor(row, device=device).view(1, -1, 1, 1) for row in rows
            )
        return self._constants[device]

    def _area(self, device: torch.device, n_in: int) -> Taps:
        if (device, n_in) not in self._taps:
            index, weight = area_taps(n_in, self.spec.input_size)
            self._taps[device, n_in] = index.to(device), weight.to(device)
        return self._taps[device, n_in]


def area_taps(n_in: int, n_out: int) -> Taps:
    """Return the input pixels under each output pixel and the share of it that each covers.

    Args:
        n_in: pixels along the axis before.
        n_out: pixels along the axis after, fewer or more.

    Returns:
        Indices (n_taps, n_out), int64, and weights (n_taps, n_out), float32, whose columns add up
        to 1.

    >>> index, weight = area_taps(4, 2)
    >>> index.T.tolist(), weight.T.tolist()
    ([[0, 1], [2, 3]], [[0.5, 0.5], [0.5, 0.5]])
    """
    n_taps = math.ceil(n_in / n_out) + (1 if n_in % n_out else 0)
    scale = n_in / n_out
    index = torch.zeros(n_taps, n_out, dtype=torch.int64)
    weight = torch.zeros(n_taps, n_out)
    for place in range(n_out):
        start, end = place * scale, (place + 1) * scale
        for tap in range(n_taps):
            pixel = place * n_in // n_out + tap
            covered = min(end, pixel + 1) - max(start, pixel)
            index[tap, place] = min(pixel, n_in - 1)
            weight[tap, place] = max(covered, 0.0) / scale
    return index, weight


def _weighted(
    x: torch.Tensor, axis: int, index: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """Return the weighted sums of pixels along an axis, tap by tap."""
    shape = (-1, 1) if axis == 2 else (-1,)
    total = x.index_select(axis, index[0]) * weight[0].view(shape)
    for tap in range(1, len(index)):
        total = total + x.index_select(axis, index[tap]) * weight[tap].view(shape)
    return total
