"""What is handed in as text: checked line for line against the list, put in place whole."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..core.files import (
    atomic_write,
    errors_of,
    fsync_folder,
    make_folder,
    publish,
    temporary_name,
)
from .data.challenges import COLUMNS
from .data.official_list import OfficialList
from .errors import PredictionError
from .prediction_table import PredictionTable
from .text_cells import Column, decimals, digits, text_lines, texts


def write_rows_file(out: Path, official: OfficialList, rows: PredictionTable) -> None:
    """Write one file with a line for each listed row, its path first.

    Args:
        out: the file.
        official: the list.
        rows: the predictions of its rows, in its order.

    Raises:
        PredictionError: the text would not be row for row the list; nothing is written.
    """
    data = _text(official, rows, official.path)
    with atomic_write(out) as stream:
        stream.write(data)


def write_video_files(out: Path, official: OfficialList, rows: PredictionTable) -> int:
    """Write a file for each video, line k for frame k: all of them or none; return how many.

    Args:
        out: the folder; not there, or empty.
        official: the list.
        rows: the predictions of its rows, in its order.

    Raises:
        PredictionError: the list has not the frames 1, 2, … of a video; nothing is written.
    """
    places: dict[str, list[int]] = {}
    for row, video in enumerate(official.video):
        places.setdefault(video, []).append(row)
    make_folder(out.absolute().parent)
    temporary = temporary_name(out)
    try:
        for video, listed in places.items():
            numbers = np.array(listed, np.intp)
            if not np.array_equal(official.frame[numbers], np.arange(1, len(numbers) + 1)):
                message = (
                    f"line k of a video's file is its frame k, so {official.source} must list the "
                    f"frames 1, 2, … of {video!r}, but does not"
                )
                raise PredictionError(message)
            data = _text(official, rows.take(numbers), None)
            path = temporary / f"{video}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            with errors_of(out), path.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        for folder in [temporary, *(path for path in temporary.rglob("*") if path.is_dir())]:
            fsync_folder(folder)
        publish(temporary, out)  # in place of an empty folder, if one is there
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return len(places)


def _text(official: OfficialList, rows: PredictionTable, paths: Sequence[str] | None) -> bytes:
    """Return the lines of a file, checked; `paths` are their first fields, if they have any."""
    every: list[Column] = [
        *decimals(rows.valence.astype(np.float32).clip(-1, 1)),
        *decimals(rows.arousal.astype(np.float32).clip(-1, 1)),
        *digits(rows.expression),
        *digits(rows.au),
    ]
    columns = [every[column] for column in COLUMNS[official.challenge]]
    if paths is not None:
        columns.insert(0, texts(paths))
    blocks = [official.header.encode(), b"\n", *text_lines(len(rows), columns)]
    data = b"".join(blocks)
    header, *lines = data.decode().split("\n")
    is_good = header == official.header and lines[-1:] == [""] and len(lines) == len(rows) + 1
    is_good = is_good and all(line.count(",") == len(columns) - 1 for line in lines[:-1])
    if paths is not None:
        is_good = is_good and len(paths) == len(official)
        is_good = is_good and all(
            line.startswith(f"{path},") for line, path in zip(lines, paths, strict=False)
        )
    if not is_good:
        message = (
            f"a submission must be row for row that of {official.source} ({len(official)} rows, "
            f"{len(columns)} fields), but would not be; nothing is written"
        )
        raise PredictionError(message)
    return data
