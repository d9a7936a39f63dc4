"""Videos split into parts of about equal work."""

import heapq
from collections.abc import Mapping

from .frames import FrameSet
from .options import Shard


def split(n_frames: Mapping[str, int], n_parts: int) -> list[list[str]]:
    """Return the videos in `n_parts` parts, each sorted, with nearly equal sums of frames.

    The longest video first, each to the part that has least so far; the same answer everywhere for
    the same videos.

    Args:
        n_frames: video -> number of frames.
        n_parts: how many parts; some are empty if there are fewer videos.

    >>> split({"a": 5, "b": 3, "c": 2}, 2)
    [['a'], ['b', 'c']]
    """
    parts: list[list[str]] = [[] for _ in range(n_parts)]
    loads = [(0, part) for part in range(n_parts)]
    for video in sorted(n_frames, key=lambda video: (-n_frames[video], video)):
        load, part = heapq.heappop(loads)
        parts[part].append(video)
        heapq.heappush(loads, (load + n_frames[video], part))
    return [sorted(part) for part in parts]


def part_of(frames: FrameSet, shard: Shard | None) -> FrameSet:
    """Return the videos of one shard: all of them without any."""
    if shard is None:
        return frames
    lengths = {video: source.n_frames for video, source in frames.videos.items()}
    videos = split(lengths, shard.count)[shard.number - 1]
    return frames.only(videos)
