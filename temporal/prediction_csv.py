"""Prediction tables as CSV."""

import csv
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from ..core.files import atomic_write
from ..core.tasks import N_AUS, N_EXPRESSIONS, TASKS, Task
from .errors import PredictionError
from .number_lines import lines_of, parse_numbers, split_first, whole_classes, whole_frames
from .prediction_table import COLUMNS, TASK_COLUMNS, PredictionTable
from .text_cells import Column, decimals, digits, empty, text_lines, texts, whole_numbers


def write_csv(path: Path, table: PredictionTable) -> None:
    """Write a table with probabilities, whole or not at all.

    A float32 is written as the shortest text that reads back as the same one.
    """
    if table.p_expression is None or table.p_au is None:
        message = "a prediction table is written with its probabilities"
        raise ValueError(message)
    columns: dict[Task, list[Column]] = {
        "valence": decimals(table.valence),
        "arousal": decimals(table.arousal),
        "expression": digits(table.expression) + decimals(table.p_expression),
        "au": digits(table.au) + decimals(table.p_au),
    }
    for task in TASKS:
        if task not in table.tasks:
            columns[task] = empty(len(TASK_COLUMNS[task]))
    ids = texts([_quoted(video) for video in table.video])
    rows = [ids, whole_numbers(table.frame), *chain.from_iterable(columns.values())]
    with atomic_write(path) as stream:
        stream.write((",".join(COLUMNS) + "\n").encode())
        stream.writelines(text_lines(len(table), rows))


def _quoted(text: str) -> str:
    if '"' in text or "," in text:
        return '"' + text.replace('"', '""') + '"'
    return text


def read_csv_lines(path: Path, lines: Sequence[str]) -> PredictionTable:
    """Return the table of a file.

    A file without a row does not say what it does not predict: it predicts all tasks.

    Args:
        path: the file, for the error.
        lines: its lines after the first.

    Raises:
        PredictionError: names file and line.
    """
    videos, rest = split_first(path, lines, len(COLUMNS))
    names = COLUMNS[1:]
    tasks = _tasks(path, rest[0]) if rest else frozenset(TASKS)
    kept = ["frame", *chain.from_iterable(TASK_COLUMNS[task] for task in TASKS if task in tasks)]
    found = parse_numbers(path, rest, [names.index(name) for name in kept], names)
    numbers = np.zeros((len(rest), len(names)), np.float64)
    numbers[:, [names.index(name) for name in kept]] = found
    place = lines_of(path)
    cut = np.cumsum([1, 1, 1, 1, N_EXPRESSIONS, N_AUS])
    frame, valence, arousal, expression, p_expression, au, p_au = np.split(numbers, cut, axis=1)
    return PredictionTable(
        video=videos,
        frame=whole_frames(place, frame[:, 0]),
        valence=valence[:, 0].astype(np.float32),
        arousal=arousal[:, 0].astype(np.float32),
        expression=whole_classes(place, expression[:, 0], N_EXPRESSIONS, "expression"),
        au=whole_classes(place, au, 2, "AU"),
        p_expression=p_expression.astype(np.float32),
        p_au=p_au.astype(np.float32),
        tasks=tasks,
    )


def _tasks(path: Path, first: str) -> frozenset[Task]:
    """Return the tasks that the first row has values of."""
    cells = dict(zip(COLUMNS[1:], first.split(","), strict=True))
    tasks: set[Task] = set()
    for task in TASKS:
        filled = [name for name in TASK_COLUMNS[task] if cells[name].strip()]
        if len(filled) == len(TASK_COLUMNS[task]):
            tasks.add(task)
        elif filled:
            lacking = next(name for name in TASK_COLUMNS[task] if name not in filled)
            message = (
                f"{path}:2 must have all columns of {task} or none of them, but has {filled[0]} "
                f"and lacks {lacking}; write the table again"
            )
            raise PredictionError(message)
    if not tasks:
        message = f"{path}:2 must predict a task, but its columns of all tasks are empty"
        raise PredictionError(message)
    return frozenset(tasks)


def header_of(line: str) -> list[str]:
    """Return the names of the first line of a file."""
    return next(csv.reader([line]), [])
