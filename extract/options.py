"""How a run of stage 1 is carried out."""

import re
from dataclasses import dataclass
from typing import Final, Literal

from ..core.errors import UsageError
from ..core.machine import usable_cpus

_SHARD: Final = re.compile(r"(\d+)/(\d+)\Z")


@dataclass(frozen=True)
class Shard:
    """One of several jobs that share the videos of one run."""

    number: int
    """From 1 to `count`."""
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def parse_shard(text: str) -> Shard:
    """Return the shard that `I/N` names.

    Raises:
        UsageError: it is not two whole numbers with 1 <= I <= N.

    >>> parse_shard("2/4")
    Shard(number=2, count=4)
    """
    found = _SHARD.match(text)
    if found and 1 <= int(found[1]) <= int(found[2]):
        return Shard(int(found[1]), int(found[2]))
    message = f"--shard must be I/N with I from 1 to N, like 1/4, but got {text!r}"
    raise UsageError(message)


def parse_devices(text: str) -> tuple[str, ...]:
    """Return the devices that `0,1,2` or `cpu,cpu` names; a number is a CUDA device.

    Raises:
        UsageError: an entry is empty, or a CUDA device is there twice.

    >>> parse_devices("0,1")
    ('cuda:0', 'cuda:1')
    """
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        message = f"--devices must be devices with commas between, like 0,1,2, but got {text!r}"
        raise UsageError(message)
    devices = tuple(f"cuda:{name}" if name.isdecimal() else name for name in names)
    twice = [name for name in devices if name != "cpu" and devices.count(name) > 1]
    if twice:
        message = f"each device of --devices takes one process, but {twice[0]} is there twice"
        raise UsageError(message)
    return devices


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Flags of `abaw extract`."""

    store: Literal["hdf5", "zarr"] = "hdf5"
    """Form of stores that are created; an existing store keeps its own."""
    device: str = "auto"
    devices: tuple[str, ...] = ()
    """Several devices of this machine, a process each; empty is `device` in this process."""
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
    shard: Shard | None = None
    """The part of the videos that is this job's; other jobs take the others."""
    prune: bool = False
    """Drop stored videos that are in none of the trees."""
    break_lock: bool = False
    """Make a store one file although a process that cannot be seen from here may be at it."""
    compile: bool = False
    """Run networks through `torch.compile`: minutes to begin with, then faster on a GPU."""
    dry_run: bool = False
    """Only find out what would be done, and how fast."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "workers", "every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                message = f"--{name.replace('_', '-')} must be at least 1, but got {value}"
                raise UsageError(message)
        if self.prune and self.shard:
            message = (
                f"--prune rewrites the whole store, but --shard {self.shard} is one job of "
                f"several; run once with --prune and without --shard when all have ended"
            )
            raise UsageError(message)
        if self.devices and self.device != "auto":
            message = (
                f"--devices {','.join(self.devices)} names where to run, so --device "
                f"{self.device} cannot stand beside it; leave one out"
            )
            raise UsageError(message)

    @property
    def n_workers(self) -> int:
        """Threads that read and decode images."""
        return self.workers or min(8, usable_cpus())
