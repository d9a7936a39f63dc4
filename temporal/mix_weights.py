"""How much each model counts in a mixture: weights chosen on labelled predictions, task by task."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ..core.tasks import N_EXPRESSIONS, Task
from .mixing import ExpressionMix, answer, equal_weights, mixed_column
from .prediction_places import places_of
from .predictions import PredictionTable
from .score import RowLabels
from .task_measure import counting_rows, task_measure

Array = NDArray[Any]
Mask = NDArray[np.bool_]

Weighting = Literal["equal", "fitted", "greedy"]
WEIGHTINGS: Final[tuple[Weighting, ...]] = get_args(Weighting)

PULL: Final = 0.01
"""How strongly fitted weights are drawn towards equal ones: the penalty on their squared distance,
as a share of the mean square of what is mixed. It settles what the data leave open, such as the
shares of two models that say the same."""
GREEDY_ROUNDS: Final = 25
"""Models that greedy selection takes, the same one as often as it helps."""


def choose_weights(
    tables: Sequence[PredictionTable],
    rows: RowLabels,
    chosen: Sequence[Mask],
    weighting: Weighting,
    expression: ExpressionMix = "mean",
) -> list[dict[Task, NDArray[np.float64]]]:
    """Return the weights of each task for each choice of rows.

    `fitted` weights have the least squared error on the labelled rows (of values; of probabilities
    against 0 and 1, the Brier score) with a pull towards equal ones. `greedy` ones come from
    forward selection with replacement by the task's own measure (Caruana and others, 2004). A task
    without a label in the choice gets equal weights.

    Args:
        tables: M tables of the same rows in the same order.
        rows: R annotated rows.
        chosen: which rows count, shape (R,), for each result.
        weighting: equal, fitted or greedy.
        expression: how expressions are mixed.

    Raises:
        PredictionError: a row has no prediction, or a table no probabilities.
    """
    found = [equal_weights(tables) for _ in chosen]
    if weighting == "equal" or len(tables) == 1:
        return found
    order = places_of(tables[0], rows.keys, "the predictions")
    for task, equal in equal_weights(tables).items():
        able = np.flatnonzero(equal).tolist()
        members = [mixed_column(tables[place], task, expression)[order] for place in able]
        choose = _least_squares if weighting == "fitted" else _greedy
        for weights, is_chosen in zip(found, chosen, strict=True):
            weights[task][able] = choose(task, members, rows, is_chosen)
    return found


def _least_squares(
    task: Task, members: Sequence[Array], rows: RowLabels, is_chosen: Mask
) -> NDArray[np.float64]:
    counts = counting_rows(task, rows)
    truth = np.asarray(getattr(rows.labels, task))
    if task == "expression":
        truth = truth[:, None] == np.arange(N_EXPRESSIONS)
    some = counts & (is_chosen[:, None] if counts.ndim == 2 else is_chosen)
    n = len(members)
    if not some.any() or n == 1:
        return np.full(n, 1 / n)
    predicted = np.stack([member[some].ravel() for member in members])  # (M, values)
    target = truth[some].astype(np.float64).ravel()
    size = predicted.shape[1]
    return simplex_least_squares(predicted @ predicted.T / size, predicted @ target / size, PULL)


def simplex_least_squares(square: Array, cross: Array, pull: float) -> NDArray[np.float64]:
    """Return the weights w >= 0 of sum 1 with the least w'Gw - 2 b'w + c |w - 1/M|^2.

    Args:
        square: G, shape (M, M): mean products of the models' predictions with each other.
        cross: b, shape (M,): mean products with the truth.
        pull: c as a share of G's mean diagonal.
    """
    n = len(cross)
    # Measured in the predictions' own size, so that a tolerance means the same for every task.
    scale = float(np.trace(square)) / n
    if scale == 0:
        return np.full(n, 1 / n)
    whole = square / scale + pull * np.eye(n)
    linear = cross / scale + pull / n

    def loss(weights: Array) -> float:
        return float(weights @ whole @ weights - 2 * linear @ weights)

    def slope(weights: Array) -> Array:
        gradient: Array = 2 * (whole @ weights - linear)
        return gradient

    found = minimize(
        loss,
        np.full(n, 1 / n),
        jac=slope,
        method="SLSQP",
        bounds=[(0, 1)] * n,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    weights = np.maximum(found.x, 0.0)
    weights[weights < 1e-6] = 0.0  # what the solver leaves of a weight at its bound
    return np.asarray(weights / weights.sum(), np.float64)


def _greedy(
    task: Task, members: Sequence[Array], rows: RowLabels, is_chosen: Mask
) -> NDArray[np.float64]:
    def value(total: Array, count: int) -> float | None:
        mixed = (total / count).astype(np.float32)
        return task_measure(task, answer(task, mixed), rows, is_chosen)

    return greedy_selection(members, value)


def greedy_selection(
    members: Sequence[Array], value: Callable[[Array, int], float | None]
) -> NDArray[np.float64]:
    """Return how often each of M models is taken, as shares.

    In each round the model is taken that makes the mean of all taken best, the first of equals; the
    shortest of the best prefixes counts.

    Args:
        members: predictions of each model, of one shape.
        value: the measure of a sum of so many predictions; None where there is nothing to measure.
    """
    n = len(members)
    taken = np.zeros(n, np.float64)
    best_taken, best = np.ones(n, np.float64), -np.inf
    total = np.zeros_like(members[0])
    for count in range(1, GREEDY_ROUNDS + 1):
        values = [value(total + member, count) for member in members]
        if values[0] is None:
            break
        measured = np.array(values, np.float64)
        place = int(np.argmax(measured))
        taken[place] += 1
        total = total + members[place]
        if measured[place] > best:
            best, best_taken = float(measured[place]), taken.copy()
    shares: NDArray[np.float64] = best_taken / best_taken.sum()
    return shares
