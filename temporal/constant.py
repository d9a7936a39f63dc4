"""The constant predictor: what any model has to beat."""

from collections.abc import Sequence

import numpy as np

from ..core.tasks import N_AUS, N_EXPRESSIONS
from .metrics import Scores, au_f1, expression_f1
from .predictions import PredictionTable
from .score import RowLabels, score_table


def constant_predictions(train: RowLabels, keys: Sequence[tuple[str, int]]) -> PredictionTable:
    """Return, for every frame asked for, the constants that score best on the training split.

    Any constant has a CCC of 0; the values are the training means. The expression is the class
    whose constant prediction has the best macro-F1. An AU is always present where that has a
    better F1 than always absent (2p / (1 + p) at a base rate p against 0), so wherever it occurs.
    A task without a training label gets 0.

    Args:
        train: rows that the constants are chosen on.
        keys: (video, frame number) of each row that is asked for.
    """
    n = len(keys)
    expression, au = _best_expression(train), _best_aus(train)
    is_class = np.arange(N_EXPRESSIONS) == expression
    return PredictionTable(
        video=[video for video, _ in keys],
        frame=np.array([frame for _, frame in keys], np.int32),
        valence=np.full(n, _mean(train.labels.valence, train.is_labelled.valence), np.float32),
        arousal=np.full(n, _mean(train.labels.arousal, train.is_labelled.arousal), np.float32),
        expression=np.full(n, expression, np.int8),
        au=np.tile(au.astype(np.int8), (n, 1)),
        p_expression=np.tile(is_class.astype(np.float32), (n, 1)),
        p_au=np.tile(au.astype(np.float32), (n, 1)),
    )


def constant_scores(train: RowLabels, rows: RowLabels) -> Scores:
    """Return how the constants that score best on the training split score on other rows.

    Args:
        train: rows that the constants are chosen on.
        rows: rows that are scored.
    """
    return score_table(constant_predictions(train, rows.keys), rows, "the constant predictor")


def _best_expression(train: RowLabels) -> int:
    labels = train.labels.expression[train.is_labelled.expression]
    if not len(labels):
        return 0
    macro = [expression_f1(labels, np.full(len(labels), c)).mean() for c in range(N_EXPRESSIONS)]
    return int(np.argmax(macro))


def _best_aus(train: RowLabels) -> np.ndarray:
    labels, is_labelled = train.labels.au, train.is_labelled.au
    if not len(labels):
        return np.zeros(N_AUS, np.bool_)
    present = au_f1(labels, np.ones_like(labels), is_labelled)
    absent = au_f1(labels, np.zeros_like(labels), is_labelled)
    # An AU without a label has no F1 (NaN), which is greater than nothing.
    return np.greater(present, absent)


def _mean(values: np.ndarray, is_labelled: np.ndarray) -> float:
    return float(values[is_labelled].mean()) if is_labelled.any() else 0.0
