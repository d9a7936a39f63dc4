"""How far a run is, on stderr."""

import threading
import time
from collections.abc import Collection, Iterable
from types import TracebackType
from typing import Final, Self, TypeVar

from tqdm import tqdm

from .meter import Meter

T = TypeVar("T")

_TEXT_SECONDS: Final = 1.0
"""Between two renewals of the shares beside the bar."""
_SILENT_SECONDS: Final = 2.0
"""Looking at something that takes longer shows a bar."""

# Only one process writes to the terminal. The lock that tqdm makes by itself is one between
# processes, which spawned ones leave behind with a warning.
tqdm.set_lock(threading.RLock())


def shown(items: Collection[T], description: str, unit: str, *, is_shown: bool) -> Iterable[T]:
    """Return the items, with a bar on stderr if going through them takes long."""
    return tqdm(
        items,
        desc=description,
        unit=unit,
        delay=_SILENT_SECONDS,
        leave=False,
        disable=not is_shown,
    )


class ProgressBar:
    """Frames done, frames/s, time left, and the share of time in decode, device and write.

    Args:
        description: what is being made.
        is_shown: False shows nothing.
    """

    def __init__(self, description: str, *, is_shown: bool) -> None:
        self._description = description
        self._is_shown = is_shown
        self._bar = tqdm(disable=True)
        self._next_text = time.monotonic() + _TEXT_SECONDS

    def begin(self, n_frames: int) -> None:
        """Show the number of frames to be decoded."""
        self._bar = tqdm(
            total=n_frames,
            unit="frame",
            desc=self._description,
            disable=not self._is_shown,
            smoothing=0.05,
        )

    def advance(self, meter: Meter) -> None:
        """Show that one more frame has been handed on."""
        self._show(meter)
        self._bar.update()

    def move_to(self, n_frames: int, meter: Meter) -> None:
        """Show that `n_frames` have been handed on, fewer than before if some were lost."""
        self._show(meter)
        self._bar.update(n_frames - self._bar.n)

    def _show(self, meter: Meter) -> None:
        if self._bar.disable or time.monotonic() < self._next_text:
            return
        self._next_text = time.monotonic() + _TEXT_SECONDS
        self._bar.set_postfix_str(meter.text(), refresh=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()
