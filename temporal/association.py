"""How much the labels of two tasks have to do with each other, from the annotations alone."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..core.tasks import N_EXPRESSIONS, TASKS, Task
from .metrics import ccc_score
from .score import RowLabels

Array = NDArray[Any]
_ROWS_A_COLUMN: Final = 10
"""Annotated rows that a column of either side needs: fewer correlate by chance."""
_LEAST: Final = 1e-9
"""Share of the largest singular value below which a direction is none."""


@dataclass(frozen=True)
class Association:
    """Of every two tasks."""

    matrix: dict[tuple[Task, Task], float | None]
    """(one, other), both ways -> canonical correlation; None with too few rows of both."""
    pearson: float | None
    """Of valence and arousal, with its sign."""
    ccc: float | None
    """Of valence and arousal."""


def association(rows: RowLabels) -> Association:
    """Return the first canonical correlation of the labels of every two tasks.

    A value is a column, an expression is 8 columns that say which, AUs are 12. So it is one
    measure for every two kinds, from 0 to 1, and the same both ways: |Pearson's r| of valence and
    arousal, the correlation ratio (eta) of a value and expressions, the multiple correlation of a
    value and AUs. Rows that are annotated for both count (with all AUs).

    Args:
        rows: annotations.
    """
    columns = {task: _columns(task, rows) for task in TASKS}
    is_there = {task: _is_annotated(task, rows) for task in TASKS}
    matrix: dict[tuple[Task, Task], float | None] = {}
    for place, one in enumerate(TASKS):
        for other in TASKS[place + 1 :]:
            both = is_there[one] & is_there[other]
            found = canonical_correlation(columns[one][both], columns[other][both])
            matrix[one, other] = matrix[other, one] = found
    both = is_there["valence"] & is_there["arousal"]
    valence, arousal = columns["valence"][both, 0], columns["arousal"][both, 0]
    is_known = matrix["valence", "arousal"] is not None
    return Association(
        matrix,
        float(np.corrcoef(valence, arousal)[0, 1]) if is_known else None,
        ccc_score(valence, arousal) if is_known else None,
    )


def _columns(task: Task, rows: RowLabels) -> Array:
    """Return the labels as (N, C) numbers."""
    values = np.asarray(getattr(rows.labels, task))
    if task == "expression":
        return np.asarray(np.eye(N_EXPRESSIONS)[values.clip(0, N_EXPRESSIONS - 1)])
    return values.reshape(len(values), -1).astype(np.float64)


def _is_annotated(task: Task, rows: RowLabels) -> NDArray[np.bool_]:
    mask = np.asarray(getattr(rows.is_labelled, task), np.bool_)
    return np.asarray(mask.reshape(len(mask), -1).all(axis=1), np.bool_)


def canonical_correlation(one: Array, other: Array) -> float | None:
    """Return the first canonical correlation of columns (N, C) and (N, D), from 0 to 1.

    None if a side does not vary, or there are too few rows for so many columns.
    """
    n, width = len(one), one.shape[1] + other.shape[1]
    if n < _ROWS_A_COLUMN * width:
        return None
    bases = [_directions(side) for side in (one, other)]
    if not all(base.shape[1] for base in bases):
        return None
    largest = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)[0]
    return float(min(largest, 1.0))


def _directions(columns: Array) -> Array:
    """Return an orthonormal basis (N, K) of what varies in columns (N, C)."""
    base, size, _ = np.linalg.svd(columns - columns.mean(axis=0), full_matrices=False)
    if size[0] <= _LEAST * max(1.0, float(np.abs(columns).max())) * len(columns) ** 0.5:
        return base[:, :0]
    return np.asarray(base[:, size > _LEAST * size[0]])
