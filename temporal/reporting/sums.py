"""What the official measure needs of each recording, so that a resample is a few additions.

CCC and F1 are functions of sums over rows: numbers of rows, sums and products of values, counts of
hits. Summed by recording they give the measure of any choice of recordings, each as often as it is
chosen, without a look at the rows.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...core.tasks import N_EXPRESSIONS, TASKS, Task
from ..data.recordings import recording_of
from ..metrics import AffectRows
from ..score import RowLabels

Array = NDArray[Any]
Floats = NDArray[np.float64]

_AFFECT: Final = ("valence", "arousal")


@dataclass(frozen=True, eq=False)
class RecordingSums:
    """Sums over the rows of each of R recordings."""

    recordings: tuple[str, ...]
    """(R,) ids, sorted."""
    moments: Floats
    """(R, 2, 6) of valence and arousal, of values less a constant that is the same everywhere."""
    lowest: Floats
    """(R, 2, 2) least value of valence and arousal, in truth and prediction; inf without a row."""
    highest: Floats
    """(R, 2, 2) greatest value; -inf without a row."""
    expression: Floats
    """(R, 2, 8) hits of each class, and how often it is true plus how often it is predicted."""
    n_expression: Floats
    """(R,) rows with an expression."""
    au: Floats
    """(R, 3, 12) hits of each AU, how often it is true plus how often predicted, labelled rows."""
    tasks: frozenset[Task]
    """What is predicted."""


def recording_sums(
    rows: RowLabels, found: AffectRows, tasks: Collection[Task] = TASKS
) -> RecordingSums:
    """Return the sums over the rows of each recording.

    Args:
        rows: N annotated rows.
        found: the predictions of these rows, finite numbers where a task is predicted.
        tasks: those that are predicted.
    """
    names, of_row = np.unique(
        np.array([recording_of(video) for video, _ in rows.keys], dtype=object),
        return_inverse=True,
    )
    by_recording = _Adder(of_row, len(names))
    masks, labels = rows.is_labelled, rows.labels
    both = np.asarray(masks.valence) & np.asarray(masks.arousal)
    moments, low, high = [], [], []
    for name in _AFFECT:
        true = np.asarray(getattr(labels, name), np.float64)
        pred = np.asarray(getattr(found, name), np.float64)
        pair = np.stack([true, pred], axis=1)
        # The CCC does not change when both are moved alike; about 0 the sums lose no digits.
        moved = pair - (true[both].mean() if both.any() else 0.0)
        t, p = moved.T
        columns = np.stack([np.ones_like(t), t, p, t * t, p * p, t * p], axis=1)
        moments.append(by_recording.total(np.where(both[:, None], columns, 0.0)))
        low.append(by_recording.least(np.where(both[:, None], pair, np.inf)))
        high.append(-by_recording.least(np.where(both[:, None], -pair, np.inf)))
    has_class = np.asarray(masks.expression)
    classes = np.arange(N_EXPRESSIONS)
    is_true = (np.asarray(labels.expression)[:, None] == classes) & has_class[:, None]
    is_pred = (np.asarray(found.expression)[:, None] == classes) & has_class[:, None]
    has_au = np.asarray(masks.au)
    true_au, pred_au = (np.asarray(one.au) > 0 for one in (labels, found))
    aus = (true_au & pred_au & has_au, (true_au & has_au) * 1 + (pred_au & has_au), has_au)
    return RecordingSums(
        recordings=tuple(names.tolist()),
        moments=np.stack(moments, axis=1),
        lowest=np.stack(low, axis=1),
        highest=np.stack(high, axis=1),
        expression=np.stack(
            [by_recording.total(is_true & is_pred), by_recording.total(is_true * 1 + is_pred)], 1
        ),
        n_expression=by_recording.total(has_class[:, None])[:, 0],
        au=np.stack([by_recording.total(one) for one in aus], axis=1),
        tasks=frozenset(tasks),
    )


class _Adder:
    """Sums and least values of columns over the rows of each recording."""

    def __init__(self, of_row: Array, n: int) -> None:
        self._order = np.argsort(of_row, kind="stable")
        self._start = np.searchsorted(of_row[self._order], np.arange(n))

    def total(self, columns: Array) -> Floats:
        """Return the sums (R, C) of columns (N, C)."""
        values = np.asarray(columns, np.float64)[self._order]
        sums: Floats = np.add.reduceat(values, self._start)
        return sums

    def least(self, columns: Array) -> Floats:
        """Return the least values (R, C) of columns (N, C)."""
        found: Floats = np.minimum.reduceat(columns[self._order], self._start)
        return found


def measures(sums: RecordingSums, counts: Array) -> dict[str, Floats]:
    """Return the official measure of B choices of recordings: key of `Scores` -> (B,).

    What is not defined, for want of labels or predictions, is NaN.

    Args:
        sums: of R recordings.
        counts: how often each recording is chosen, shape (B, R).
    """
    weight = np.asarray(counts, np.float64)
    is_in = weight > 0
    found: dict[str, Floats] = {}
    for place, (name, key) in enumerate(zip(_AFFECT, ("CCC_V", "CCC_A"), strict=True)):
        low = _least(sums.lowest[:, place], is_in)
        high = -_least(-sums.highest[:, place], is_in)
        is_flat: NDArray[np.bool_] = np.any(high <= low, axis=1)
        ccc = _ccc(weight @ sums.moments[:, place], is_flat)
        found[key] = ccc if name in sums.tasks else np.full(len(weight), np.nan)
    hits, either = (weight @ sums.expression[:, place] for place in range(2))
    f1 = np.where(either > 0, 2 * hits / np.maximum(either, 1), 0.0).mean(axis=1)
    has_rows = (weight @ sums.n_expression > 0) & ("expression" in sums.tasks)
    found["F1_EXPR"] = np.where(has_rows, f1, np.nan)
    hits, either, labelled = (weight @ sums.au[:, place] for place in range(3))
    f1 = np.where(either > 0, 2 * hits / np.maximum(either, 1), 0.0).mean(axis=1)
    has_all = (labelled > 0).all(axis=1) & ("au" in sums.tasks)
    found["F1_AU"] = np.where(has_all, f1, np.nan)
    affect = (found["CCC_V"] + found["CCC_A"]) / 2
    found["P_MTL"] = affect + found["F1_EXPR"] + found["F1_AU"]
    return found


def _ccc(moments: Floats, is_flat: NDArray[np.bool_]) -> Floats:
    """Return the CCC (B,) of moments (B, 6); NaN without a row."""
    n = moments[:, 0]
    true, pred, true2, pred2, product = (moments[:, 1:] / np.maximum(n, 1)[:, None]).T
    scatter = (true2 - true**2) + (pred2 - pred**2) + (true - pred) ** 2
    is_defined = ~is_flat & (scatter > 0)
    ccc = np.where(is_defined, 2 * (product - true * pred) / np.where(is_defined, scatter, 1), 0.0)
    return np.where(n > 0, ccc, np.nan)


def _least(values: Floats, is_in: NDArray[np.bool_]) -> Floats:
    """Return the least value (B, C) of (R, C) over the chosen recordings."""
    found = np.full((len(is_in), values.shape[1]), np.inf)
    for value, chosen in zip(values, is_in.T, strict=True):
        np.minimum(found, np.where(chosen[:, None], value, np.inf), out=found)
    return found
