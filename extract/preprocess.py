"""From decoded frames to what a network takes, on whatever device the frames are."""

import torch
import torch.nn.functional as F

from ..cache.spec import EmbeddingSpec

_GREY = (0.299, 0.587, 0.114)
"""ITU-R BT.601 luma of red, green and blue, as Pillow and OpenCV have it."""
_LEVELS = 255.0


class Preprocessor:
    """Colour, resize and normalisation of one embedding, as its spec says.

    Args:
        spec: the embedding's identity.
    """

    def __init__(self, spec: EmbeddingSpec) -> None:
        self.spec = spec
        self._constants: dict[torch.device, tuple[torch.Tensor, ...]] = {}

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        """Return normalised frames, float32 (B, C, S, S).

        Args:
            frames: uint8 (B, H, W, 3), red first.
        """
        grey, mean, std = self._on(frames.device)
        x = frames.permute(0, 3, 1, 2).float()  # (B, 3, H, W)
        if self.spec.channels == "grey":
            # Whole grey levels, as image libraries return them.
            x = (x * grey).sum(dim=1, keepdim=True).round()  # (B, 1, H, W)
        elif self.spec.channels == "bgr":
            x = x.flip(1)
        if self.spec.flip:
            x = x.flip(3)
        x = _resize(x, self.spec.input_size, self.spec.interpolation)
        return (x / _LEVELS - mean) / std

    def _on(self, device: torch.device) -> tuple[torch.Tensor, ...]:
        if device not in self._constants:
            rows = (_GREY, self.spec.mean, self.spec.std)
            self._constants[device] = tuple(
                torch.tensor(row, device=device).view(1, -1, 1, 1) for row in rows
            )
        return self._constants[device]


def _resize(x: torch.Tensor, size: int, interpolation: str) -> torch.Tensor:
    """Return (B, C, size, size); frames of that size already are left as they are."""
    if x.shape[2:] == (size, size):
        return x
    if interpolation == "area":
        return F.adaptive_avg_pool2d(x, size)
    antialias = interpolation != "opencv-bilinear"
    mode = "bicubic" if interpolation == "bicubic" else "bilinear"
    x = F.interpolate(x, size=(size, size), mode=mode, antialias=antialias, align_corners=False)
    # Image libraries give whole levels in range; a bicubic filter overshoots.
    return x.round().clamp(0, _LEVELS)
