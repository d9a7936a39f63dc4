"""Sums over the annotated rows of each video: what folds are balanced by, and shown with."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...cache import LabelTable
from ...core.tasks import N_AUS, N_EXPRESSIONS, TASKS

Sums = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LabelSums:
    """Sums of V videos, or of V groups of videos."""

    rows: Sums
    """(V,) annotated rows."""
    labelled: Sums
    """(V, 4) rows with a label of each task; of action units, with any."""
    affect: Sums
    """(V, 2) sum of valence and of arousal."""
    expression: Sums
    """(V, 8) rows of each expression."""
    au: Sums
    """(V, 12) rows with each action unit."""
    au_labelled: Sums
    """(V, 12) rows on which each action unit is annotated."""

    def over(self, group: NDArray[np.intp], n: int) -> "LabelSums":
        """Return the sums of n groups; `group` (V,) is that of each video, -1 for none."""
        is_in = group >= 0

        def add(sums: Sums) -> Sums:
            total = np.zeros((n, *sums.shape[1:]))
            np.add.at(total, group[is_in], sums[is_in])
            return total

        return LabelSums(**{name: add(sums) for name, sums in vars(self).items()})

    def total(self) -> "LabelSums":
        """Return the sums of all, V = 1."""
        return self.over(np.zeros(len(self.rows), np.intp), 1)


def label_sums(table: LabelTable, is_in: NDArray[np.bool_]) -> LabelSums:
    """Return the sums over rows of a table per video, in the table's order of videos.

    Args:
        table: the labels.
        is_in: (R,) the rows that count.
    """
    video = table.row_video[is_in]
    n = len(table.videos)

    def count(weights: NDArray[np.generic]) -> Sums:
        return np.bincount(video, weights[is_in].astype(np.float64), n).astype(np.float64)

    expression, has_expression = table.row_expression, table.row_expression_is_labelled
    masks = [getattr(table, f"row_{task}_is_labelled") for task in TASKS]
    has_label = [mask.reshape(len(mask), -1).any(axis=1) for mask in masks]
    return LabelSums(
        rows=np.bincount(video, minlength=n).astype(np.float64),
        labelled=np.stack([count(mask) for mask in has_label], axis=1),
        affect=np.stack([count(table.row_valence), count(table.row_arousal)], axis=1),
        expression=np.stack(
            [count(has_expression & (expression == c)) for c in range(N_EXPRESSIONS)], axis=1
        ),
        au=np.stack([count(table.row_au[:, a]) for a in range(N_AUS)], axis=1),
        au_labelled=np.stack([count(table.row_au_is_labelled[:, a]) for a in range(N_AUS)], axis=1),
    )
