"""The prediction table in memory: one row a frame, values, classes and probabilities."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..core.tasks import AUS, EXPRESSIONS, N_AUS, N_EXPRESSIONS, TASKS, Task
from .errors import PredictionError

Array = NDArray[Any]

COLUMNS: Final = (
    "video",
    "frame",
    "valence",
    "arousal",
    "expression",
    *(f"p_{name}" for name in EXPRESSIONS),
    *AUS,
    *(f"p_{name}" for name in AUS),
)
"""Names of the columns of a written table, in order."""
TASK_COLUMNS: Final[dict[Task, tuple[str, ...]]] = {
    "valence": ("valence",),
    "arousal": ("arousal",),
    "expression": ("expression", *(f"p_{name}" for name in EXPRESSIONS)),
    "au": (*AUS, *(f"p_{name}" for name in AUS)),
}
"""The columns that are empty where a task is not predicted."""


@dataclass(frozen=True)
class PredictionTable:
    """Predictions for N frames."""

    video: list[str]
    frame: NDArray[np.int32]
    """(N,)"""
    valence: NDArray[np.float32]
    """(N,) in [-1, 1] from this package; files of others may leave that range."""
    arousal: NDArray[np.float32]
    """(N,) like `valence`."""
    expression: NDArray[np.int8]
    """(N,) class numbers."""
    au: NDArray[np.int8]
    """(N, 12) 0 or 1."""
    p_expression: NDArray[np.float32] | None = None
    """(N, 8) probabilities; None where they were not written."""
    p_au: NDArray[np.float32] | None = None
    """(N, 12) probabilities; None where they were not written."""
    tasks: frozenset[Task] = frozenset(TASKS)
    """What is predicted; the columns of another task hold 0 and mean nothing."""

    def __len__(self) -> int:
        return len(self.video)

    def take(self, rows: Array) -> "PredictionTable":
        """Return some rows.

        Args:
            rows: row numbers, in any order and as often as wanted; or booleans, (N,).
        """
        numbers = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        columns: dict[str, Any] = {
            name: None if column is None else column[numbers] for name, column in self._arrays()
        }
        video = [self.video[number] for number in numbers.tolist()]
        return PredictionTable(video=video, tasks=self.tasks, **columns)

    def subset(self, videos: Collection[str]) -> "PredictionTable":
        """Return the rows of some videos, in their order here; one without a row has none there."""
        wanted = frozenset(videos)
        return self.take(np.array([video in wanted for video in self.video], np.bool_))

    def places(self) -> dict[tuple[str, int], int]:
        """Return (video, frame number) -> row; the first row of a frame that is there twice.

        Raises:
            PredictionError: two rows of one frame predict different things.
        """
        found: dict[tuple[str, int], int] = {}
        for row, key in enumerate(zip(self.video, self.frame.tolist(), strict=True)):
            first = found.setdefault(key, row)
            if first != row and not self._is_same(first, row):
                message = (
                    f"predictions must say one thing about a frame, but rows {first + 1} and "
                    f"{row + 1} differ for frame {key[1]} of {key[0]!r}; keep one of them"
                )
                raise PredictionError(message)
        return found

    def check_shapes(self) -> None:
        """Raise ValueError unless all columns have the documented shapes."""
        width = {"au": (N_AUS,), "p_au": (N_AUS,), "p_expression": (N_EXPRESSIONS,)}
        for name, column in self._arrays():
            needed = (len(self.video), *width.get(name, ()))
            if column is not None and column.shape != needed:
                message = f"{name} must be {needed}, as there are {needed[0]} videos, but is "
                raise ValueError(message + str(column.shape))

    def _is_same(self, first: int, second: int) -> bool:
        columns = (self.valence, self.arousal, self.expression, self.au)
        return all(np.array_equal(column[first], column[second]) for column in columns)

    def _arrays(self) -> list[tuple[str, Array | None]]:
        return [(name, getattr(self, name)) for name in _ARRAYS]


_ARRAYS: Final = tuple(
    item.name for item in fields(PredictionTable) if item.name not in {"video", "tasks"}
)


def concatenated(tables: Sequence[PredictionTable]) -> PredictionTable:
    """Return the rows of all tables, one table after another.

    Raises:
        ValueError: there is no table, they predict different tasks, or some have probabilities
            and others do not.
    """
    if not tables:
        message = "there must be a table to concatenate, but there is none"
        raise ValueError(message)
    tasks = {table.tasks for table in tables}
    if len(tasks) > 1:
        names = " and ".join(sorted(task_names(one) for one in tasks))
        message = f"tables must predict the same tasks to be concatenated, but predict {names}"
        raise ValueError(message)
    columns: dict[str, Any] = {}
    for name in _ARRAYS:
        blocks = [getattr(table, name) for table in tables]
        n_missing = sum(block is None for block in blocks)
        if 0 < n_missing < len(blocks):
            message = (
                f"tables must all have probabilities or none to be concatenated, but {n_missing} "
                f"of {len(blocks)} lack {name}"
            )
            raise ValueError(message)
        columns[name] = None if n_missing else np.concatenate(blocks)
    video = [video for table in tables for video in table.video]
    return PredictionTable(video=video, tasks=tables[0].tasks, **columns)


def task_names(tasks: Collection[Task]) -> str:
    """Return the names of tasks, in the challenge's order, for people to read."""
    return ", ".join(task for task in TASKS if task in tasks) or "no task"
