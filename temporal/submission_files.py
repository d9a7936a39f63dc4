"""Reads what is handed in to the challenges, in its three forms.

    one file, every task    image,valence,arousal,expression,aus     v/00001.jpg,0.1,-0.2,4,0,…
    one file of one task    image_location,valence,arousal           v/00001.jpg,0.1,-0.2
    a file for each video   valence,arousal                          0.1,-0.2

An expression is one number, although its header has eight names.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.tasks import N_AUS, N_EXPRESSIONS
from .data.annotation_rows import VALUE_NAMES
from .data.challenges import COLUMNS, TASKS_OF, challenge_of, named_in
from .data.lists import PATH_COLUMNS
from .data.published import Challenge
from .errors import PredictionError
from .number_lines import (
    Place,
    lines_of,
    parse_numbers,
    read_text_lines,
    split_first,
    whole_classes,
)
from .prediction_table import PredictionTable, concatenated

__all__ = ["PATH_COLUMNS", "read_submission_folder", "read_submission_lines"]

_SUFFIX = ".txt"


def read_submission_lines(path: Path, lines: Sequence[str]) -> PredictionTable:
    """Return the predictions of one file, without probabilities.

    Args:
        path: the file, for the error.
        lines: its lines; the first names the columns.

    Raises:
        PredictionError: names file and line.
    """
    challenge = challenge_of(named_in(lines[0])[1:])
    if challenge is None:
        message = (
            f"{path}:1 must name the columns of a challenge behind the path, but is "
            f"{lines[0][:120]!r}"
        )
        raise PredictionError(message)
    names = [VALUE_NAMES[column] for column in COLUMNS[challenge]]
    first, rest = split_first(path, lines[1:], len(names) + 1)
    values = parse_numbers(path, rest, range(len(names)), names)
    videos, frames = [], np.empty(len(first), np.int32)
    for row, name in enumerate(first):
        video, _, file = name.strip().rpartition("/")
        stem = file.partition(".")[0]
        if not video or not stem.isdecimal() or int(stem) > np.iinfo(np.int32).max:
            message = f"{path}:{row + 2} must begin with <video>/<number>.jpg, not {name!r}"
            raise PredictionError(message)
        videos.append(video)
        frames[row] = int(stem)
    return _table(lines_of(path), challenge, videos, frames, values)


def read_submission_folder(folder: Path) -> PredictionTable:
    """Return the predictions of a folder with a `<video>.txt` for each video: line k is frame k.

    Raises:
        PredictionError: there is no such file, the files are of several challenges, or one is not
            of its form; names file and line.
    """
    tables: dict[Challenge, list[PredictionTable]] = {}
    for path in sorted(folder.rglob(f"*{_SUFFIX}")):
        lines = read_text_lines(path)
        challenge = challenge_of(named_in(lines[0])) if lines else None
        if challenge is None or challenge == "mtl":
            message = (
                f"{path}:1 must name the columns of a challenge of one task, but is "
                f"{(lines or [''])[0][:120]!r}"
            )
            raise PredictionError(message)
        video = path.relative_to(folder).as_posix().removesuffix(_SUFFIX)
        tables.setdefault(challenge, []).append(_video(path, video, challenge, lines[1:]))
    if len(tables) != 1:
        found = " and ".join(tables) or "none"
        message = (
            f"{folder} must hold a <video>{_SUFFIX} of one challenge for each video, but holds "
            f"{found}"
        )
        raise PredictionError(message)
    return concatenated(next(iter(tables.values())))


def _video(path: Path, video: str, challenge: Challenge, lines: Sequence[str]) -> PredictionTable:
    names = [VALUE_NAMES[column] for column in COLUMNS[challenge]]
    for row, line in enumerate(lines):
        n_fields = line.count(",") + bool(line)
        if n_fields != len(names):
            message = f"{path}:{row + 2} must have {len(names)} fields, but has {n_fields}"
            raise PredictionError(message)
    values = parse_numbers(path, lines, range(len(names)), names)
    frames = np.arange(1, len(lines) + 1, dtype=np.int32)
    return _table(lines_of(path), challenge, [video] * len(lines), frames, values)


def _table(
    place: Place,
    challenge: Challenge,
    videos: list[str],
    frames: NDArray[np.int32],
    values: NDArray[Any],
) -> PredictionTable:
    every = np.zeros((len(videos), len(VALUE_NAMES)), np.float64)
    every[:, list(COLUMNS[challenge])] = values
    return PredictionTable(
        video=videos,
        frame=frames,
        valence=every[:, 0].astype(np.float32),
        arousal=every[:, 1].astype(np.float32),
        expression=whole_classes(place, every[:, 2], N_EXPRESSIONS, "expression"),
        au=whole_classes(place, every[:, -N_AUS:], 2, "AU"),
        tasks=frozenset(TASKS_OF[challenge]),
    )
