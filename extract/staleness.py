"""What of a video has to be computed: everything, what is missing, or nothing.

Sizes and modification times are the fast way to see that nothing changed. Where they differ, the
bytes decide: a touched or copied file with equal bytes is current.
"""

from concurrent.futures import Executor
from dataclasses import dataclass

from ..cache import Piece, VideoState
from .frames import HASH_MODULUS, SourceVideo, input_hash, stat_hash


@dataclass(frozen=True)
class Work:
    """What one embedding needs of one video."""

    video: str
    version: int
    """Of the rows to be computed; that of the stored ones if there is nothing to compute."""
    ranges: tuple[tuple[int, int], ...]
    """Positions [start, stop) of source frames to compute; none if the video is current."""
    reason: str
    """Why, for people."""

    @property
    def n_frames(self) -> int:
        """Number of source frames to compute."""
        return sum(stop - start for start, stop in self.ranges)


class SourceHashes:
    """Hashes of ranges of source frames; each range is looked at once, for all embeddings.

    Args:
        pool: reads the files.
    """

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._stats: dict[tuple[str, int, int], int] = {}
        self._contents: dict[tuple[str, int, int], int] = {}
        self.n_read = 0
        """Frames whose bytes were read."""

    def stats(self, source: SourceVideo, start: int, stop: int) -> int:
        """Return the hash of sizes and modification times of [start, stop)."""
        key = source.video, start, stop
        if key not in self._stats:
            self._stats[key] = stat_hash(source, start, stop)
        return self._stats[key]

    def contents(self, source: SourceVideo, start: int, stop: int) -> int:
        """Return the hash of the bytes of [start, stop), which are read for it."""
        key = source.video, start, stop
        if key not in self._contents:

            def one(position: int) -> int:
                data, _ = source.read(position)
                return input_hash(int(source.numbers[position]), data)

            self._contents[key] = sum(self._pool.map(one, range(start, stop))) % HASH_MODULUS
            self.n_read += stop - start
        return self._contents[key]


def find_work(state: VideoState | None, source: SourceVideo, hashes: SourceHashes) -> Work:
    """Return what has to be computed of a video.

    A frame that could not be decoded counts as done until its bytes change.

    Args:
        state: what the store knows of it.
        source: its frames now.
        hashes: of source frames; bytes are read only where sizes or times differ.
    """
    n_frames = source.n_frames
    everything = ((0, n_frames),)
    if state is None:
        return Work(source.video, 1, everything, "new")
    if state.source_total != n_frames:
        reason = f"input: has {n_frames} frames, was extracted with {state.source_total}"
        return Work(source.video, state.version + 1, everything, reason)
    if not all(_is_unchanged(piece, source, hashes) for piece in state.pieces):
        return Work(source.video, state.version + 1, everything, "input: frames changed")
    if state.complete:
        return Work(source.video, state.version, (), "current")
    missing = tuple(state.missing)
    return Work(source.video, state.version, missing, "interrupted")


def _is_unchanged(piece: Piece, source: SourceVideo, hashes: SourceHashes) -> bool:
    cut = piece.source_start, piece.source_start + piece.source_length
    if hashes.stats(source, *cut) == piece.stat_hash:
        return True
    return hashes.contents(source, *cut) == piece.input_hash
