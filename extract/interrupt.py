"""Ctrl-C and SIGTERM between frames instead of anywhere."""

import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from ..core.errors import AbawError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class InterruptedRunError(AbawError):
    """The user or the system ended the run; what was committed is kept.

    Args:
        message: the sentence for people.
        signal_number: what ended it; the exit code is 128 more.
    """

    def __init__(self, message: str, signal_number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


class StopSignal:
    """While active, the first Ctrl-C or SIGTERM only sets `number`, for the loop to see.

    A second Ctrl-C raises KeyboardInterrupt wherever the run is. Outside the main thread, where
    Python handles no signals, this does nothing.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        """The signal that came, if any."""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            raise KeyboardInterrupt
        self.number = number
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        print(f"\n{name}: ending after this batch, what is computed is kept", file=sys.stderr)
