"""One video's time line: what the labels and the embeddings say of each of its steps."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.tasks import Task

Array = NDArray[Any]
ABSENT = -1
"""Row number that stands for no row: the features are the training mean."""


@dataclass(frozen=True, eq=False)
class Timeline:
    """One video's time line of T steps."""

    video: str
    frame: NDArray[np.int32]
    """(T,) frame numbers, strictly rising."""
    embeddings: tuple[Array, ...]
    """Per embedding, the video's stored rows (n, D)."""
    rows: tuple[NDArray[np.int64], ...]
    """Per embedding, (T,) row of each frame, or `ABSENT`."""
    is_frame: NDArray[np.bool_]
    """(E, T) whether the embedding has the very frame, not a held one."""
    values: dict[Task, Array]
    """(T,) or (T, 12); 0 where not labelled."""
    is_labelled: dict[Task, Array]
    asked: NDArray[np.int32]
    """Frame numbers that are listed, rising; each gets a prediction."""

    def __len__(self) -> int:
        return len(self.frame)

    def nearest(self, frames: NDArray[np.int32]) -> NDArray[np.intp]:
        """Return the position of each frame number, or of the nearest one on the time line."""
        right = np.searchsorted(self.frame, frames).clip(0, len(self.frame) - 1)
        left = (right - 1).clip(0)
        distance = np.abs(self.frame[right].astype(np.int64) - frames)
        is_left = np.abs(self.frame[left].astype(np.int64) - frames) < distance
        return np.where(is_left, left, right)


def with_gaps(frame: NDArray[np.int32], max_gap: int) -> NDArray[np.int32]:
    """Return frame numbers with the numbers between them, at most `max_gap` in each gap.

    A gap of more missing numbers gets `max_gap` of them, evenly placed in it.

    Args:
        frame: (n,) frame numbers, strictly rising.
        max_gap: most steps that a gap becomes, at least 1.

    >>> with_gaps(np.array([2, 3, 6, 16], np.int32), 2).tolist()
    [2, 3, 4, 5, 6, 9, 13, 16]
    """
    width = np.diff(frame.astype(np.int64))  # missing numbers of each gap, plus 1
    n_steps = np.minimum(width - 1, max_gap)
    first = np.repeat(frame[:-1].astype(np.int64), n_steps)
    span, count = np.repeat(width, n_steps), np.repeat(n_steps + 1, n_steps)
    ends = np.cumsum(n_steps)
    place = np.arange(len(first)) - np.repeat(ends - n_steps, n_steps) + 1  # 1, 2, … in each gap
    # place * span / count, rounded half up in whole numbers: never twice the same, as span >= count
    inserted = first + (2 * place * span + count) // (2 * count)
    return np.union1d(frame, inserted).astype(np.int32)
