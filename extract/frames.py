"""The frames of stage 1: the videos of trees, and hashes by which a change of them is seen."""

import hashlib
from collections.abc import Set
from typing import Final

from ..core.frames import UNREADABLE, FrameSet, SourceFrame, SourceVideo, find_videos

__all__ = [
    "HASH_MODULUS",
    "FrameSet",
    "SourceFrame",
    "SourceVideo",
    "find_videos",
    "input_hash",
    "stat_hash",
]

HASH_MODULUS: Final = 1 << 128


def stat_hash(
    source: SourceVideo, start: int = 0, stop: int | None = None, absent: Set[int] = frozenset()
) -> int:
    """Return the sum of hashes of number, size and stamp of [start, stop), modulo 2**128.

    A sum, so that the hashes of a video's pieces add up to that of the video.

    Args:
        source: the video.
        start: position of the first frame.
        stop: position after the last one; by default the end of the video.
        absent: positions of frames whose bytes the system did not give; they count with the size
            `UNREADABLE`, so that another run looks at them again.
    """
    cut = slice(start, stop)
    columns = source.numbers[cut].tolist(), source.sizes[cut].tolist(), source.stamps[cut].tolist()
    total = 0
    for position, (number, size, stamp) in enumerate(zip(*columns, strict=True), start):
        text = b"%d %d %d" % (number, UNREADABLE if position in absent else size, stamp)
        total += int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "little")
    return total % HASH_MODULUS


def input_hash(number: int, data: bytes) -> int:
    """Return the hash of a frame's number and bytes, 128 bits; a video's is the sum of these."""
    digest = hashlib.blake2b(number.to_bytes(8, "little"), digest_size=16)
    digest.update(data)
    return int.from_bytes(digest.digest(), "little")
