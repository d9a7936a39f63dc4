"""The constant predictor: what any model has to beat."""

import numpy as np

from ..core.tasks import N_AUS, N_EXPRESSIONS
from .metrics import AffectRows, Scores, expression_f1, score_rows
from .score import RowLabels


def constant_scores(train: RowLabels, rows: RowLabels) -> Scores:
    """Return the scores of the constants that score best on the training split.

    Any constant has a CCC of 0. The expression is the class whose constant prediction has the best
    macro-F1, the most frequent one. Each AU is always present where it occurs at all in training:
    that scores 2p / (1 + p) at a base rate p, and always absent scores 0.

    Args:
        train: rows that the constants are chosen on.
        rows: rows that are scored.
    """
    expression = _best_expression(train)
    has_positive = (train.labels.au * train.is_labelled.au).any(axis=0)
    n = len(rows.keys)
    constant = AffectRows(
        valence=np.full(n, _mean(train.labels.valence, train.is_labelled.valence)),
        arousal=np.full(n, _mean(train.labels.arousal, train.is_labelled.arousal)),
        expression=np.full(n, expression),
        au=np.broadcast_to(has_positive.astype(np.int8), (n, N_AUS)),
    )
    return score_rows(rows.labels, rows.is_labelled, constant)


def _best_expression(train: RowLabels) -> int:
    labels = train.labels.expression[train.is_labelled.expression]
    if not len(labels):
        return 0
    macro = [expression_f1(labels, np.full(len(labels), c)).mean() for c in range(N_EXPRESSIONS)]
    return int(np.argmax(macro))


def _mean(values: np.ndarray, is_labelled: np.ndarray) -> float:
    return float(values[is_labelled].mean()) if is_labelled.any() else 0.0
