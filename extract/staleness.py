"""What of a video has to be computed: everything, what is missing, or nothing.

Sizes and modification times are the fast way to see that nothing changed. Where they differ, the
bytes decide: a touched or copied file with equal bytes is current.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from ..cache import Piece, VideoState
from .frames import HASH_MODULUS, SourceVideo, input_hash, stat_hash

Hasher = Callable[[SourceVideo, int, int], int]


@dataclass(frozen=True)
class Work:
    """What one embedding needs of one video."""

    video: str
    version: int
    ranges: tuple[tuple[int, int], ...]
    """Positions [start, stop) of source frames to compute; none if the video is current."""
    reason: str
    """Why, for people."""

    @property
    def n_frames(self) -> int:
        """Number of source frames to compute."""
        return sum(stop - start for start, stop in self.ranges)


def content_hasher(pool: Executor) -> Hasher:
    """Return a function (video, start, stop) -> sum of the frames' content hashes.

    Args:
        pool: runs the reading of files.
    """

    def hashed(source: SourceVideo, start: int, stop: int) -> int:
        def one(position: int) -> int:
            try:
                data = source.path(position).read_bytes()
            except OSError:
                data = b""  # as an unreadable file was hashed when it was extracted
            return input_hash(source.frames[position].number, data)

        return sum(pool.map(one, range(start, stop))) % HASH_MODULUS

    return hashed


def find_work(state: VideoState | None, source: SourceVideo, hasher: Hasher) -> Work:
    """Return what has to be computed of a video.

    Args:
        state: what the store knows of it.
        source: its frames now.
        hasher: see `content_hasher`; called only where sizes or times differ.
    """
    n_frames = len(source.frames)
    everything = ((0, n_frames),)
    if state is None:
        return Work(source.video, 1, everything, "new")
    if state.source_total != n_frames:
        reason = f"has {n_frames} frames, was extracted with {state.source_total}"
        return Work(source.video, state.version + 1, everything, reason)
    for piece in state.pieces:
        if not _is_unchanged(piece, source, hasher):
            return Work(source.video, state.version + 1, everything, "frames changed")
    if state.complete:
        return Work(source.video, state.version, (), "current")
    missing = tuple(state.missing)
    left = sum(stop - start for start, stop in missing)
    return Work(source.video, state.version, missing, f"interrupted, {left} frames left")


def _is_unchanged(piece: Piece, source: SourceVideo, hasher: Hasher) -> bool:
    start, stop = piece.source_start, piece.source_start + piece.source_length
    if stat_hash(source.frames[start:stop]) == piece.stat_hash:
        return True
    return hasher(source, start, stop) == piece.input_hash
