"""The frames that a run needs, decoded in order by several threads."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Final, NamedTuple

from .decode import DecodedFrame, read_frame
from .frames import SourceVideo

_TASK_FRAMES: Final = 8
"""Frames a thread takes at once: handing over one by one costs as much as reading a small one."""
_AHEAD_BYTES: Final = 1 << 29
"""Decoded frames that wait, in bytes."""

Place = tuple[SourceVideo, int]
"""A source frame: its video and its position there."""


class StreamFrame(NamedTuple):
    """One frame in its turn."""

    source: SourceVideo
    position: int
    frame: DecodedFrame


class FrameStream:
    """Yields the frames of `places` in their order while later ones are being decoded.

    Frames that wait are bounded in number and, once their size is known, in bytes. Decoding in
    bursts between the batches of a network that runs on the CPU, instead of beside it, was tried
    and is no faster.

    Args:
        places: what to decode.
        pool: the threads.
        n_threads: how many those are.
        n_ahead: most frames that wait.
    """

    def __init__(
        self, places: Iterable[Place], pool: ThreadPoolExecutor, n_threads: int, n_ahead: int
    ) -> None:
        self._places = iter(places)
        self._pool = pool
        self._n_least = n_threads * _TASK_FRAMES
        self._n_most = max(n_ahead, self._n_least)
        self._n_ahead = self._n_most
        self._tasks: deque[Future[list[StreamFrame]]] = deque()
        self._n_waiting = 0

    def __iter__(self) -> Iterator[StreamFrame]:
        try:
            self._submit()
            while self._tasks:
                frames = self._tasks.popleft().result()
                self._n_waiting -= len(frames)
                self._adapt(frames[-1].frame)
                self._submit()
                yield from frames
        finally:
            self.close()

    def close(self) -> None:
        """Decode nothing more."""
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()

    def _submit(self) -> None:
        """Have the threads decode as many frames as may wait."""
        while self._n_waiting < self._n_ahead:
            places = list(islice(self._places, _TASK_FRAMES))
            if not places:
                return
            self._tasks.append(self._pool.submit(_read, places))
            self._n_waiting += len(places)

    def _adapt(self, frame: DecodedFrame) -> None:
        """Have fewer frames wait if they are big."""
        if frame.pixels is not None:
            room = _AHEAD_BYTES // max(1, frame.pixels.nbytes)
            self._n_ahead = max(self._n_least, min(self._n_most, room))


def _read(places: list[Place]) -> list[StreamFrame]:
    return [
        StreamFrame(
            source,
            position,
            read_frame(source, position),
        )
        for source, position in places
    ]
