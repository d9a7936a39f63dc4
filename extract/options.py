"""How a run of stage 1 is carried out; nothing here changes what an embedding is."""

import os
from dataclasses import dataclass
from typing import Literal


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
    """Frames per forward pass; None is what the store was begun with, else the device's default."""
    workers: int | None = None
    """Threads that read and decode images."""
    commit_every: float = 60.0
    """Seconds of work that a kill can cost."""
    on_error: Literal["record", "fail"] = "record"
    """Whether an unreadable frame is a recorded gap or ends the run."""
    dry_run: bool = False
    """Only find out what would be done."""

    @property
    def n_workers(self) -> int:
        """Threads that read and decode images."""
        return self.workers or min(8, os.cpu_count() or 1)
