"""Mixtures of several models' predictions, with weights for each task."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ..core.tasks import N_EXPRESSIONS, TASKS, Task
from .errors import PredictionError
from .postprocess import column_name, is_present, raw_column
from .predictions import PredictionTable
from .score import RowLabels
from .table_rows import places_of, rows_at
from .task_measure import counting_rows, task_measure
from .thresholds import DEFAULT_THRESHOLD

Array = NDArray[Any]
Mask = NDArray[np.bool_]

Weighting = Literal["equal", "fitted", "greedy"]
WEIGHTINGS: Final[tuple[Weighting, ...]] = get_args(Weighting)
ExpressionMix = Literal["mean", "vote"]
EXPRESSION_MIXES: Final[tuple[ExpressionMix, ...]] = get_args(ExpressionMix)
Weights = Mapping[Task, NDArray[np.float64]]
"""Task -> (M,) weights from 0 that sum to 1; a task that no model predicts is not there."""

PULL: Final = 0.01
"""How strongly fitted weights are drawn towards equal ones: the penalty on their squared distance,
as a share of the mean square of what is mixed. It settles what the data leave open, such as the
shares of two models that say the same."""
GREEDY_ROUNDS: Final = 25
"""Models that greedy selection takes, the same one as often as it helps."""
_TIE: Final = 1e-3
"""Share of the mean probability in votes: it decides between classes with as many votes."""


def aligned(tables: Sequence[PredictionTable], names: Sequence[str]) -> list[PredictionTable]:
    """Return the tables with their rows in the order of the first.

    Raises:
        PredictionError: a table predicts other frames.
    """
    first = list(zip(tables[0].video, tables[0].frame.tolist(), strict=True))
    found = [tables[0]]
    for table, name in zip(tables[1:], names[1:], strict=True):
        keys = list(zip(table.video, table.frame.tolist(), strict=True))
        if keys == first:
            found.append(table)
            continue
        odd = sorted(set(keys) ^ set(first))
        if odd or len(keys) != len(first):
            example = f", one is frame {odd[0][1]} of {odd[0][0]!r}" if odd else ""
            message = (
                f"models that are mixed must predict the same frames, but {names[0]} has "
                f"{len(first):,} and {name} {len(keys):,}, with {len(odd):,} in only one of "
                f"them{example}; leave one out, or train both on the same labels"
            )
            raise PredictionError(message)
        found.append(rows_at(table, places_of(table, first, name)))
    return found


def mix_tables(
    tables: Sequence[PredictionTable], weights: Weights, expression: ExpressionMix = "mean"
) -> PredictionTable:
    """Return the weighted mixture of tables that have the same rows; one alone is given back.

    Valence, arousal and AU probabilities are weighted means; an AU is present from 0.5.

    Args:
        tables: M tables of the same rows in the same order, with probabilities.
        weights: task -> (M,); the tasks that the mixture predicts.
        expression: `mean` takes the mean probabilities; `vote` the models' classes, and the mean
            probabilities between classes with as many votes.

    Raises:
        PredictionError: a table that counts has no probabilities.
    """
    tasks = frozenset(task for task in TASKS if task in weights)
    for place, table in enumerate(tables):
        alone = all(weights[task][place] == 1 for task in tasks)
        if alone and table.tasks == tasks:
            return table
    n = len(tables[0])
    columns: dict[str, Array] = {
        "valence": np.zeros(n, np.float32),
        "arousal": np.zeros(n, np.float32),
        "p_expression": np.zeros((n, N_EXPRESSIONS), np.float32),
        "p_au": np.zeros(tables[0].au.shape, np.float32),
    }
    for task in tasks:
        is_used = np.flatnonzero(weights[task])
        members = [mixed_column(tables[place], task, expression) for place in is_used.tolist()]
        columns[column_name(task)] = _mean(members, weights[task][is_used])
    return PredictionTable(
        video=tables[0].video,
        frame=tables[0].frame,
        expression=answer("expression", columns["p_expression"]).astype(np.int8),
        au=answer("au", columns["p_au"]).astype(np.int8),
        tasks=tasks,
        **columns,
    )


def mixed_column(table: PredictionTable, task: Task, expression: ExpressionMix) -> Array:
    """Return what is averaged of one model: values (N,) or probabilities (N, C), float64."""
    column = raw_column(table, task).astype(np.float64)
    if task == "expression" and expression == "vote":
        votes = np.arange(N_EXPRESSIONS) == table.expression[:, None]
        column = (1 - _TIE) * votes + _TIE * column
    return column


def answer(task: Task, column: Array) -> Array:
    """Return what a mixed column says: values, classes, or AUs as 0 or 1."""
    if task == "expression":
        classes: Array = column.argmax(axis=1)
        return classes
    return is_present(column, np.array(DEFAULT_THRESHOLD)) if task == "au" else column


def _mean(members: Sequence[Array], weights: Array) -> NDArray[np.float32]:
    total = np.zeros_like(members[0], np.float64)
    for member, weight in zip(members, weights, strict=True):
        total += weight * member
    return total.astype(np.float32)


def equal_weights(tables: Sequence[PredictionTable]) -> dict[Task, NDArray[np.float64]]:
    """Return the same weight for each model that predicts a task."""
    weights = {}
    for task in TASKS:
        has_task = np.array([task in table.tasks for table in tables], np.float64)
        if has_task.any():
            weights[task] = has_task / has_task.sum()
    return weights


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
        able = np.flatnonzero(equal)
        members = [mixed_column(tables[place], task, expression)[order] for place in able.tolist()]
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
        place = int(np.argmax(np.array(values, np.float64)))
        taken[place] += 1
        total = total + members[place]
        if np.array(values, np.float64)[place] > best:
            best, best_taken = float(np.array(values, np.float64)[place]), taken.copy()
    shares: NDArray[np.float64] = best_taken / best_taken.sum()
    return shares
