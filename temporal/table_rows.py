"""Rows of prediction tables: some of one, and those of several one after another."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import PredictionError
from .predictions import PredictionTable

Array = NDArray[Any]


def rows_at(table: PredictionTable, rows: Array) -> PredictionTable:
    """Return the rows of these numbers, in this order."""
    return replace(
        table,
        video=[table.video[row] for row in rows.tolist()],
        frame=table.frame[rows],
        valence=table.valence[rows],
        arousal=table.arousal[rows],
        expression=table.expression[rows],
        au=table.au[rows],
        p_expression=None if table.p_expression is None else table.p_expression[rows],
        p_au=None if table.p_au is None else table.p_au[rows],
    )


def concatenated(tables: Sequence[PredictionTable]) -> PredictionTable:
    """Return the rows of all tables, one table after another.

    Raises:
        PredictionError: there is no table, or they predict different tasks.
    """
    if not tables or len({table.tasks for table in tables}) > 1:
        message = (
            f"tables that are put together must be at least one and predict the same tasks, but "
            f"are {len(tables)} of {[sorted(table.tasks) for table in tables]}"
        )
        raise PredictionError(message)
    p_expression = [table.p_expression for table in tables if table.p_expression is not None]
    p_au = [table.p_au for table in tables if table.p_au is not None]
    return PredictionTable(
        video=[video for table in tables for video in table.video],
        frame=np.concatenate([table.frame for table in tables]),
        valence=np.concatenate([table.valence for table in tables]),
        arousal=np.concatenate([table.arousal for table in tables]),
        expression=np.concatenate([table.expression for table in tables]),
        au=np.concatenate([table.au for table in tables]),
        p_expression=np.concatenate(p_expression) if len(p_expression) == len(tables) else None,
        p_au=np.concatenate(p_au) if len(p_au) == len(tables) else None,
        tasks=tables[0].tasks,
    )


def places_of(table: PredictionTable, keys: Sequence[tuple[str, int]], source: str) -> Array:
    """Return the row of the table for each (video, frame number).

    Args:
        table: predictions.
        keys: frames that must be there.
        source: what the predictions are, for the error.

    Raises:
        PredictionError: a frame is not there, or is there twice with different predictions.
    """
    places = table.places()
    missing = [key for key in keys if key not in places]
    if missing:
        video, frame = missing[0]
        message = (
            f"{source} must predict every frame that counts, but lack {len(missing)} of "
            f"{len(keys)}, the first is frame {frame} of {video!r}; predict the whole split"
        )
        raise PredictionError(message)
    return np.array([places[key] for key in keys], np.intp)
