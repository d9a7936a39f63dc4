"""Prediction tables as Parquet, with the names of the CSV. Needs pyarrow, an extra."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UsageError
from ..core.files import atomic_write
from ..core.tasks import AUS, EXPRESSIONS, N_EXPRESSIONS, TASKS, Task
from .errors import PredictionError
from .number_lines import whole_classes, whole_frames
from .prediction_table import COLUMNS, TASK_COLUMNS, PredictionTable

_MAGIC: Final = b"PAR1"


def is_parquet(path: Path) -> bool:
    """Return whether a file begins like a Parquet file, whatever its name is."""
    try:
        with path.open("rb") as stream:
            return stream.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False  # the reader of text says why


def write_parquet(path: Path, table: PredictionTable) -> None:
    """Write a table with probabilities, whole or not at all; what is not predicted is null.

    Raises:
        UsageError: pyarrow is not installed.
    """
    arrow, parquet = need_pyarrow()
    if table.p_expression is None or table.p_au is None:
        message = "a prediction table is written with its probabilities"
        raise ValueError(message)
    arrays: dict[str, NDArray[Any]] = {
        "valence": table.valence.astype(np.float32),
        "arousal": table.arousal.astype(np.float32),
        "expression": table.expression.astype(np.int8),
    }
    arrays |= _named("p_", EXPRESSIONS, table.p_expression.astype(np.float32))
    arrays |= _named("", AUS, table.au.astype(np.int8))
    arrays |= _named("p_", AUS, table.p_au.astype(np.float32))
    columns = {
        "video": arrow.array(table.video, arrow.string()),
        "frame": arrow.array(table.frame.astype(np.int32)),
    }
    task_of = {name: task for task in TASKS for name in TASK_COLUMNS[task]}
    for name in COLUMNS[2:]:
        kind = arrow.from_numpy_dtype(arrays[name].dtype)
        is_there = task_of[name] in table.tasks
        columns[name] = arrow.array(arrays[name]) if is_there else arrow.nulls(len(table), kind)
    with atomic_write(path) as stream:
        parquet.write_table(arrow.table(columns), stream)


def read_parquet(path: Path) -> PredictionTable:
    """Return the table of a file.

    A file without a row does not say what it does not predict: it predicts all tasks.

    Raises:
        PredictionError: names file, column and row.
        UsageError: pyarrow is not installed.
    """
    arrow, parquet = need_pyarrow()
    try:
        with path.open("rb") as stream:
            found = parquet.read_table(stream)
    except (arrow.ArrowException, OSError, ValueError) as error:
        message = f"{path} must be a whole Parquet file, but is not: {error}; copy it again"
        raise PredictionError(message) from error
    missing = [name for name in COLUMNS if name not in found.column_names]
    if missing:
        message = (
            f"{path} must have the columns of a prediction table (video, frame, valence, …), but "
            f"lacks {', '.join(missing[:3])}"
        )
        raise PredictionError(message)
    tasks = _tasks(path, found)
    numbers = dict.fromkeys(COLUMNS[2:], np.zeros(len(found), np.float64))
    kept = [name for task in TASKS if task in tasks for name in TASK_COLUMNS[task]]
    numbers |= {name: _numbers(path, name, found, arrow) for name in ["frame", *kept]}
    videos = found.column("video")
    types = arrow.types
    is_text = types.is_string(videos.type) or types.is_large_string(videos.type)
    if videos.null_count or not (is_text or types.is_dictionary(videos.type)):
        what = "has a null" if videos.null_count else f"is {videos.type}"
        message = f"video of {path} must be a text in every row, but {what}"
        raise PredictionError(message)

    def row_of(row: int) -> str:
        return f"row {row + 1} of {path}"

    def stacked(names: Sequence[str]) -> NDArray[Any]:
        return np.stack([numbers[name] for name in names], axis=1)

    return PredictionTable(
        video=videos.to_pylist(),
        frame=whole_frames(row_of, numbers["frame"]),
        valence=numbers["valence"].astype(np.float32),
        arousal=numbers["arousal"].astype(np.float32),
        expression=whole_classes(row_of, numbers["expression"], N_EXPRESSIONS, "expression"),
        au=whole_classes(row_of, stacked(AUS), 2, "AU"),
        p_expression=stacked([f"p_{name}" for name in EXPRESSIONS]).astype(np.float32),
        p_au=stacked([f"p_{name}" for name in AUS]).astype(np.float32),
        tasks=tasks,
    )


def _tasks(path: Path, table: Any) -> frozenset[Task]:  # noqa: ANN401 - a table of pyarrow
    """Return the tasks whose columns are filled; a null in a filled column is refused."""
    if not len(table):
        return frozenset(TASKS)
    tasks: set[Task] = set()
    for task in TASKS:
        n_nulls = {name: table.column(name).null_count for name in TASK_COLUMNS[task]}
        if not any(n_nulls.values()):
            tasks.add(task)
        elif set(n_nulls.values()) != {len(table)}:
            name = next(name for name, n in n_nulls.items() if n)
            row = _first_null(table.column(name))
            message = (
                f"{path} must have values of {task} in all rows or in none, but {name} is null in "
                f"row {row + 1}; write the table again"
            )
            raise PredictionError(message)
    if not tasks:
        message = f"{path} must predict a task, but its columns of all tasks are null"
        raise PredictionError(message)
    return frozenset(tasks)


def _numbers(path: Path, name: str, table: Any, arrow: Any) -> NDArray[Any]:  # noqa: ANN401
    """Return a column as float64, (N,)."""
    column = table.column(name)
    kind = column.type
    if not arrow.types.is_integer(kind) and not arrow.types.is_floating(kind):
        message = f"{name} of {path} must be numbers, but is {kind}"
        raise PredictionError(message)
    if column.null_count:
        row = _first_null(column)
        message = f"{name} of {path} must be a number in every row, but has a null in row {row + 1}"
        raise PredictionError(message)
    values: NDArray[Any] = column.cast(arrow.float64()).to_numpy()
    is_finite = np.isfinite(values)
    if not is_finite.all():
        row = int(np.flatnonzero(~is_finite)[0])
        message = f"{name} of {path} must be finite, but is {values[row]} in row {row + 1}"
        raise PredictionError(message)
    return values


def _first_null(column: Any) -> int:  # noqa: ANN401 - a column of pyarrow
    return int(column.is_null().to_pylist().index(True))


def _named(prefix: str, names: tuple[str, ...], values: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {
        f"{prefix}{name}": np.ascontiguousarray(values[:, column])
        for column, name in enumerate(names)
    }


def need_pyarrow() -> tuple[Any, Any]:
    """Return pyarrow and pyarrow.parquet.

    Raises:
        UsageError: pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
        import pyarrow.types
    except ImportError as error:
        message = (
            "Parquet needs pyarrow, which is not installed; install abaw with its extra "
            "`parquet`, or write CSV"
        )
        raise UsageError(message) from error
    return pyarrow, pyarrow.parquet
