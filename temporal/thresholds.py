"""The threshold of one AU's probability that has the best F1, exactly."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

DEFAULT_THRESHOLD: Final = 0.5


def best_threshold(y_true: Array, probability: Array) -> tuple[float, float]:
    """Return the threshold with the best F1 for `probability >= threshold`, and that F1.

    All cut points are tried. A whole range of thresholds between two neighbouring probabilities
    predicts the same: of the ranges with the best F1 the one nearest to 0.5 is taken, and from it
    0.5 where that lies in it, else its middle. Without a row or a positive one, no threshold is
    better than another: 0.5, with an F1 of 0.

    Args:
        y_true: shape (N,), 0 or 1.
        probability: shape (N,), in [0, 1].

    >>> best_threshold(np.array([0, 1, 0, 1]), np.array([0.1, 0.25, 0.3, 0.4]))
    (0.175, 0.8)
    """
    is_positive = np.asarray(y_true) > 0
    if not is_positive.any():
        return DEFAULT_THRESHOLD, 0.0
    value = np.asarray(probability, np.float64)
    order = np.argsort(-value, kind="stable")
    value = value[order]
    hits = np.cumsum(is_positive[order])
    # A cut lies behind the last of equal probabilities: above `low`, up to `high`.
    cut = np.flatnonzero(np.append(np.diff(value) != 0, True))
    high = value[cut]
    low = np.append(high[1:], 0.0)
    f1 = 2 * hits[cut] / (cut + 1 + hits[-1])
    best = float(f1.max())
    is_best = f1 == best
    high, low = high[is_best], low[is_best]
    if ((low < DEFAULT_THRESHOLD) & (high >= DEFAULT_THRESHOLD)).any():
        return DEFAULT_THRESHOLD, best
    nearest = int(np.argmin(np.maximum(low - DEFAULT_THRESHOLD, DEFAULT_THRESHOLD - high)))
    return float((low[nearest] + high[nearest]) / 2), best
