"""The challenge's measures.

A name that ends in `_score` or `_f1` is better when higher; arguments are always `(y_true,
y_pred)`; everything is computed in float64. `ccc_score` and `expression_f1` know no masks: the
caller selects the rows that count. `p_mtl` is at most 3:

    P_MTL = (CCC_V + CCC_A) / 2 + macro-F1 over 8 expressions + mean positive-class F1 over 12 AUs
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.tasks import AUS, EXPRESSIONS, N_AUS, N_EXPRESSIONS, TASKS, Task

Array = NDArray[Any]


def ccc_score(y_true: Array, y_pred: Array) -> float:
    """Concordance correlation coefficient of one affect dimension.

    Population moments (ddof=0), as in the challenge's formula 2 cov / (var + var + (mean -
    mean)^2). Two constant signals have no defined CCC; that scores 0.0.

    Args:
        y_true: annotated values, shape (N,), in [-1, 1].
        y_pred: predicted values, shape (N,).

    Raises:
        ValueError: the shapes differ, are not 1-D, or N is 0.

    >>> y = np.array([-0.5, 0.0, 0.5])
    >>> round(ccc_score(y, y + 0.5), 3)   # right shape, constant offset
    0.571
    """
    _check_pair(y_true, y_pred, 1)
    true, pred = np.asarray(y_true, np.float64), np.asarray(y_pred, np.float64)
    # The mean of equal numbers may differ from them in the last digit, and what is left would
    # correlate perfectly; so a constant is told by its range.
    if np.ptp(true) == 0 or np.ptp(pred) == 0:
        return 0.0
    d_true, d_pred = true - true.mean(), pred - pred.mean()
    scatter = (d_true**2).mean() + (d_pred**2).mean() + (true.mean() - pred.mean()) ** 2
    # The squares of the very smallest numbers are 0.
    return 0.0 if scatter == 0 else float(2 * (d_true * d_pred).mean() / scatter)


def expression_f1(y_true: Array, y_pred: Array) -> Array:
    """F1 of each of the 8 expressions, shape (8,); their mean is the challenge's macro-F1.

    A class that neither occurs nor is predicted counts 0: the mean is over 8 classes always.

    Args:
        y_true: annotated classes, shape (N,), 0 to 7.
        y_pred: predicted classes, shape (N,).

    Raises:
        ValueError: the shapes differ, are not 1-D, N is 0, or a class is not one of the 8.

    >>> expression_f1(np.array([0, 0, 4, 4]), np.array([0, 0, 4, 0])).round(2).tolist()
    [0.8, 0.0, 0.0, 0.0, 0.67, 0.0, 0.0, 0.0]
    """
    _check_pair(y_true, y_pred, 1)
    true, pred = np.asarray(y_true), np.asarray(y_pred)
    for classes in (true, pred):
        is_class = np.isin(classes, np.arange(N_EXPRESSIONS))
        if not is_class.all():
            message = f"expressions are 0 to {N_EXPRESSIONS - 1}, but got {classes[~is_class][0]}"
            raise ValueError(message)
    hits = np.bincount(true[true == pred].astype(np.intp), minlength=N_EXPRESSIONS)
    found = np.bincount(np.concatenate([true, pred]).astype(np.intp), minlength=N_EXPRESSIONS)
    return np.where(found > 0, 2 * hits / np.maximum(found, 1), 0.0)


def au_f1(y_true: Array, y_pred: Array, is_labelled: Array) -> Array:
    """F1 of the positive class of each of the 12 AUs, shape (12,), over its labelled rows.

    An AU without a positive in labels and predictions counts 0; one without a labelled row is NaN.

    Args:
        y_true: annotated AUs, shape (N, 12), 0 or 1.
        y_pred: predicted AUs, shape (N, 12), 0 or 1.
        is_labelled: which annotations count, boolean (N, 12).

    Raises:
        ValueError: the shapes differ or are not (N, 12).
    """
    _check_pair(y_true, y_pred, 2)
    if np.shape(y_true)[1:] != (N_AUS,) or np.shape(is_labelled) != np.shape(y_true):
        message = (
            f"AUs and their is_labelled must be (N, {N_AUS}), but are {np.shape(y_true)} and "
            f"{np.shape(is_labelled)}"
        )
        raise ValueError(message)
    true, pred = np.asarray(y_true) > 0, np.asarray(y_pred) > 0
    hits = (true & pred & is_labelled).sum(axis=0)
    found = (pred & is_labelled).sum(axis=0) + (true & is_labelled).sum(axis=0)
    scores = np.where(found > 0, 2 * hits / np.maximum(found, 1), 0.0)
    return np.where(is_labelled.any(axis=0), scores, np.nan)


def p_mtl(ccc_v: float, ccc_a: float, f1_expr: float, f1_au: float) -> float:
    """The challenge's multi-task measure: affect, expressions and AUs weigh the same; at most 3.

    >>> p_mtl(0.5, 0.3, 0.4, 0.6)
    1.4
    """
    return (ccc_v + ccc_a) / 2 + f1_expr + f1_au


def _check_pair(y_true: Array, y_pred: Array, ndim: int) -> None:
    true, pred = np.shape(y_true), np.shape(y_pred)
    if true != pred or len(true) != ndim or true[0] == 0:
        message = (
            f"y_true and y_pred must be {ndim}-D, of one shape and not empty, but got y_true "
            f"{true} and y_pred {pred}"
        )
        raise ValueError(message)


@dataclass(frozen=True)
class Scores:
    """The official measure and its parts; None where a task has no labels or no prediction."""

    CCC_V: float | None
    CCC_A: float | None
    F1_EXPR: float | None
    F1_AU: float | None
    N: dict[str, int]
    """Labelled rows per task: VA (both), EXPR, AU (rows with any)."""
    per_expression: dict[str, float]
    """F1 by name; empty where no expression is labelled."""
    per_au: dict[str, float]
    """F1 by name, of the AUs that have a labelled row."""
    n_unused: int = 0
    """Predictions for frames that no annotated row lists."""
    not_predicted: tuple[Task, ...] = ()
    """Tasks without a score because nothing predicts them, labels or not."""

    @property
    def P_MTL(self) -> float | None:  # noqa: N802 - the challenge's name
        """The sum of the three measures; None if a task has no labels or no prediction."""
        if self.CCC_V is None or self.CCC_A is None or self.F1_EXPR is None or self.F1_AU is None:
            return None
        return p_mtl(self.CCC_V, self.CCC_A, self.F1_EXPR, self.F1_AU)

    @property
    def available(self) -> float:
        """The sum of the terms that are defined: P_MTL where all are."""
        affect = ((self.CCC_V or 0.0) + (self.CCC_A or 0.0)) / 2
        return affect + (self.F1_EXPR or 0.0) + (self.F1_AU or 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return all figures with all digits, as JSON takes them."""
        return {
            "CCC_V": self.CCC_V,
            "CCC_A": self.CCC_A,
            "F1_EXPR": self.F1_EXPR,
            "F1_AU": self.F1_AU,
            "P_MTL": self.P_MTL,
            "N": dict(self.N),
            "per_expression": dict(self.per_expression),
            "per_au": dict(self.per_au),
            "n_unused_predictions": self.n_unused,
            "not_predicted": list(self.not_predicted),
        }

    def text(self) -> str:
        """Return the figures for people to read."""
        keys = ("CCC_V", "CCC_A", "F1_EXPR", "F1_AU", "P_MTL")
        lines = [f"{key:8} {figure(getattr(self, key), 6)}" for key in keys]
        lines.append("N        " + ", ".join(f"{task} {n:,}" for task, n in self.N.items()))
        for name, parts in (("per expression", self.per_expression), ("per AU", self.per_au)):
            if parts:
                cells = [f"{key} {value:.3f}" for key, value in parts.items()]
                lines.append(f"{name}: {', '.join(cells)}")
        if self.not_predicted:
            lines.append(f"not predicted: {', '.join(self.not_predicted)}")
        if self.n_unused:
            lines.append(f"{self.n_unused:,} predictions for frames that are not annotated")
        return "\n".join(lines)


def figure(value: float | None, digits: int) -> str:
    """Return a figure, or n/a."""
    return "n/a" if value is None else f"{value:.{digits}f}"


@dataclass(frozen=True)
class AffectRows:
    """Annotated rows, or the predictions for them."""

    valence: Array
    """(N,)"""
    arousal: Array
    """(N,)"""
    expression: Array
    """(N,) class numbers."""
    au: Array
    """(N, 12) 0 or 1."""


@dataclass(frozen=True)
class LabelMasks:
    """Which annotated values of `AffectRows` count."""

    valence: Array
    arousal: Array
    expression: Array
    au: Array
    """(N, 12)"""


def score_rows(
    labels: AffectRows,
    is_labelled: LabelMasks,
    predictions: AffectRows,
    predicted: Collection[Task] = TASKS,
) -> Scores:
    """Return the official measure over rows; a frame that is listed twice counts twice.

    Valence and arousal count where both are labelled, expressions where labelled, AUs element by
    element. An AU that has no labelled row leaves F1_AU undefined.

    Args:
        labels: what is annotated.
        is_labelled: which of it counts.
        predictions: what is predicted.
        predicted: tasks that are; the others are not looked at, and have no score.

    Raises:
        ValueError: shapes differ, or a prediction is NaN or infinite; the first one is named.
    """
    for name in (task for task in TASKS if task in predicted):
        values = np.asarray(getattr(predictions, name), np.float64)
        is_number = np.isfinite(values)
        if not is_number.all():
            place = tuple(np.argwhere(~is_number)[0])
            message = (
                f"predictions must be finite numbers, but {name} of row {place[0]} is "
                f"{values[place]}"
            )
            raise ValueError(message)
    both = np.asarray(is_labelled.valence) & np.asarray(is_labelled.arousal)
    has_expression = np.asarray(is_labelled.expression)
    has_au = np.asarray(is_labelled.au)
    ccc = [
        ccc_score(getattr(labels, name)[both], getattr(predictions, name)[both])
        if both.any() and name in predicted
        else None
        for name in ("valence", "arousal")
    ]
    per_expression = (
        expression_f1(labels.expression[has_expression], predictions.expression[has_expression])
        if has_expression.any() and "expression" in predicted
        else None
    )
    is_scored = has_au.any() and "au" in predicted
    per_au = au_f1(labels.au, predictions.au, has_au) if is_scored else None
    is_whole = per_au is not None and not np.isnan(per_au).any()
    return Scores(
        CCC_V=ccc[0],
        CCC_A=ccc[1],
        F1_EXPR=None if per_expression is None else float(per_expression.mean()),
        F1_AU=float(per_au.mean()) if per_au is not None and is_whole else None,
        N={
            "VA": int(both.sum()),
            "EXPR": int(has_expression.sum()),
            "AU": int(has_au.any(axis=1).sum()) if has_au.size else 0,
        },
        per_expression=_named(EXPRESSIONS, per_expression),
        per_au=_named(AUS, per_au),
        not_predicted=tuple(task for task in TASKS if task not in predicted),
    )


def _named(names: tuple[str, ...], values: Array | None) -> dict[str, float]:
    if values is None:
        return {}
    return {
        name: float(value) for name, value in zip(names, values, strict=True) if not np.isnan(value)
    }
