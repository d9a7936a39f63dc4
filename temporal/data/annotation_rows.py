"""Rows of annotation files: numbers in range, with the files' own markers.

The markers of "not annotated", -5 and -1, begin and end in this module: `clean` makes
`is_labelled` arrays of them. In the multi-task form a line is a frame, 16 fields:
`<video>/<number>.jpg`, valence, arousal, expression, 12 AUs; a test list needs the first field
only. Files of one video are read in `task_annotations`.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...cache import Split
from ...core.names import check_video_id
from ...core.tasks import AUS, N_AUS, N_EXPRESSIONS
from ..errors import AnnotationError

N_FIELDS: Final = 4 + N_AUS
NOT_ANNOTATED_AFFECT: Final = -5.0
NOT_ANNOTATED: Final = -1
VALUE_NAMES: Final = ("valence", "arousal", "expression", *AUS)
"""Columns of `SourceRows.values`."""

_LINE_END = re.compile(r"\r\n|\n|\r")
_PATH = re.compile(r"(?P<video>.+)/(?P<number>[0-9]{1,9})\.[A-Za-z]+\Z")


@dataclass(frozen=True)
class SourceRows:
    """The rows of one annotation file, as read."""

    source: Path
    split: Split
    path: list[str]
    """(R,) first fields."""
    video: list[str]
    frame: NDArray[np.int32]
    """(R,)"""
    values: NDArray[np.float64]
    """(R, 15) with the files' markers; a test list has markers only."""
    sha256: str
    named_video: str = ""
    """The video, if all rows are of one and the rows do not say which."""
    last_crop: int | None = None
    """Frame number of the video's last crop, if its rows follow from that; 0 without any."""
    header: str = ""
    """First line of a test list, if it names columns."""


def read_lines(path: Path) -> tuple[list[str], str]:
    """Return the lines of a text file and the SHA-256 of its bytes.

    Raises:
        AnnotationError: the file cannot be read, or is not UTF-8.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        message = (
            f"{path} must be a readable file, but is not: {error.strerror}; copy it again or mend "
            f"the path"
        )
        raise AnnotationError(message) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len(_LINE_END.split(data[: error.start].decode("latin-1")))
        message = (
            f"{path} must be text in UTF-8, but has the byte {data[error.start]:#04x} in line "
            f"{line}; save it as UTF-8"
        )
        raise AnnotationError(message) from error
    # Not splitlines: it cuts at form feeds and other marks too, and would move the frames.
    lines = _LINE_END.split(text)
    if not lines[-1]:
        lines.pop()
    return lines, hashlib.sha256(data).hexdigest()


def read_rows(path: Path, split: Split) -> SourceRows:
    """Return the rows of one annotation file of the multi-task form, or of a test list.

    Of a test list only the first field of a line counts; the others may be missing, empty or made
    up, as in the challenge's sample files.

    Raises:
        AnnotationError: the file cannot be read, is empty, or a line is not of the form; the
            message names the line.
        VideoIdError: an id could leave its folder.
    """
    lines, sha256 = read_lines(path)
    is_test = split == "test"
    places = [number for number, line in enumerate(lines) if line.strip()]
    header = ""
    if places and _is_header(lines[places[0]], is_test=is_test):
        header, places = lines[places[0]].strip(), places[1:]
    if not places:
        message = f"{path} must list frames, but lists none; give the file of the challenge"
        raise AnnotationError(message)
    names = [lines[place].partition(",")[0].strip() for place in places]
    values = unlabelled_values(len(places)) if is_test else _values(path, places, lines)
    # A video's rows share one text: data sets have millions of rows.
    known: dict[str, str] = {}
    videos, frames = [], np.empty(len(places), np.int32)
    for row, name in enumerate(names):
        found = _PATH.match(name)
        if found is None:
            message = (
                f"{path}:{places[row] + 1} must begin with <video>/<number>.jpg, but begins with "
                f"{name!r}; mend the line"
            )
            raise AnnotationError(message)
        video, frames[row] = found["video"], int(found["number"])
        videos.append(known.setdefault(video, video))
    if not frames.all():
        row = int(np.argmin(frames))
        message = (
            f"{path}:{places[row] + 1} is frame 0 of a video, but frames count from 1, as crops "
            f"do: {names[row]!r}; add 1 to the numbers of all"
        )
        raise AnnotationError(message)
    first_line: dict[str, int] = {}
    for video, place in zip(videos, places, strict=True):
        first_line.setdefault(video, place + 1)
    for video, line in first_line.items():
        check_video_id(video, f"{path}:{line}")
    header = header if is_test else ""
    return SourceRows(path, split, names, videos, frames, values, sha256, header=header)


def is_frame_path(text: str) -> bool:
    """Return whether a text names a frame, `<video>/<number>.jpg`."""
    return _PATH.match(text) is not None


def unlabelled_values(n: int) -> NDArray[np.float64]:
    """Return (n, 15) markers: rows in which nothing is annotated."""
    values = np.full((n, len(VALUE_NAMES)), float(NOT_ANNOTATED))
    values[:, :2] = NOT_ANNOTATED_AFFECT
    return values


def numbered_rows(
    path: Path,
    split: Split,
    video: str,
    values: NDArray[np.float64],
    sha256: str,
    last_crop: int | None = None,
) -> SourceRows:
    """Return rows that are the frames 1, 2, … of a video.

    Args:
        path: the file.
        split: its split.
        video: whose frames they are; the file's rows do not say it.
        values: (R, 15) with markers.
        sha256: of the file.
        last_crop: frame number of the last crop, if that gave the number of rows.
    """
    frame = np.arange(1, len(values) + 1, dtype=np.int32)
    names = [f"{video}/{number:05d}.jpg" for number in frame.tolist()]
    videos = [video] * len(values)
    return SourceRows(path, split, names, videos, frame, values, sha256, video, last_crop)


def parse_values(
    path: Path, places: Sequence[int], cells: Sequence[Sequence[str]], columns: Sequence[int]
) -> NDArray[np.float64]:
    """Return the numbers of every line, in range, in their columns; markers in the others.

    Args:
        path: the file, for the error.
        places: (R,) index of each line, for the error.
        cells: (R, C) texts.
        columns: (C,) indices in `VALUE_NAMES`.

    Raises:
        AnnotationError: names line and value.
    """
    try:
        numbers = np.array(cells, np.float64)
    except ValueError:
        for place, line in zip(places, cells, strict=True):
            _check_numbers(path, place, line, columns)
        raise
    values = unlabelled_values(len(cells))
    values[:, columns] = numbers
    affect, expression, au = values[:, :2], values[:, 2], values[:, 3:]
    in_range = np.empty(values.shape, np.bool_)
    in_range[:, :2] = ((affect >= -1) & (affect <= 1)) | (affect == NOT_ANNOTATED_AFFECT)
    in_range[:, 2] = np.isin(expression, np.arange(NOT_ANNOTATED, N_EXPRESSIONS))
    in_range[:, 3:] = np.isin(au, (NOT_ANNOTATED, 0, 1))
    if not in_range.all():
        row, column = map(int, np.argwhere(~in_range)[0])
        raise _range_error(path, places[row], column, cells[row][list(columns).index(column)])
    return values


def clean(values: NDArray[np.float64]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return values and is_labelled per task; what is not annotated is 0 and False.

    Args:
        values: (R, 15) with markers.
    """
    masks = {
        "valence": values[:, 0] != NOT_ANNOTATED_AFFECT,
        "arousal": values[:, 1] != NOT_ANNOTATED_AFFECT,
        "expression": values[:, 2] != NOT_ANNOTATED,
        "au": values[:, 3:] != NOT_ANNOTATED,
    }
    rows = {
        "valence": np.where(masks["valence"], values[:, 0], 0).astype(np.float32),
        "arousal": np.where(masks["arousal"], values[:, 1], 0).astype(np.float32),
        "expression": np.where(masks["expression"], values[:, 2], 0).astype(np.int8),
        "au": np.where(masks["au"], values[:, 3:], 0).astype(np.int8),
    }
    return rows, masks


def _is_header(line: str, *, is_test: bool) -> bool:
    cells = line.split(",")
    if is_test:
        return "/" not in cells[0]
    try:
        float(cells[1])
    except (IndexError, ValueError):
        return "/" not in cells[0]
    return False


def _values(path: Path, places: list[int], lines: list[str]) -> NDArray[np.float64]:
    rows = [[cell.strip() for cell in lines[place].split(",")[1:]] for place in places]
    for place, cells in zip(places, rows, strict=True):
        if len(cells) != len(VALUE_NAMES):
            message = (
                f"{path}:{place + 1} must have {N_FIELDS} comma-separated fields (image, valence, "
                f"arousal, expression, {N_AUS} AUs), but has {1 + len(cells)}; mend the line"
            )
            raise AnnotationError(message)
    return parse_values(path, places, rows, range(len(VALUE_NAMES)))


def _check_numbers(path: Path, place: int, cells: Sequence[str], columns: Sequence[int]) -> None:
    for column, cell in zip(columns, cells, strict=True):
        try:
            float(cell)
        except ValueError:
            raise _range_error(path, place, column, cell) from None


def _range_error(path: Path, place: int, column: int, cell: str) -> AnnotationError:
    name = VALUE_NAMES[column]
    if name in {"valence", "arousal"}:
        needed = "a number in [-1, 1], or -5 for not annotated"
    elif name == "expression":
        needed = f"a class from 0 to {N_EXPRESSIONS - 1}, or -1 for not annotated"
    else:
        needed = "0 or 1, or -1 for not annotated"
    found = cell or "empty"
    message = f"{name} in {path}:{place + 1} must be {needed}, but is {found}; mend the line"
    return AnnotationError(message)
