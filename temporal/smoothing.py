"""Smoothing of one video's predictions over time: by frame number, never across videos.

The challenge's frames are a sparse, irregular selection of each video, so a window is counted in
frame numbers: it holds the rows whose number is at most so far from the row's own, and fewer of
them at the ends and beside gaps. For consecutive frames the box is the published one.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .settings.training import Smoothing

Array = NDArray[Any]
Rows = NDArray[np.intp]

_GAUSSIAN_REACH: Final = 3
"""Deviations after which a Gaussian is cut."""
_BLOCK: Final = 128
"""Rows whose Gaussian weights are held at once."""
_MOST_GATHERED: Final = 2**21
"""Values that are held at once for medians of irregular windows."""


def smooth(values: Array, frame: Array, kind: Smoothing, width: int) -> NDArray[np.float64]:
    """Return the values of one video, each smoothed over the rows around it.

    `box` takes the mean of the rows whose frame number is at most `width` away, `median` their
    median, `gaussian` their mean weighted by a Gaussian of deviation `width` that is cut at three
    deviations. Weights are normalised over the rows that are there. `none`, or a width of 0, gives
    the values back.

    Args:
        values: shape (T,) or (T, C); each column by itself.
        frame: whole frame numbers, shape (T,), strictly rising.
        kind: none, box, gaussian or median.
        width: frame numbers, from 0.

    Raises:
        ValueError: lengths differ, frame numbers do not rise, or the width is below 0.

    >>> smooth(np.array([0.0, 3.0, 6.0]), np.array([1, 2, 9]), "box", 1).tolist()
    [1.5, 1.5, 6.0]
    """
    found, number = np.array(values, np.float64), np.asarray(frame, np.int64)
    if number.ndim != 1 or found.ndim not in {1, 2} or len(found) != len(number):
        message = (
            f"values must be (T,) or (T, C) and frame (T,), but are {found.shape} and "
            f"{number.shape}"
        )
        raise ValueError(message)
    if (np.diff(number) <= 0).any():
        message = "frame numbers must rise strictly inside a video"
        raise ValueError(message)
    if width < 0:
        message = f"a width of smoothing is 0 or more, but got {width}"
        raise ValueError(message)
    if kind == "none" or width == 0 or not found.size:
        return found
    columns = found.reshape(len(found), -1)
    if kind == "gaussian":
        smoothed = _gaussian(columns, number, width)
    else:
        start = np.searchsorted(number, number - width, side="left")
        stop = np.searchsorted(number, number + width, side="right")
        smoothed = (_box if kind == "box" else _median)(columns, start, stop, width)
    # The last digit must not leave the range of the values, so that a constant stays one.
    return smoothed.clip(columns.min(axis=0), columns.max(axis=0)).reshape(found.shape)


def _box(columns: Array, start: Rows, stop: Rows, width: int) -> Array:
    """Return the means of rows start to stop, by differences of running sums."""
    middle = columns.mean(axis=0)  # sums of deviations stay small: little is lost between them
    sums = np.zeros((len(columns) + 1, columns.shape[1]))
    np.cumsum(columns - middle, axis=0, out=sums[1:])
    means: Array = (sums[stop] - sums[start]) / (stop - start)[:, None] + middle
    return means


def _gaussian(columns: Array, number: Array, width: int) -> Array:
    """Return the weighted means, a block of rows at a time as one matrix product."""
    reach = _GAUSSIAN_REACH * width
    weight_at = np.exp(-0.5 * (np.arange(reach + 2) / width) ** 2)
    weight_at[-1] = 0.0  # of all that is further away
    start = np.searchsorted(number, number - reach, side="left")
    stop = np.searchsorted(number, number + reach, side="right")
    smoothed = np.empty_like(columns)
    for first in range(0, len(columns), _BLOCK):
        last = min(first + _BLOCK, len(columns))
        around = slice(start[first], stop[last - 1])
        distance = np.abs(number[first:last, None] - number[None, around])
        weights = weight_at[np.minimum(distance, reach + 1)]
        weights /= weights.sum(axis=1, keepdims=True)
        smoothed[first:last] = weights @ columns[around]
    return smoothed


def _median(columns: Array, start: Rows, stop: Rows, width: int) -> Array:
    """Return the medians of rows start to stop."""
    from scipy.ndimage import median_filter  # not for the runs that smooth otherwise

    row = np.arange(len(columns))
    is_whole = (start == row - width) & (stop == row + width + 1)
    smoothed = np.empty_like(columns)
    if is_whole.any():
        # A sliding median is quick, and right wherever a window has all of its frames.
        for place, column in enumerate(np.ascontiguousarray(columns.T)):
            smoothed[:, place] = median_filter(column, size=2 * width + 1, mode="nearest")
    length = stop - start
    for count in np.unique(length[~is_whole]):
        rows = np.flatnonzero(~is_whole & (length == count))
        step = max(1, _MOST_GATHERED // (int(count) * columns.shape[1]))
        for first in range(0, len(rows), step):
            some = rows[first : first + step]
            windows = columns[start[some, None] + np.arange(count)]  # (rows, count, C)
            smoothed[some] = np.median(windows, axis=1)
    return smoothed


class VideoSmoother:
    """Smooths columns of a table whose rows are of many videos, in any order.

    A frame that is there twice counts once, and both its rows get the same value.
    """

    def __init__(self, video: Sequence[str], frame: Array) -> None:
        ids: dict[str, int] = {}
        code = np.fromiter((ids.setdefault(name, len(ids)) for name in video), np.intp, len(video))
        number = np.asarray(frame, np.int64)
        order = np.lexsort((number, code))
        code, number = code[order], number[order]
        is_other_video = np.diff(code, prepend=-1) != 0
        is_new = is_other_video | (np.diff(number, prepend=-1) != 0)
        self._unique = order[is_new]
        self._place = np.empty(len(order), np.intp)
        self._place[order] = np.cumsum(is_new) - 1
        self._frame = number[is_new]
        starts = np.flatnonzero(is_other_video[is_new])
        self._videos = [slice(*pair) for pair in pairwise([*starts, len(self._unique)])]

    def smooth(self, values: Array, kind: Smoothing, width: int) -> NDArray[np.float64]:
        """Return a column (N,) or columns (N, C) with each video smoothed by itself."""
        found = np.asarray(values, np.float64)
        if kind == "none" or width == 0:
            return found.copy()
        unique = found[self._unique]
        for rows in self._videos:
            unique[rows] = smooth(unique[rows], self._frame[rows], kind, width)
        smoothed: NDArray[np.float64] = unique[self._place]
        return smoothed
