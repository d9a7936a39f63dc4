"""Groups of recordings for cross-fitting: a recording is never fitted on and scored at once."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .data.recordings import recording_of
from .errors import PredictionError
from .prediction_table import concatenated
from .predictions import PredictionTable


@dataclass(frozen=True)
class Groups:
    """To which of n groups each prediction and each annotated row belongs."""

    n: int
    of_row: NDArray[np.intp]
    """(N,) of the table's rows."""
    of_key: NDArray[np.intp]
    """(R,) of the annotated rows."""

    def others(self) -> list[NDArray[np.bool_]]:
        """Return, for each group, the annotated rows (R,) of all other groups."""
        return [self.of_key != group for group in range(self.n)]

    def together(self, parts: Iterable[PredictionTable]) -> PredictionTable:
        """Return N rows in their own order, each from the table of its group.

        Args:
            parts: one table of all N rows a group; only the group's own rows are taken from it.
        """
        rows = [np.flatnonzero(self.of_row == group) for group in range(self.n)]
        own = [part.take(some) for part, some in zip(parts, rows, strict=True)]
        return concatenated(own).take(np.argsort(np.concatenate(rows), kind="stable"))


def recording_groups(
    videos: Sequence[str], key_videos: Sequence[str], n_groups: int, seed: int
) -> Groups:
    """Return groups of recordings with about as many annotated rows each.

    Args:
        videos: the video of each prediction.
        key_videos: the video of each annotated row; each is also in `videos`.
        n_groups: how many groups; at most one a recording that has annotated rows.
        seed: draws which recordings come together.

    Raises:
        ValueError: `n_groups` is below 2.
    """
    if n_groups < 2:
        message = f"cross-fitting needs at least 2 groups, but got {n_groups}"
        raise ValueError(message)
    size = Counter({recording_of(video): 0 for video in videos})
    size.update(recording_of(video) for video in key_videos)
    names = np.random.default_rng(seed).permutation(sorted(size)).tolist()
    n = min(n_groups, sum(count > 0 for count in size.values()))
    group: dict[str, int] = {}
    filled = [0] * n
    # The largest first, each to the emptiest group; every group gets at least one recording.
    for name in sorted(names, key=lambda name: -size[name]):
        least = min(range(n), key=lambda one: filled[one], default=0)
        group[name] = least
        if n:
            filled[least] += size[name] + 1
    return _groups(n, group, videos, key_videos)


def groups_of_folds(folds: Mapping[int, Sequence[str]], key_videos: Sequence[str]) -> Groups:
    """Return the folds as groups, numbered in their order.

    Args:
        folds: fold -> the video of each of its predictions.
        key_videos: the video of each annotated row.

    Raises:
        PredictionError: a recording is in two folds.
    """
    group: dict[str, int] = {}
    for place, (fold, videos) in enumerate(folds.items()):
        for recording in {recording_of(video) for video in videos}:
            if group.setdefault(recording, place) != place:
                message = (
                    f"folds must have no recording in common, but {recording!r} is predicted in "
                    f"fold {list(folds)[group[recording]]} and in fold {fold}; leave fold 0 out, "
                    f"which is the official split, or make folds anew"
                )
                raise PredictionError(message)
    every = [video for videos in folds.values() for video in videos]
    return _groups(len(folds), group, every, key_videos)


def _groups(
    n: int, group: dict[str, int], videos: Sequence[str], key_videos: Sequence[str]
) -> Groups:
    of_video = {video: group[recording_of(video)] for video in set(videos)}
    missing = set(key_videos) - set(of_video)
    if missing:
        message = (
            f"predictions must be there for every annotated video, but lack {len(missing)} of "
            f"them, one is {min(missing)!r}; predict the whole split"
        )
        raise PredictionError(message)
    return Groups(
        n,
        np.fromiter((of_video[video] for video in videos), np.intp, len(videos)),
        np.fromiter((of_video[video] for video in key_videos), np.intp, len(key_videos)),
    )
