"""Mixtures of several models' predictions, with weights for each task."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..core.tasks import N_EXPRESSIONS, TASKS, Task
from .errors import PredictionError
from .postprocess import column_name, is_present, raw_column
from .prediction_places import places_of
from .predictions import PredictionTable
from .thresholds import DEFAULT_THRESHOLD

Array = NDArray[Any]

ExpressionMix = Literal["mean", "vote"]
EXPRESSION_MIXES: Final[tuple[ExpressionMix, ...]] = get_args(ExpressionMix)
Weights = Mapping[Task, NDArray[np.float64]]
"""Task -> (M,) weights from 0 that sum to 1; a task that no model predicts is not there."""

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
        found.append(table.take(places_of(table, first, name)))
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
        used = np.flatnonzero(weights[task]).tolist()
        members = [mixed_column(tables[place], task, expression) for place in used]
        columns[column_name(task)] = _mean(members, weights[task][used])
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
    column: Array = raw_column(table, task).astype(np.float64)
    if task == "expression" and expression == "vote":
        votes = np.arange(N_EXPRESSIONS) == table.expression[:, None]
        column = (1 - _TIE) * votes + _TIE * column
    return column


def answer(task: Task, column: Array) -> Array:
    """Return what a mixed column says: values, classes, or AUs as 0 or 1."""
    if task == "expression":
        classes: Array = column.argmax(axis=1)
        return classes
    if task == "au":
        aus: Array = is_present(column, np.array(DEFAULT_THRESHOLD))
        return aus
    return column


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
