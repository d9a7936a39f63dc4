"""Annotations of the challenges of one task: a file for each video, a line for each frame.

The first line names the columns; the k-th line after it is frame k, so an annotation has no frame
number of its own. Three lists of the test split are known: a sample of the file to hand in, with a
row for every frame (ABAW5 and later), and the names of the videos, which do not say how long they
are (ABAW2 and 3).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...cache import LabelTable, Split
from ...core.names import check_video_id
from ...core.tasks import AUS, EXPRESSIONS
from ..errors import AnnotationError
from .annotation_rows import (
    VALUE_NAMES,
    SourceRows,
    is_frame_path,
    parse_values,
    read_lines,
    read_rows,
    unlabelled_values,
)
from .crops import CropTrees
from .label_table import build_table
from .task_folders import TASK_FOLDERS, TaskChallenge, TaskFolder

HEADERS: Final[dict[TaskChallenge, tuple[str, ...]]] = {
    "va": ("valence", "arousal"),
    "expr": EXPRESSIONS,
    "au": AUS,
}
"""First line of every file. An expression is one number all the same."""
_COLUMNS: Final[dict[TaskChallenge, range]] = {
    "va": range(2),
    "expr": range(2, 3),
    "au": range(3, len(VALUE_NAMES)),
}
_OLD_HEADERS: Final = {
    EXPRESSIONS[:-1]: "ABAW1 and ABAW2, which had 7 classes and no Other",
    ("AU1", "AU2", "AU4", "AU6", "AU12", "AU15", "AU20", "AU25"): "ABAW1, which had 8 other AUs",
}
_MULTI_TASK: Final = ("valence", "arousal", "expression", "aus")


def read_task_annotations(
    folder: TaskFolder, test: Path | None, frames: Sequence[Path] = ()
) -> LabelTable:
    """Return the labels of one task: rows in order of split, video and line, and unique frames.

    Args:
        folder: the annotations of the task.
        test: list of the test split; its own order is kept.
        frames: frame trees in which to look for the crops. A test list that only names its videos
            needs them: a video's rows then are the frames from 1 to its last crop.

    Raises:
        AnnotationError: names file and line.
        FramesError: a frame tree is not one that can be read.
        VideoIdError: an id could leave its folder.
    """
    crops = CropTrees(frames) if frames else None
    task = folder.task or _task_of(folder)
    headless: list[str] = []
    parts = []
    for split, videos in folder.files.items():
        for video, path in videos:
            rows, has_header = read_video_file(path, video, split, task)
            parts.append(rows)
            if not has_header:
                headless.append(f"{path.parent.name}/{path.name}")
    oddities: dict[str, Sequence[str]] = {
        "files and folders that are no annotations": folder.others,
        "files without a first line of names": headless,
    }
    if test is not None:
        if _is_sample(test, task):
            parts.append(read_rows(test, "test"))
        else:
            listed = read_video_list(test, crops)
            parts += listed
            oddities["test videos taken to end at their last crop"] = [
                part.named_video for part in listed if part.last_crop
            ]
            oddities["test videos without any crop"] = [
                part.named_video for part in listed if not part.last_crop
            ]
    return build_table(parts, task, crops, oddities)


def read_video_file(
    path: Path, video: str, split: Split, task: TaskChallenge
) -> tuple[SourceRows, bool]:
    """Return the rows of one video's file, and whether its first line names the columns.

    Raises:
        AnnotationError: the file cannot be read, is empty, its columns are not those of the task,
            or a line is not of the form; the message names the line.
        VideoIdError: the file's name could leave its folder.
    """
    check_video_id(video, str(path))
    lines, sha256 = read_lines(path)
    while lines and not lines[-1].strip():
        lines.pop()
    has_header = bool(lines) and not _are_numbers(lines[0])
    if has_header:
        _check_header(lines[0], task, path)
    start = int(has_header)
    if len(lines) == start:
        message = f"{path} must hold a line for each frame, but holds none; mend or remove it"
        raise AnnotationError(message)
    cells = [[cell.strip() for cell in line.split(",")] for line in lines[start:]]
    places = range(start, len(lines))
    columns = _COLUMNS[task]
    for place, line in zip(places, cells, strict=True):
        if line == [""]:
            message = (
                f"{path}:{place + 1} must be the label of a frame, but is empty; mend it, as all "
                f"after it would be labels of the frame before theirs"
            )
            raise AnnotationError(message)
        if len(line) != len(columns):
            names = ", ".join(VALUE_NAMES[column] for column in columns)
            message = (
                f"{path}:{place + 1} must have {len(columns)} comma-separated fields ({names}), "
                f"but has {len(line)}; mend the line"
            )
            raise AnnotationError(message)
    values = parse_values(path, places, cells, columns)
    return _numbered_rows(path, split, video, values, sha256), has_header


def read_video_list(path: Path, crops: CropTrees | None) -> list[SourceRows]:
    """Return rows for the videos that a test list names, in its order: frames 1 to the last crop.

    The true length may be greater, where no face was found at the end. A video without any crop
    gets frame 1, so that it is predicted at all.

    Args:
        path: the list, a video a line.
        crops: where to look for the videos' crops.

    Raises:
        AnnotationError: the list cannot be read or names nothing, there are no crops to tell how
            long the videos are, or none of the videos has a crop.
        VideoIdError: a name could leave its folder.
    """
    lines, sha256 = read_lines(path)
    named = {
        number: line.partition(",")[0].strip()
        for number, line in enumerate(lines, 1)
        if line.strip()
    }
    if not named:
        message = f"{path} must list frames or videos, but lists none; give the challenge's list"
        raise AnnotationError(message)
    for number, video in named.items():
        if not video:
            message = (
                f"{path}:{number} must begin with the name of a video, but begins with a comma; "
                f"mend the line"
            )
            raise AnnotationError(message)
        check_video_id(video, f"{path}:{number}")
    if crops is None:
        message = (
            f"{path} names {len(named)} videos, but not their frames, which must be known; give "
            f"the trees of their crops by --frames"
        )
        raise AnnotationError(message)
    lengths = {video: _n_frames(crops, video) for video in named.values()}
    if not any(lengths.values()):
        message = (
            f"the videos that {path} names must have crops in the trees of --frames, but none of "
            f"the {len(named)} has, the first is {next(iter(lengths))!r}; mend the list or --frames"
        )
        raise AnnotationError(message)
    return [
        _numbered_rows(
            path, "test", video, unlabelled_values(max(1, lengths[video])), sha256, lengths[video]
        )
        for video in named.values()
    ]


def _numbered_rows(
    path: Path,
    split: Split,
    video: str,
    values: NDArray[np.float64],
    sha256: str,
    last_crop: int | None = None,
) -> SourceRows:
    """Return rows that are the frames 1, 2, … of a video."""
    frame = np.arange(1, len(values) + 1, dtype=np.int32)
    names = [f"{video}/{number:05d}.jpg" for number in frame.tolist()]
    videos = [video] * len(values)
    return SourceRows(path, split, names, videos, frame, values, sha256, video, last_crop)


def _n_frames(crops: CropTrees, video: str) -> int:
    numbers = crops.numbers(video)
    return int(numbers[-1]) if len(numbers) else 0


def _task_of(folder: TaskFolder) -> TaskChallenge:
    """Return the task by the first line of the first file."""
    path = folder.files["train"][0][1]
    first = next(iter(read_lines(path)[0]), "")
    for task, header in HEADERS.items():
        if _names(first) == _lower(header):
            return task
    known = ", ".join(name for names in TASK_FOLDERS.values() for name in names)
    message = (
        f"the task of {folder.folder} must be told by its name ({known}) or by the first line of "
        f"its files, but {path.name} begins with {first[:80]!r}; rename the folder"
    )
    raise AnnotationError(message)


def _check_header(line: str, task: TaskChallenge, path: Path) -> None:
    """Refuse a file whose columns are not those of the task, in their order."""
    found = _names(line)
    if found == _lower(HEADERS[task]):
        return
    meant = f"{path}:1 must be {','.join(HEADERS[task])!r}"
    for header, edition in _OLD_HEADERS.items():
        if found == _lower(header):
            message = (
                f"{meant}, but is that of {edition}; labels of that edition cannot be used with "
                f"those of later ones, so give the annotations of ABAW3 or later"
            )
            raise AnnotationError(message)
    for other, header in HEADERS.items():
        if found == _lower(header):
            message = (
                f"{meant}, but is that of {TASK_FOLDERS[other][0]}; give each task a folder of its "
                f"own"
            )
            raise AnnotationError(message)
    message = f"{meant}, but is {line[:120]!r}; give the challenge's own file"
    raise AnnotationError(message)


def _is_sample(path: Path, task: TaskChallenge) -> bool:
    """Return whether a test list has a row for every frame, `<video>/<number>.jpg,…`.

    Raises:
        AnnotationError: the list is another challenge's.
    """
    lines = [line for line in read_lines(path)[0] if line.strip()]
    first, *names = _names(lines[0]) if lines else ("",)
    others = {TASK_FOLDERS[other][0]: _lower(header) for other, header in HEADERS.items()}
    others["the multi-task challenge"] = _MULTI_TASK
    for other, header in others.items():
        if tuple(names) == header and header != _lower(HEADERS[task]):
            message = (
                f"{path} must be the test list of {TASK_FOLDERS[task][0]}, but its first line is "
                f"that of {other}; give the list of the task"
            )
            raise AnnotationError(message)
    is_listed = (is_frame_path(line.partition(",")[0].strip()) for line in lines[:2])
    return first in {"image_location", "image"} or any(is_listed)


def _are_numbers(line: str) -> bool:
    try:
        [float(cell) for cell in line.split(",")]
    except ValueError:
        return not line.strip()
    return True


def _names(line: str) -> tuple[str, ...]:
    return tuple(cell.strip().lower() for cell in line.strip().rstrip(",").split(","))


def _lower(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.lower() for name in names)
