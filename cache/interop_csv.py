"""Tables as text, one file a video, such as OpenFace and py-feat write: read in blocks, written."""

import csv
from array import array
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from .errors import InteropError
from .interop_files import new_file, unreadable
from .interop_table import BLOCK_ROWS, Block, column_name, no_rows, remedy
from .store import EmbeddingStore

_NUMERIC_ROWS: Final = 1_000
"""Rows by which it is told whether a column holds numbers."""


class CsvFile:
    """One comma-separated file with a head; see `TableFile`."""

    place_word = "line"

    def __init__(self, path: Path) -> None:
        self.path = path
        _, head = next(self._rows(), (1, []))
        if not head:
            message = f"{path} must begin with a line of column names, but is empty; write it again"
            raise InteropError(message)
        self.names = [column_name(text) for text in head]

    def numeric(self) -> set[str]:
        """Return the columns whose first rows hold nothing but numbers and gaps."""
        numeric = set(range(len(self.names)))
        has_rows = False
        for _, row in islice(self._rows(), 1, 1 + _NUMERIC_ROWS):
            has_rows = True
            numeric -= {place for place in numeric if not _is_number(row[place])}
        if not has_rows:
            raise no_rows(self.path)
        return {self.names[place] for place in numeric}

    def blocks(self, columns: Sequence[str]) -> Iterator[Block]:
        """Yield the rows of some columns as numbers, at most `BLOCK_ROWS` at a time."""
        places = [self.names.index(name) for name in columns]
        # Arrays of numbers, so that of a long table no row stays as Python objects.
        values, lines = array("d"), array("q")
        for line, row in islice(self._rows(), 1, None):
            fields = [row[place] for place in places]
            try:
                numbers = list(map(float, fields))
            except ValueError:
                numbers = self._numbers(row, places, line)
            if "_" in "".join(fields):  # to Python, 1_0 is a number
                numbers = self._numbers(row, places, line)
            values.extend(numbers)
            lines.append(line)
            if len(lines) == BLOCK_ROWS:
                yield _block(lines, values)
                values, lines = array("d"), array("q")
        if lines:
            yield _block(lines, values)

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield (line number, fields) of the head and of every row, all of one width."""
        width = 0
        try:
            # Spreadsheets write a mark before the first name; utf-8-sig takes it away.
            stream = self.path.open(newline="", encoding="utf-8-sig")
        except OSError as error:
            raise unreadable(self.path, error) from error
        with stream:
            # Strict: a quote that is not closed would swallow the lines after it.
            reader = csv.reader(stream, strict=True)
            try:
                for row in reader:
                    if not row:
                        continue
                    width = width or len(row)
                    if len(row) != width:
                        message = (
                            f"line {reader.line_num} of {self.path} must have {width} fields like "
                            f"its head, but has {len(row)}; the file may be cut off: write it again"
                        )
                        raise InteropError(message)
                    yield reader.line_num, row
            except OSError as error:
                raise unreadable(self.path, error) from error
            except (csv.Error, UnicodeDecodeError) as error:
                message = (
                    f"{self.path} must be comma-separated text in UTF-8, but after line "
                    f"{reader.line_num}: {error}; write it again"
                )
                raise InteropError(message) from error

    def _numbers(self, row: list[str], places: list[int], line: int) -> list[float]:
        """Return the numbers of a row that has gaps (NaN), or say which field is none."""
        for place in places:
            if not _is_number(row[place]):
                message = (
                    f"column {self.names[place]!r} must hold numbers, but line {line} of "
                    f"{self.path} has {row[place]!r}; mend it, or {remedy(self.names[place])}"
                )
                raise InteropError(message)
        return [float(row[place]) if row[place].strip() else np.nan for place in places]


def write_csv(folder: Path, store: EmbeddingStore) -> None:
    """Write `<video>.csv` of each video: frame, timestamp where there is one, and features.

    Numbers are written with as many digits as tell them from their neighbours in the store.
    """
    for video in store:
        record = store[video]
        head = ["frame", *(["timestamp"] if record.time is not None else [])]
        head += [f"{store.name}_{number}" for number in range(store.dim)]
        with TextIOWrapper(new_file(folder, video, ".csv"), "utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(head)
            for start in range(0, len(record), BLOCK_ROWS):
                cut = slice(start, start + BLOCK_ROWS)
                parts = [record.frame[cut, None].astype("U32")]
                if record.time is not None:
                    times = record.time[cut, None]
                    parts.append(np.where(np.isnan(times), "", times.astype("U32")))
                parts.append(record.embedding[cut].astype("U32"))
                writer.writerows(np.concatenate(parts, axis=1).tolist())


def _block(lines: "array[int]", values: "array[float]") -> Block:
    numbers = np.frombuffer(values, np.float64).reshape(len(lines), -1)
    return Block(np.frombuffer(lines, np.int64), numbers)


def _is_number(text: str) -> bool:
    """Return whether a field is a number or empty."""
    try:
        float(text)
    except ValueError:
        return not text.strip()
    return "_" not in text
