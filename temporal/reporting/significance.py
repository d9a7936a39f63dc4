"""Are two rows really different? A paired bootstrap over recordings.

Frames of one recording are alike, so recordings are drawn, with replacement, and both rows are
scored on the same draw. What differs from draw to draw is how the difference would vary with other
recordings. It does not say how it varies with other seeds: a row's measure is the mean over its
seeds on each draw. The best row was chosen on the very rows that it is compared on, which flatters
it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..errors import PredictionError
from ..paired_gain import holm
from .board import Board, Row
from .evidence import Repeat, constant_repeat, repeats
from .sums import RecordingSums, measures, recording_sums

_FEWEST: Final = 1_000
_FOR_EACH_ROW: Final = 200
_MOST: Final = 10_000
_LEVEL: Final = 95.0
_LEAST_DEFINED: Final = 0.5
"""Share of the draws on which the measure must be defined."""


@dataclass(frozen=True)
class Comparison:
    """A row against the best one."""

    row: Row
    value: float | None
    """The measure of all rows, pooled over folds, mean over seeds."""
    difference: float | None = None
    """`value` less that of the best row; None of the best row, and where `reason` says why."""
    low: float | None = None
    high: float | None = None
    """The 95 % interval of the difference."""
    p: float | None = None
    """Two-sided: twice the share of draws on the rarer side of 0."""
    p_holm: float | None = None
    """With Holm's correction over the rows that are compared."""
    reason: str | None = None


@dataclass(frozen=True)
class Significance:
    """All rows against the best one."""

    key: str
    """The measure that is compared."""
    best: Row
    comparisons: tuple[Comparison, ...]
    """The best row first, the constant last."""
    n_recordings: int
    n_rows: int
    n_resamples: int


def significance(board: Board, n_resamples: int | None = None, seed: int = 0) -> Significance:
    """Compare every row, and the constant predictor, with the best one.

    Args:
        board: the rows.
        n_resamples: draws of recordings; by default so many that the least p, corrected for the
            number of rows, is about 0.01.
        seed: of the draws.

    Raises:
        PredictionError: the best row's predictions cannot be used.
    """
    key = board.key
    if key is None:
        message = "no measure is there of every row, so none is the best"
        raise PredictionError(message)
    if n_resamples is None:
        n_resamples = min(_MOST, max(_FEWEST, _FOR_EACH_ROW * len(board.rows)))
    best = board.best
    first = repeats(board, best)
    sums = _sums(first)
    recordings = sums[0].recordings
    draws = _draws(len(recordings), n_resamples, seed)
    value, drawn = _measured(sums, draws, key)
    found = [Comparison(best, value)]
    for row in board.ranked[1:]:
        try:
            other = repeats(board, row)
            if other[0].folds != first[0].folds:
                message = "it was scored on other folds"
                raise PredictionError(message)
        except PredictionError as error:
            found.append(Comparison(row, None, reason=str(error)))
            continue
        found.append(_compared(row, value, drawn, _measured(_sums(other), draws, key)))
    constant = _sums([constant_repeat(board, first[0].folds)])
    found.append(_compared(board.constant, value, drawn, _measured(constant, draws, key)))
    n_rows = len(first[0].rows.keys)
    return Significance(key, best, tuple(_corrected(found)), len(recordings), n_rows, n_resamples)


def _sums(some: Sequence[Repeat]) -> list[RecordingSums]:
    return [recording_sums(one.rows, one.found(), one.table.tasks) for one in some]


def _draws(n_recordings: int, n_resamples: int, seed: int) -> NDArray[np.int64]:
    """Return how often each recording is drawn, shape (B + 1, R); first each one once."""
    rng = np.random.default_rng(seed)
    share = np.full(n_recordings, 1 / n_recordings)
    drawn = rng.multinomial(n_recordings, share, size=n_resamples)
    return np.concatenate([np.ones((1, n_recordings), np.int64), drawn])


def _measured(
    sums: Sequence[RecordingSums], draws: NDArray[np.int64], key: str
) -> tuple[float, NDArray[np.float64]]:
    """Return the measure of all rows, and that of each draw (B,); both the mean over seeds."""
    values = np.mean([measures(one, draws)[key] for one in sums], axis=0)
    return float(values[0]), values[1:]


def _compared(
    row: Row,
    best: float,
    best_drawn: NDArray[np.float64],
    measured: tuple[float, NDArray[np.float64]],
) -> Comparison:
    value, drawn = measured
    difference = drawn - best_drawn
    difference = difference[np.isfinite(difference)]
    if not np.isfinite(value) or len(difference) < _LEAST_DEFINED * len(drawn):
        reason = "the measure is not defined on most draws of recordings"
        return Comparison(row, value if np.isfinite(value) else None, reason=reason)
    tail = (100 - _LEVEL) / 2
    low, high = np.percentile(difference, [tail, 100 - tail])
    rarer = min((difference <= 0).sum(), (difference >= 0).sum())
    p = min(1.0, 2 * (1 + int(rarer)) / (1 + len(difference)))
    return Comparison(row, value, value - best, float(low), float(high), p)


def _corrected(found: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons with Holm's correction of their p."""
    places = [place for place, one in enumerate(found) if one.p is not None]
    corrected = dict(zip(places, holm([one.p for one in found if one.p is not None]), strict=True))
    return [replace(one, p_holm=corrected.get(place)) for place, one in enumerate(found)]
