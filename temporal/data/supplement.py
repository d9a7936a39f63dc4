"""Gives unlabelled frames the label of a near frame of the same video, for training."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def supplement(
    frame: NDArray[np.int32],
    values: Array,
    is_labelled: NDArray[np.bool_],
    may_take: NDArray[np.bool_],
    limit: int,
) -> tuple[Array, NDArray[np.bool_]]:
    """Return values and is_labelled in which unlabelled frames have their nearest frame's label.

    Of two frames that are equally near, the earlier one gives its label. Each column (action unit)
    is supplemented by itself.

    Args:
        frame: (T,) frame numbers of one video, strictly rising.
        values: (T,) or (T, C) labels, 0 where not labelled.
        is_labelled: of the same shape.
        may_take: (T,) which frames may be given a label.
        limit: largest difference of frame numbers.
    """
    shape = values.shape
    values, is_labelled = values.reshape(len(frame), -1).copy(), is_labelled.reshape(len(frame), -1)
    found = is_labelled.copy()
    number = frame.astype(np.int64)
    for column in range(values.shape[1]):
        giver = np.flatnonzero(is_labelled[:, column])
        taker = np.flatnonzero(may_take & ~is_labelled[:, column])
        if not len(giver) or not len(taker):
            continue
        after = np.searchsorted(giver, taker)  # the first giver behind each taker
        before = giver[(after - 1).clip(0)]
        behind = giver[after.clip(max=len(giver) - 1)]
        to_before = np.where(after > 0, number[taker] - number[before], limit + 1)
        to_behind = np.where(after < len(giver), number[behind] - number[taker], limit + 1)
        nearest = np.where(to_before <= to_behind, before, behind)
        is_near = np.minimum(to_before, to_behind) <= limit
        values[taker[is_near], column] = values[nearest[is_near], column]
        found[taker[is_near], column] = True
    return values.reshape(shape), found.reshape(shape)
