"""The challenge's multi-task annotation files, read and written.

The markers of "not annotated", -5 and -1, begin and end in this module: what it returns has
`is_labelled` arrays beside the values. One line a frame, 16 fields: `<video>/<number>.jpg`,
valence, arousal, expression, 12 AUs; the test list has the first field only.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...cache import SPLITS, LabelTable, write_labels
from ...core.errors import UsageError
from ...core.files import write_text_atomic
from ...core.names import check_video_id
from ...core.tasks import AUS, N_AUS, N_EXPRESSIONS
from ..errors import AnnotationError
from .annotation_files import find_annotation_files
from .annotation_report import build_report, report_text

HEADER: Final = "image,valence,arousal,expression,aus"
N_FIELDS: Final = 4 + N_AUS
SPLIT_NAMES: Final[tuple[str, ...]] = SPLITS
NOT_ANNOTATED_AFFECT: Final = -5.0
NOT_ANNOTATED: Final = -1

_PATH = re.compile(r"(?P<video>.+)/(?P<number>[0-9]{1,9})\.[A-Za-z]+\Z")
_VALUE_NAMES: Final = ("valence", "arousal", "expression", *AUS)


@dataclass(frozen=True)
class SourceRows:
    """The rows of one annotation file, as read."""

    source: Path
    split: str
    path: list[str]
    """(R,) first fields."""
    video: list[str]
    frame: NDArray[np.int32]
    """(R,)"""
    values: NDArray[np.float64]
    """(R, 15) with the files' markers; a test list has markers only."""
    sha256: str


def import_annotations(
    cache: Path,
    name: str,
    folder: Path | None,
    train: Path | None,
    val: Path | None,
    test: Path | None,
    frames: Sequence[Path] = (),
) -> str:
    """Write the labels store of a set of annotation files, and return the report as text.

    Args:
        cache: folder of the stores.
        name: `labels`, or another name that starts with it.
        folder: holds the files under their known names; or None.
        train: file of the training split; replaces what `folder` holds, like the next two.
        val: file of the validation split.
        test: list of the test split.
        frames: frame trees in which to look for the listed crops.

    Raises:
        UsageError: no file is given, or the name is none of a labels store.
        AnnotationError: a file is not of the challenge's form; nothing is written.
    """
    if not re.fullmatch(r"labels(-[A-Za-z0-9_-]+)?", name):
        message = f"a labels store is called labels or labels-NAME, but got {name!r}"
        raise UsageError(message)
    named = {"train": train, "val": val, "test": test}
    given = {split: path for split, path in named.items() if path is not None}
    files = (find_annotation_files(folder, set(given)) if folder is not None else {}) | given
    if not files:
        message = "which annotations to read must be given: a FOLDER, or --train, --val, --test"
        raise UsageError(message)
    table = read_annotations(files, frames)
    existing = cache / f"{name}.zarr"
    path = existing if existing.exists() else cache / f"{name}.h5"
    write_labels(path, table)
    return f"{report_text(table.meta['report'])}\nwrote {path}"


def read_annotations(files: dict[str, Path], frames: Sequence[Path] = ()) -> LabelTable:
    """Return the labels of annotation files: rows in file order, and unique frames.

    Of rows that list one frame twice, the first gives the frame's labels; all of them are kept as
    rows. A frame listed in two splits belongs to the first of train, val, test.

    Args:
        files: split -> file.
        frames: frame trees in which to look for the listed crops.

    Raises:
        AnnotationError: names file and line; or a frame tree is not a folder.
        VideoIdError: an id could leave its folder.
    """
    for tree in frames:
        if not tree.is_dir():
            message = f"a tree of frames must be a folder, but {tree} is none; mend --frames"
            raise AnnotationError(message)
    parts = [read_rows(files[split], split) for split in SPLITS if split in files]
    videos = sorted({video for part in parts for video in part.video})
    number = {video: index for index, video in enumerate(videos)}
    row_video = np.array([number[v] for part in parts for v in part.video], np.int32)
    row_frame = np.concatenate([part.frame for part in parts])
    split_codes = [np.full(len(p.path), SPLIT_NAMES.index(p.split), np.int8) for p in parts]
    row_split = np.concatenate(split_codes)
    values = np.concatenate([part.values for part in parts])
    key = row_video.astype(np.int64) << 32 | row_frame
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    length = np.bincount(row_video[first], minlength=len(videos)).astype(np.int64)
    rows, masks = _clean(values)
    columns: dict[str, Any] = {}
    for task, array in rows.items():
        columns[f"row_{task}"], columns[f"row_{task}_is_labelled"] = array, masks[task]
        columns[task], columns[f"{task}_is_labelled"] = array[first], masks[task][first]
    table = LabelTable(
        videos=tuple(videos),
        start=np.cumsum(length) - length,
        length=length,
        frame=row_frame[first],
        split=row_split[first],
        row_path=[path for part in parts for path in part.path],
        row_video=row_video,
        row_frame=row_frame,
        row_split=row_split,
        **columns,
    )
    sources = [{"split": p.split, "name": p.source.name, "sha256": p.sha256} for p in parts]
    report = build_report(table, first[inverse.ravel()], frames)
    table.meta = {"sources": sources, "report": report}
    return table


def read_rows(path: Path, split: str) -> SourceRows:
    """Return the rows of one annotation file or test list.

    Raises:
        AnnotationError: the file cannot be read, is empty, or a line is not of the form; the
            message names the line.
        VideoIdError: an id could leave its folder.
    """
    try:
        data = path.read_bytes()
        lines = data.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} must be a readable annotation file, but is not: {error}"
        raise AnnotationError(message) from error
    is_test = split == "test"
    places = [number for number, line in enumerate(lines) if line.strip()]
    if places and _is_header(lines[places[0]], is_test=is_test):
        places = places[1:]
    if not places:
        message = f"{path} must list frames, but lists none; give the file of the challenge"
        raise AnnotationError(message)
    split_lines = [[cell.strip() for cell in lines[place].split(",")] for place in places]
    if is_test:
        values = np.full((len(places), 3 + N_AUS), float(NOT_ANNOTATED))
        values[:, :2] = NOT_ANNOTATED_AFFECT
    else:
        values = _values(path, places, split_lines)
    videos, frames = [], np.empty(len(places), np.int32)
    for row, cells in enumerate(split_lines):
        found = _PATH.match(cells[0])
        if found is None:
            message = (
                f"{path}:{places[row] + 1} must begin with <video>/<number>.jpg, but begins with "
                f"{cells[0]!r}"
            )
            raise AnnotationError(message)
        videos.append(found["video"])
        frames[row] = int(found["number"])
    first_line: dict[str, int] = {}
    for video, place in zip(videos, places, strict=True):
        first_line.setdefault(video, place + 1)
    for video, line in first_line.items():
        check_video_id(video, f"{path}:{line}")
    names = [cells[0] for cells in split_lines]
    sha256 = hashlib.sha256(data).hexdigest()
    return SourceRows(path, split, names, videos, frames, values, sha256)


def write_annotations(path: Path, names: Iterable[str], values: NDArray[Any] | None) -> None:
    """Write rows in the challenge's form: annotations, a submission, or a test list.

    Args:
        path: the file.
        names: (R,) first fields, `<video>/<number>.jpg`.
        values: (R, 15) with -5 and -1 where nothing is annotated; None writes a test list.
            Affect is written with the digits of a float32.

    Raises:
        ValueError: names and values differ in number, or a value is NaN or infinite.
    """
    lines = [HEADER]
    if values is None:
        lines += names
    else:
        if not np.isfinite(values).all():
            place = tuple(np.argwhere(~np.isfinite(values))[0])
            message = f"annotations must be finite numbers, but row {place[0]} has {values[place]}"
            raise ValueError(message)
        for name, row in zip(names, values, strict=True):
            affect = ",".join(str(np.float32(value)) for value in row[:2])
            rest = ",".join(str(int(value)) for value in row[2:])
            lines.append(f"{name},{affect},{rest}")
    write_text_atomic(path, "\n".join(lines) + "\n")


def _is_header(line: str, *, is_test: bool) -> bool:
    cells = line.split(",")
    if is_test:
        return "/" not in cells[0]
    try:
        float(cells[1])
    except (IndexError, ValueError):
        return "/" not in cells[0]
    return False


def _values(path: Path, places: list[int], lines: list[list[str]]) -> NDArray[np.float64]:
    """Return the 15 numbers of every line, in range."""
    for place, cells in zip(places, lines, strict=True):
        if len(cells) != N_FIELDS:
            message = (
                f"{path}:{place + 1} must have {N_FIELDS} comma-separated fields (image, valence, "
                f"arousal, expression, {N_AUS} AUs), but has {len(cells)}; mend the line"
            )
            raise AnnotationError(message)
    try:
        values = np.array([cells[1:] for cells in lines], np.float64)
    except ValueError:
        for place, cells in zip(places, lines, strict=True):
            _check_numbers(path, place, cells)
        raise
    affect, expression, au = values[:, :2], values[:, 2], values[:, 3:]
    in_range = np.empty(values.shape, np.bool_)
    in_range[:, :2] = ((affect >= -1) & (affect <= 1)) | (affect == NOT_ANNOTATED_AFFECT)
    in_range[:, 2] = np.isin(expression, np.arange(NOT_ANNOTATED, N_EXPRESSIONS))
    in_range[:, 3:] = np.isin(au, (NOT_ANNOTATED, 0, 1))
    if not in_range.all():
        row, column = map(int, np.argwhere(~in_range)[0])
        raise _range_error(path, places[row], column, lines[row][column + 1])
    return values


def _check_numbers(path: Path, place: int, cells: list[str]) -> None:
    for column, cell in enumerate(cells[1:]):
        try:
            float(cell)
        except ValueError:
            raise _range_error(path, place, column, cell) from None


def _range_error(path: Path, place: int, column: int, cell: str) -> AnnotationError:
    name = _VALUE_NAMES[column]
    if name in {"valence", "arousal"}:
        needed = "a number in [-1, 1], or -5 for not annotated"
    elif name == "expression":
        needed = f"a class from 0 to {N_EXPRESSIONS - 1}, or -1 for not annotated"
    else:
        needed = "0 or 1, or -1 for not annotated"
    message = f"{name} in {path}:{place + 1} must be {needed}, but is {cell}; mend the line"
    return AnnotationError(message)


def _clean(values: NDArray[np.float64]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return values and is_labelled per task; what is not annotated is 0 and False."""
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
