"""Frames of one size to the device, and embeddings back to the host."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

BATCH_MULTIPLE: Final = 8
"""Batch sizes are multiples of this. Matrix kernels compute the rows that remain after whole blocks
in another order of sums; at a batch of 5, an IResNet's last layer gives a frame another embedding
(by 2e-6 of its size) in the last place than in the first."""

Pixels = NDArray[np.uint8]


def to_device(frames: list[Pixels], device: torch.device) -> torch.Tensor:
    """Return frames of one size as uint8 (B, H, W, 3) on `device`, without waiting for the copy."""
    if device.type != "cuda":
        return torch.from_numpy(np.stack(frames)).to(device)
    # The allocator of pinned memory keeps a block until its copy has been made.
    pinned = torch.empty((len(frames), *frames[0].shape), dtype=torch.uint8, pin_memory=True)
    np.stack(frames, out=pinned.numpy())
    return pinned.to(device, non_blocking=True)


class PendingBatch:
    """The outputs of one batch on their way to the host; only `rows` waits for them.

    Args:
        outputs: an embedding each, (batch_size, D) float32, on the device.
        n_frames: rows that are frames; what follows is padding.
    """

    def __init__(self, outputs: list[torch.Tensor], n_frames: int) -> None:
        self.n_frames = n_frames
        self._event: torch.cuda.Event | None = None
        self._host = outputs
        if outputs[0].is_cuda:
            self._host = [
                # A plain copy would wait for the batches launched after this one as well.
                torch.empty(output.shape, dtype=output.dtype, pin_memory=True).copy_(
                    output, non_blocking=True
                )
                for output in outputs
            ]
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record()

    def rows(self) -> list[NDArray[np.float32]]:
        """Return the embeddings of the frames, an array (n_frames, D) for each output."""
        if self._event is not None:
            self._event.synchronize()
        return [output[: self.n_frames].cpu().numpy() for output in self._host]
