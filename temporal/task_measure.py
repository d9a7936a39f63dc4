"""One task's own part of the official measure, on some of the annotated rows."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..core.tasks import Task
from .metrics import au_f1, ccc_score, expression_f1
from .score import RowLabels

Array = NDArray[Any]

MEASURE: Final[dict[Task, str]] = {
    "valence": "CCC_V",
    "arousal": "CCC_A",
    "expression": "F1_EXPR",
    "au": "F1_AU",
}
"""The figure of `Scores` that is a task's own."""


def counting_rows(task: Task, rows: RowLabels) -> NDArray[np.bool_]:
    """Return which rows count for a task, shape (R,), or (R, 12) for AUs.

    Valence and arousal count where both are labelled, as the official measure has it.
    """
    masks = rows.is_labelled
    if task == "expression":
        return np.asarray(masks.expression, np.bool_)
    if task == "au":
        return np.asarray(masks.au, np.bool_)
    return np.asarray(masks.valence, np.bool_) & np.asarray(masks.arousal, np.bool_)


def task_measure(
    task: Task, predicted: Array, rows: RowLabels, is_chosen: NDArray[np.bool_]
) -> float | None:
    """Return the task's measure over the chosen rows that are labelled; None without one.

    AUs without a labelled row are left out of the mean over AUs.

    Args:
        task: whose measure: CCC of its values, macro-F1 of its classes, or mean F1 of its AUs.
        predicted: for each row the value, the class, or the 12 AUs as 0 or 1.
        rows: annotations of R rows.
        is_chosen: shape (R,).
    """
    counts = counting_rows(task, rows)
    truth = getattr(rows.labels, task)
    if task == "au":
        is_labelled = counts & is_chosen[:, None]
        if not is_labelled.any():
            return None
        return float(np.nanmean(au_f1(truth, predicted, is_labelled)))
    some = counts & is_chosen
    if not some.any():
        return None
    if task == "expression":
        return float(expression_f1(truth[some], predicted[some]).mean())
    return ccc_score(truth[some], predicted[some])
