"""What encoders ask of the padding at the ends of sequences."""

import torch


def may_be_padded(is_frame: torch.Tensor, *, is_training: bool) -> bool:
    """Return False only if every frame (B, T) is real.

    An accelerator is not asked in training, where waiting for its answer would hold up the
    queue: there every batch may be padded.
    """
    if is_training and is_frame.device.type != "cpu":
        return True
    return not bool(is_frame.all())


def lengths(is_frame: torch.Tensor) -> torch.Tensor:
    """Return how many frames of each row are real, (B,) int64."""
    return is_frame.sum(dim=1)


def reversing(is_frame: torch.Tensor) -> torch.Tensor:
    """Return the order (B, T) that reverses the real frames and leaves padding where it is.

    It is its own inverse.
    """
    place = torch.arange(is_frame.shape[1], device=is_frame.device).expand(is_frame.shape)
    mirrored = lengths(is_frame)[:, None] - 1 - place
    return torch.where(is_frame, mirrored, place)


def reordered(x: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """Return (B, T, H) with the frames of each row in an order (B, T)."""
    return x.gather(1, order[:, :, None].expand_as(x))
