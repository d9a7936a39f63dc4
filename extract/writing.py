"""Storing in the background: the network does not wait for a disk."""

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

_DEPTH: Final = 8
"""Calls that wait, of about a batch each; a disk that is slower for long holds the network up."""


class BackgroundWriter:
    """Runs calls one after another, in their order, in a thread of its own.

    The first call that fails ends it: later ones are dropped, and its error is raised by the next
    `submit` or `join`. As a context manager it ends the thread, after what was submitted.
    """

    def __init__(self) -> None:
        self._calls: queue.Queue[Callable[[], object] | None] = queue.Queue(_DEPTH)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="abaw-write", daemon=True)
        self._thread.start()

    def submit(self, call: Callable[[], object]) -> None:
        """Have `call` run; waits while too many are before it."""
        self._raise()
        self._calls.put(call)

    def join(self) -> None:
        """Wait until everything submitted has run."""
        self._calls.join()
        self._raise()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                if self._error is None:
                    call()
            except BaseException as error:  # raised again where somebody waits for it
                self._error = error
            finally:
                self._calls.task_done()
        self._calls.task_done()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._calls.put(None)
        self._thread.join()
        if error is None:
            self._raise()
