"""Where the time of a run goes, so that a user sees what limits it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

KINDS: Final = ("decode", "device", "write")


@dataclass
class Meter:
    """Seconds that the main loop spent waiting for frames, for the network, for the store.

    On a GPU batches are in flight while the next frames are waited for, so `device` is what the
    loop had to wait for it, not how long it was busy: the largest share is the bottleneck.
    """

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(KINDS, 0.0))

    @contextmanager
    def timing(self, kind: str) -> Iterator[None]:
        """Add the time of the block to `kind`, one of `KINDS`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[kind] += time.perf_counter() - start

    def add(self, other: "Meter") -> None:
        """Add the seconds of another process."""
        for kind in KINDS:
            self.seconds[kind] += other.seconds[kind]

    def shares(self) -> dict[str, float]:
        """Return the share of each kind in their sum; zeros if nothing was timed."""
        total = sum(self.seconds.values()) or 1.0
        return {kind: self.seconds[kind] / total for kind in KINDS}

    def text(self) -> str:
        """Return `decode 3 %, device 96 %, write 1 %`."""
        return ", ".join(f"{kind} {100 * share:.0f} %" for kind, share in self.shares().items())
