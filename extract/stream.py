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

    Frames that wait are bounded in number and, once their size is known, in bytes.

    Two ways to decode. *Ahead*: threads decode whenever there is room, which suits a GPU: its
    work costs the CPU nothing. *In bursts*: a burst of frames is decoded by all threads, then
    nothing until it is used up. That is for networks that run on the CPU, where one decoding
    thread holds up every thread of the network, which wait for the slowest.

    Args:
        places: what to decode.
        pool: the threads.
        n_threads: how many those are.
        n_ahead: most frames that wait.
        in_bursts: decode `n_ahead` frames at once and then none until those are used up.
    """

    def __init__(
        self,
        places: Iterable[Place],
        pool: ThreadPoolExecutor,
        n_threads: int,
        n_ahead: int,
        *,
        in_bursts: bool,
    ) -> None:
        self._places = iter(places)
        self._pool = pool
        self._n_least = n_threads * _TASK_FRAMES
        self._n_most = max(n_ahead, self._n_least)
        self._n_ahead = self._n_most
        self._in_bursts = in_bursts
        self._task_frames = min(_TASK_FRAMES, max(1, n_ahead // n_threads))
        self._tasks: deque[Future[list[StreamFrame]]] = deque()
        self._n_waiting = 0

    def __iter__(self) -> Iterator[StreamFrame]:
        try:
            while True:
                self._submit()
                if not self._tasks:
                    return
                if self._in_bursts:
                    yield from self._burst()
                else:
                    frames = self._tasks.popleft().result()
                    yield from self._counted(frames)
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
            places = list(islice(self._places, self._task_frames))
            if not places:
                return
            self._tasks.append(self._pool.submit(_read, places))
            self._n_waiting += len(places)

    def _burst(self) -> Iterator[StreamFrame]:
        frames = [frame for task in self._tasks for frame in task.result()]
        self._tasks.clear()
        yield from self._counted(frames)

    def _counted(self, frames: list[StreamFrame]) -> Iterator[StreamFrame]:
        self._n_waiting -= len(frames)
        pixels = frames[-1].frame.pixels
        if pixels is not None:
            room = _AHEAD_BYTES // max(1, pixels.nbytes)
            self._n_ahead = max(self._n_least, min(self._n_most, room))
        yield from frames


def _read(places: list[Place]) -> list[StreamFrame]:
    return [
        StreamFrame(
            source,
            position,
            read_frame(source.path(position), source.frames[position].number),
        )
        for source, position in places
    ]
