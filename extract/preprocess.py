"""From decoded frames to what a network takes, on whatever device the frames are.

Everything a pixel goes through depends on its own frame alone and sums in a fixed order, so the
result is the same to the last bit in any batch.
"""

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from ..cache.spec import EmbeddingSpec

if TYPE_CHECKING:
    from .backbones.settings import Settings

_GREY = (0.299, 0.587, 0.114)
"""ITU-R BT.601 luma of red, green and blue, as Pillow and OpenCV have it."""
_LEVELS = 255.0

Taps = tuple[torch.Tensor, torch.Tensor]
"""Which input pixels make each output pixel, and their weights; both (n_taps, n_out)."""


class Preprocessor:
    """Colour, resize, crop and normalisation of one embedding, as its spec says.

    Args:
        spec: the embedding's identity.
    """

    def __init__(self, spec: EmbeddingSpec) -> None:
        self.spec = spec
        self._constants: dict[torch.device, tuple[torch.Tensor, ...]] = {}
        self._taps: dict[tuple[torch.device, int, int], Taps] = {}

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
        size = self.spec.input_size
        height, width = resized_shape(x.shape[2], x.shape[3], size, self.spec.crop)
        x = self._resized(x, (height, width))
        top, left = round((height - size) / 2), round((width - size) / 2)
        x = x[:, :, top : top + size, left : left + size]  # (B, C, S, S)
        return (x / _LEVELS - mean) / std

    def _resized(self, x: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Return (B, C, *shape); frames of that shape already are left as they are."""
        interpolation = self.spec.interpolation
        if x.shape[2:] == shape:
            return x
        if interpolation == "area":
            for axis, length in zip((2, 3), shape, strict=True):
                x = _weighted(x, axis, *self._area(x.device, x.shape[axis], length))
            return x
        antialias = interpolation != "opencv-bilinear"
        mode = "bicubic" if interpolation == "bicubic" else "bilinear"
        x = F.interpolate(x, shape, mode=mode, antialias=antialias, align_corners=False)
        # Image libraries give whole levels in range; a bicubic filter overshoots.
        return x.round().clamp(0, _LEVELS)

    def _on(self, device: torch.device) -> tuple[torch.Tensor, ...]:
        if device not in self._constants:
            rows = (*((weight,) for weight in _GREY), self.spec.mean, self.spec.std)
            self._constants[device] = tuple(
                torch.tensor(row, device=device).view(1, -1, 1, 1) for row in rows
            )
        return self._constants[device]

    def _area(self, device: torch.device, n_in: int, n_out: int) -> Taps:
        key = device, n_in, n_out
        if key not in self._taps:
            index, weight = area_taps(n_in, n_out)
            self._taps[key] = index.to(device), weight.to(device)
        return self._taps[key]


def resized_shape(height: int, width: int, input_size: int, crop: str) -> tuple[int, int]:
    """Return the height and width, pixels, that a frame is resized to before its centre is cut out.

    The roundings are those of torchvision's `Resize` and timm's evaluation transform.

    Args:
        height: of the frame, pixels.
        width: of the frame, pixels.
        input_size: side of the centre that is cut out, pixels.
        crop: as in `EmbeddingSpec`.

    >>> resized_shape(90, 120, 112, "full")
    (112, 112)
    >>> resized_shape(90, 120, 112, "0.875")
    (128, 170)
    >>> resized_shape(90, 120, 112, "squash:0.875")
    (128, 128)
    """
    if crop == "full":
        return input_size, input_size
    side = math.floor(input_size / float(crop.removeprefix("squash:")))
    if crop.startswith("squash:"):
        return side, side
    if width <= height:
        return int(side * height / width), side
    return side, int(side * width / height)


def size_problem(height: int, width: int, limits: "EmbeddingSpec | Settings") -> str:
    """Return why a frame is too small or too large to be embedded, or nothing if it is neither.

    Args:
        height: of the frame, pixels.
        width: of the frame, pixels.
        limits: whose `min_side` and `max_side` count; 0 is no limit.
    """
    if isinstance(limits, EmbeddingSpec):
        least, most = (int(limits.options.get(key, 0)) for key in ("min_side", "max_side"))
    else:
        least, most = limits.min_side, limits.max_side
    if least and min(height, width) < least:
        return f"shorter side of {min(height, width)} pixels is below min_side={least}"
    if most and max(height, width) > most:
        return f"longer side of {max(height, width)} pixels is above max_side={most}"
    return ""


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
