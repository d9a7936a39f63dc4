"""Lines of numbers in text files, with errors that name file and line."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import PredictionError

Array = NDArray[Any]


def read_text_lines(path: Path) -> list[str]:
    """Return the lines of a file without those that are empty at its end.

    Raises:
        PredictionError: the file cannot be read, or is not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # every line end becomes \n
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} must be a readable prediction file, but is not: {error}"
        raise PredictionError(message) from error
    lines = text.split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def split_first(path: Path, lines: Sequence[str], needed: int) -> tuple[list[str], list[str]]:
    """Return the first field of every line, and the text behind its comma.

    Args:
        path: the file, for the error.
        lines: the lines after the first of the file.
        needed: fields that a line must have.

    Raises:
        PredictionError: a line has another number of fields.
    """
    first, rest = [], []
    for row, line in enumerate(lines):
        if line.startswith('"'):
            fields = next(csv.reader([line]))
            head, tail, n_fields = fields[0], ",".join(fields[1:]), len(fields)
        else:
            head, _, tail = line.partition(",")
            n_fields = line.count(",") + bool(line)
        if n_fields != needed:
            message = f"{path}:{row + 2} must have {needed} fields, but has {n_fields}"
            raise PredictionError(message)
        first.append(head)
        rest.append(tail)
    return first, rest


def parse_numbers(
    path: Path, rest: Sequence[str], columns: Sequence[int], names: Sequence[str]
) -> Array:
    """Return (N, C) float64 of some columns; the others must be empty in every line.

    Args:
        path: the file, for the error.
        rest: texts of comma-separated fields, one for each of `names`.
        columns: indices of the fields that hold numbers.
        names: of all fields, for the error.

    Raises:
        PredictionError: names line and field: a field is no finite number, or is empty in this
            line and filled in the first one, or the other way round.
    """
    is_whole = len(columns) == len(names)
    if not is_whole:
        _check_empty(path, rest, sorted(set(range(len(names))) - set(columns)), names)
    numbers = _fast(rest, columns)
    if numbers is None:
        numbers = np.empty((len(rest), len(columns)), np.float64)
        for row, text in enumerate(rest):
            numbers[row] = _fields(path, row, text, columns, names)
    is_finite = np.isfinite(numbers)
    if not is_finite.all():
        row = int(np.argwhere(~is_finite)[0][0])
        message = f"{path}:{row + 2} must hold finite numbers, but holds NaN or infinity"
        raise PredictionError(message)
    return numbers


def _fast(rest: Sequence[str], columns: Sequence[int]) -> Array | None:
    """Return the numbers by a reader in C; None where it refuses, and does not say which line."""
    if not columns or not all(map(str.strip, rest)):  # it leaves out an empty line
        return None
    if not rest:
        return np.empty((0, len(columns)), np.float64)
    try:
        return np.loadtxt(rest, np.float64, comments=None, delimiter=",", usecols=columns, ndmin=2)
    except ValueError:
        return None


def _check_empty(
    path: Path, rest: Sequence[str], columns: Sequence[int], names: Sequence[str]
) -> None:
    for row, text in enumerate(rest):
        fields = text.split(",")
        for column in columns:
            if fields[column]:
                raise _mixed(path, row, names[column], f"holds {fields[column]!r}", "is empty")


def _fields(
    path: Path, row: int, text: str, columns: Sequence[int], names: Sequence[str]
) -> list[float]:
    fields = text.split(",")
    values = []
    for column in columns:
        if row and not fields[column].strip():
            raise _mixed(path, row, names[column], "is empty", "is filled")
        try:
            values.append(float(fields[column]))
        except ValueError as error:
            message = (
                f"{path}:{row + 2} must hold numbers, but {names[column]} is {fields[column]!r}"
            )
            raise PredictionError(message) from error
    return values


def _mixed(path: Path, row: int, name: str, here: str, first: str) -> PredictionError:
    return PredictionError(
        f"{path}:{row + 2} must have {name} as line 2 has it, in which it {first}, but {here} "
        f"here; a task is predicted in all rows or in none"
    )


Place = Callable[[int], str]
"""Row -> where it is, for an error."""


def lines_of(path: Path, first: int = 2) -> Place:
    """Return where the rows of a text file are whose first one is in line `first`."""
    return lambda row: f"{path}:{row + first}"


def whole_frames(place: Place, values: Array) -> NDArray[np.int32]:
    """Return frame numbers, (N,); raise PredictionError if one is no whole number from 0."""
    bad = (values != np.floor(values)) | (values < 0) | (values > np.iinfo(np.int32).max)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        message = f"{place(row)} must have frame as a whole number from 0, but has {values[row]:g}"
        raise PredictionError(message)
    return values.astype(np.int32)


def whole_classes(place: Place, values: Array, n_classes: int, what: str) -> NDArray[np.int8]:
    """Return class numbers, (N,) or (N, C); raise PredictionError if one is not a class.

    Args:
        place: where the rows are, for the error.
        values: numbers.
        n_classes: they must be below this, and whole.
        what: name of the values.
    """
    bad = (values != np.floor(values)) | (values < 0) | (values >= n_classes)
    if bad.any():
        found = tuple(np.argwhere(bad)[0])
        message = (
            f"{place(int(found[0]))} must have {what} as a whole number from 0 to "
            f"{n_classes - 1}, but has {values[found]:g}"
        )
        raise PredictionError(message)
    return values.astype(np.int8)
