"""How a run of stage 1 is carried out."""

import os
from dataclasses import dataclass
from typing import Literal

from ..core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Flags of `abaw extract`."""

    store: Literal["hdf5", "zarr"] = "hdf5"
    """Form of stores that are created; an existing store keeps its own."""
    device: str = "auto"
    precision: str = "auto"
    """`auto` is what a store was begun in, or for a new store what the device is fast at."""
    allow_precision: bool = False
    """Go on in another precision than the store was begun in."""
    batch_size: int | None = None
    """Frames per forward pass, rounded up to a multiple of 8; None is what the store was begun
    with, else the device's default."""
    workers: int | None = None
    """Threads that read and decode images."""
    commit_every: float = 60.0
    """Seconds of work that a kill can cost."""
    every: int = 1
    """Take the first frame of each video and every n-th after it. Which frames were taken is part
    of what is hashed: a run with another n makes the videos anew."""
    on_error: Literal["record", "fail"] = "record"
    """Whether an unreadable frame is a recorded gap or ends the run."""
    dry_run: bool = False
    """Only find out what would be done."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "workers", "every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                message = f"--{name.replace('_', '-')} must be at least 1, but got {value}"
                raise UsageError(message)

    @property
    def n_workers(self) -> int:
        """Threads that read and decode images."""
        return self.workers or min(8, os.cpu_count() or 1)
