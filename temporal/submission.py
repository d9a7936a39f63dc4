"""Writes what is handed in to the challenges: row for row with the official list.

Every listed row is written, in the list's order and as often as it is listed, with the prediction
of its frame, or of the nearest frame of its video (of two as near, the later). A video without any
prediction gets the constants that score best on the training split (`constant`), and is counted.
Nothing is put in place before its lines are checked.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UsageError
from ..core.tasks import EXPRESSIONS, N_EXPRESSIONS
from .data.challenges import TASKS_OF
from .data.official_list import OfficialList
from .errors import PredictionError
from .prediction_table import PredictionTable, concatenated, task_names
from .submission_text import write_rows_file, write_video_files

Array = NDArray[Any]

_SHOWN: Final = 3


@dataclass(frozen=True)
class SubmissionResult:
    """What was written."""

    path: Path
    n_rows: int
    n_files: int
    n_nearest: int
    """Rows that got the prediction of another frame of their video."""
    constant_videos: tuple[str, ...]
    """Videos without any prediction, in listed order."""
    n_constant: int
    """Their rows."""
    classes: tuple[int, ...] | None
    """(8,) rows of each expression; None where none is handed in."""

    def text(self) -> str:
        """Return what was written for people to read."""
        files = f" in {self.n_files:,} files" if self.n_files > 1 else ""
        lines = [f"wrote {self.n_rows:,} rows{files} to {self.path}"]
        if self.classes is not None:
            cells = [f"{k} {n:,}" for k, n in zip(EXPRESSIONS, self.classes, strict=True)]
            lines.append(f"expressions: {', '.join(cells)}")
        if self.n_nearest:
            lines.append(f"{self.n_nearest:,} rows have the prediction of the nearest frame")
        if self.constant_videos:
            more = " …" if len(self.constant_videos) > _SHOWN else ""
            lines.append(
                f"WARNING: {len(self.constant_videos):,} listed videos have no embedding "
                f"({', '.join(self.constant_videos[:_SHOWN])}{more}); their {self.n_constant:,} "
                f"rows got the constants that score best on the training split"
            )
        return "\n".join(lines)


def check_tasks(table: PredictionTable, official: OfficialList, source: str) -> None:
    """Raise PredictionError unless all that the challenge asks for is predicted."""
    needed = TASKS_OF[official.challenge]
    missing = [task for task in needed if task not in table.tasks]
    if missing:
        message = (
            f"a submission to the challenge of {official.source} ({official.challenge}) needs "
            f"{', '.join(needed)}, but {source} does not predict {', '.join(missing)} (it predicts "
            f"{task_names(table.tasks)}); train a run with a task weight above 0 for "
            f"{', '.join(missing)}, or ensemble runs that predict the tasks between them"
        )
        raise PredictionError(message)


def write_submission(
    out: Path,
    official: OfficialList,
    table: PredictionTable,
    constant: Callable[[], PredictionTable],
    source: str = "the table",
) -> SubmissionResult:
    """Write the predictions of every listed row, in the form that its challenge asks for.

    Valence and arousal are clipped to [-1, 1].

    Args:
        out: the file; a folder where a file for each video is asked for.
        official: the rows.
        table: predictions of frames; those of frames that are not listed are left alone.
        constant: gives a table of one row, for videos that `table` has no row of.
        source: where the predictions are from, for the error.

    Raises:
        PredictionError: a task is missing, a prediction is not finite or out of range, or two
            predictions of one frame differ.
        UsageError: `out` is a folder where a file is needed, or is there and no empty folder where
            a folder is needed.
    """
    check_tasks(table, official, source)
    check_place(out, official)
    place, is_exact, has_video = _sources(official, table)
    absent = tuple(
        dict.fromkeys(official.video[row] for row in np.flatnonzero(~has_video).tolist())
    )
    if absent:
        one = constant()
        place = np.where(has_video, place, len(table))
        constants = replace(one, p_expression=None, p_au=None, tasks=table.tasks)
        table = concatenated([replace(table, p_expression=None, p_au=None), constants])
    rows = table.take(place)
    _check_values(rows, official, source)
    if official.is_by_video:
        n_files = write_video_files(out, official, rows)
    else:
        write_rows_file(out, official, rows)
        n_files = 1
    has_classes = "expression" in TASKS_OF[official.challenge]
    classes = np.bincount(rows.expression, minlength=N_EXPRESSIONS) if has_classes else None
    return SubmissionResult(
        path=out,
        n_rows=len(official),
        n_files=n_files,
        n_nearest=int((has_video & ~is_exact).sum()),
        constant_videos=absent,
        n_constant=int((~has_video).sum()),
        classes=None if classes is None else tuple(classes.tolist()),
    )


def check_place(out: Path, official: OfficialList) -> None:
    """Raise UsageError unless what is handed in can be put at `out`."""
    if not official.is_by_video and out.is_dir():
        message = f"one file is handed in for {official.source}, but {out} is a folder"
        raise UsageError(message)
    if official.is_by_video and out.exists() and not (out.is_dir() and not any(out.iterdir())):
        message = (
            f"a file for each video is handed in for {official.source}, in a folder of their own, "
            f"but {out} is {'not empty' if out.is_dir() else 'a file'}; give a new folder by --out"
        )
        raise UsageError(message)


def _sources(
    official: OfficialList, table: PredictionTable
) -> tuple[NDArray[np.intp], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return of each listed row the table's row, whether it is of the very frame, and whether of
    its video.
    """
    n = len(official)
    if not len(table):
        return np.zeros(n, np.intp), np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    number: dict[str, int] = {}
    have = np.array([number.setdefault(video, len(number)) for video in table.video], np.int64)
    want = np.array([number.get(video, -1) for video in official.video], np.int64)
    keys, wanted = have << 32 | table.frame, want << 32 | official.frame
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    repeats = np.flatnonzero(np.diff(keys) == 0)
    if len(repeats):
        table.places()  # refuses two rows of one frame that differ
    right = np.searchsorted(keys, wanted).clip(0, len(keys) - 1)
    left = (right - 1).clip(0)
    far = np.int64(1) << 40  # numbers of one video are less than 1 << 32 apart
    to_right, to_left = (
        np.where(keys[side] >> 32 == want, np.abs(keys[side] - wanted), far)
        for side in (right, left)
    )
    nearest = np.where(to_left < to_right, left, right)
    distance = np.minimum(to_left, to_right)
    return order[nearest], distance == 0, distance < far


def _check_values(rows: PredictionTable, official: OfficialList, source: str) -> None:
    """Refuse what is not finite or no class; rows are those of the list."""
    limits: dict[str, tuple[Array, float, float]] = {
        "valence": (rows.valence, -np.inf, np.inf),
        "arousal": (rows.arousal, -np.inf, np.inf),
        "expression": (rows.expression, 0, N_EXPRESSIONS - 1),
        "au": (rows.au, 0, 1),
    }
    for task in TASKS_OF[official.challenge]:
        values, low, high = limits[task]
        is_good = np.isfinite(values) & (values >= low) & (values <= high)
        if not is_good.all():
            place = tuple(np.argwhere(~is_good)[0])
            message = (
                f"{source} must predict {task} in its range, but that of "
                f"{official.path[int(place[0])]} is {values[place]}; train or predict again"
            )
            raise PredictionError(message)
