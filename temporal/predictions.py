"""The prediction table: one row a frame, values, classes and probabilities.

    video, frame, valence, arousal, expression, p_Neutral … p_Other, AU1 … AU26, p_AU1 … p_AU26

The challenge's submission form (16 fields, `image,valence,…`) is read too, without probabilities.
"""

import csv
import io
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..core.files import write_text_atomic
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
_SUBMISSION_FIELDS: Final = 4 + N_AUS


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

    def _is_same(self, first: int, second: int) -> bool:
        columns = (self.valence, self.arousal, self.expression, self.au)
        return all(np.array_equal(column[first], column[second]) for column in columns)


def write_predictions(path: Path, table: PredictionTable) -> None:
    """Write the table as CSV, whole or not at all; read back, it is bit for bit the same.

    Raises:
        ValueError: the table has no probabilities.
    """
    if table.p_expression is None or table.p_au is None:
        message = "a prediction table is written with its probabilities"
        raise ValueError(message)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    columns = (
        _texts(table.frame, np.int32),
        _texts(table.valence, np.float32),
        _texts(table.arousal, np.float32),
        _texts(table.expression, np.int8),
        _texts(table.p_expression, np.float32),
        _texts(table.au, np.int8),
        _texts(table.p_au, np.float32),
    )
    for video, *cells in zip(table.video, *columns, strict=True):
        writer.writerow([video, *chain.from_iterable(cells)])
    write_text_atomic(path, stream.getvalue())


def _texts(column: Array, dtype: type[np.generic]) -> list[list[str]]:
    """Return rows of texts: for a float32, the shortest text that reads back as the same one."""
    table = column if column.ndim == 2 else column[:, None]
    texts: list[list[str]] = table.astype(dtype).astype(str).tolist()
    return texts


def read_predictions(path: Path) -> PredictionTable:
    """Read a prediction table, or a file in submission form.

    Raises:
        PredictionError: names file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} must be a readable prediction file, but is not: {error}"
        raise PredictionError(message) from error
    while lines and not lines[-1].strip():
        lines.pop()
    header = next(csv.reader(lines[:1]), [])
    if header == list(COLUMNS):
        return _table(path, lines[1:])
    if header[:1] == ["image"]:
        return _submission(path, lines[1:])
    message = (
        f"{path} must begin with the columns of a prediction table (video,frame,valence,…) or of "
        f"a submission (image,valence,…), but begins with {','.join(header)[:80]!r}"
    )
    raise PredictionError(message)


def _table(path: Path, lines: list[str]) -> PredictionTable:
    videos, numbers = [], np.empty((len(lines), len(COLUMNS) - 1), np.float64)
    for row, fields in enumerate(csv.reader(lines)):
        videos.append(fields[0] if fields else "")
        numbers[row] = _numbers(path, row + 2, fields, len(COLUMNS), first=1)
    cut = np.cumsum([1, 1, 1, 1, N_EXPRESSIONS, N_AUS])
    frame, valence, arousal, expression, p_expression, au, p_au = np.split(numbers, cut, axis=1)
    return PredictionTable(
        video=videos,
        frame=_frames(path, frame[:, 0]),
        valence=valence[:, 0].astype(np.float32),
        arousal=arousal[:, 0].astype(np.float32),
        expression=_classes(path, expression[:, 0], N_EXPRESSIONS, "expression"),
        au=_classes(path, au, 2, "AU"),
        p_expression=p_expression.astype(np.float32),
        p_au=p_au.astype(np.float32),
    )


def _submission(path: Path, lines: list[str]) -> PredictionTable:
    videos, frames = [], np.empty(len(lines), np.float64)
    numbers = np.empty((len(lines), _SUBMISSION_FIELDS - 1), np.float64)
    for row, fields in enumerate(csv.reader(lines)):
        numbers[row] = _numbers(path, row + 2, fields, _SUBMISSION_FIELDS, first=1)
        video, _, name = fields[0].strip().rpartition("/")
        stem = name.partition(".")[0]
        if not video or not stem.isdecimal():
            message = f"{path}:{row + 2} must begin with <video>/<number>.jpg, not {fields[0]!r}"
            raise PredictionError(message)
        videos.append(video)
        frames[row] = float(stem)
    return PredictionTable(
        video=videos,
        frame=_frames(path, frames),
        valence=numbers[:, 0].astype(np.float32),
        arousal=numbers[:, 1].astype(np.float32),
        expression=_classes(path, numbers[:, 2], N_EXPRESSIONS, "expression"),
        au=_classes(path, numbers[:, 3:], 2, "AU"),
    )


def _numbers(path: Path, line: int, fields: list[str], needed: int, *, first: int) -> list[float]:
    if len(fields) != needed:
        message = f"{path}:{line} must have {needed} fields, but has {len(fields)}"
        raise PredictionError(message)
    try:
        values = [float(field) for field in fields[first:]]
    except ValueError as error:
        message = f"{path}:{line} must hold numbers after its first field, but {error}"
        raise PredictionError(message) from error
    if not np.isfinite(values).all():
        message = f"{path}:{line} must hold finite numbers, but holds NaN or infinity"
        raise PredictionError(message)
    return values


def _frames(path: Path, values: Array) -> NDArray[np.int32]:
    bad = (values != np.floor(values)) | (values < 0) | (values > np.iinfo(np.int32).max)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        message = (
            f"{path}:{row + 2} must have frame as a whole number from 0, but has {values[row]:g}"
        )
        raise PredictionError(message)
    return values.astype(np.int32)


def _classes(path: Path, values: Array, n_classes: int, what: str) -> NDArray[np.int8]:
    bad = (values != np.floor(values)) | (values < 0) | (values >= n_classes)
    if bad.any():
        place = tuple(np.argwhere(bad)[0])
        message = (
            f"{path}:{int(place[0]) + 2} must have {what} as a whole number from 0 to "
            f"{n_classes - 1}, but has {values[place]:g}"
        )
        raise PredictionError(message)
    return values.astype(np.int8)
