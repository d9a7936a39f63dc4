"""Annotations of the challenges of one task: a file for each video, a line for each frame.

The first line names the columns; the k-th line after it is frame k, so an annotation has no frame
number of its own. The lists of the test split are read in `lists`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ...cache import LabelTable, Split
from ...core.names import check_video_id
from ...core.tasks import EXPRESSIONS
from ..errors import AnnotationError
from .annotation_rows import (
    VALUE_NAMES,
    SourceRows,
    numbered_rows,
    parse_values,
    read_lines,
    read_rows,
)
from .challenges import COLUMNS, HEADERS, challenge_of, named_in
from .crops import CropTrees
from .label_table import build_table
from .lists import is_frame_list, read_video_list
from .task_folders import TASK_FOLDERS, TaskChallenge, TaskFolder

_OLD_HEADERS: Final = {
    EXPRESSIONS[:-1]: "ABAW1 and ABAW2, which had 7 classes and no Other",
    ("AU1", "AU2", "AU4", "AU6", "AU12", "AU15", "AU20", "AU25"): "ABAW1, which had 8 other AUs",
}


def read_task_annotations(
    folder: TaskFolder, test: Path | None, frames: Sequence[Path] = ()
) -> LabelTable:
    """Return the labels of one task: rows in order of split, video and line, and unique frames.

    Args:
        folder: the annotations of the task.
        test: list of the test split; its own order is kept.
        frames: frame trees in which to look for the crops. A test list that only names its videos
            needs them, if it does not say how long they are: a video's rows then are the frames
            from 1 to its last crop.

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
        if is_frame_list(test, task):
            parts.append(read_rows(test, "test"))
        else:
            listed = read_video_list(test, crops)
            parts += listed
            oddities["test videos taken to end at their last crop"] = [
                part.named_video for part in listed if part.last_crop
            ]
            oddities["test videos without any crop"] = [
                part.named_video for part in listed if part.last_crop == 0
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
    columns = COLUMNS[task]
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
    return numbered_rows(path, split, video, values, sha256), has_header


def _task_of(folder: TaskFolder) -> TaskChallenge:
    """Return the task by the first line of the first file."""
    path = folder.files["train"][0][1]
    first = next(iter(read_lines(path)[0]), "")
    task = challenge_of(named_in(first))
    if task is not None and task != "mtl":
        return task
    known = ", ".join(name for names in TASK_FOLDERS.values() for name in names)
    message = (
        f"the task of {folder.folder} must be told by its name ({known}) or by the first line of "
        f"its files, but {path.name} begins with {first[:80]!r}; rename the folder"
    )
    raise AnnotationError(message)


def _check_header(line: str, task: TaskChallenge, path: Path) -> None:
    """Refuse a file whose columns are not those of the task, in their order."""
    names = named_in(line)
    found = challenge_of(names)
    if found == task:
        return
    meant = f"{path}:1 must be {','.join(HEADERS[task])!r}"
    for header, edition in _OLD_HEADERS.items():
        if names == tuple(name.lower() for name in header):
            message = (
                f"{meant}, but is that of {edition}; labels of that edition cannot be used with "
                f"those of later ones, so give the annotations of ABAW3 or later"
            )
            raise AnnotationError(message)
    if found is not None and found != "mtl":
        message = (
            f"{meant}, but is that of {TASK_FOLDERS[found][0]}; give each task a folder of its own"
        )
        raise AnnotationError(message)
    message = f"{meant}, but is {line[:120]!r}; give the challenge's own file"
    raise AnnotationError(message)


def _are_numbers(line: str) -> bool:
    try:
        [float(cell) for cell in line.split(",")]
    except ValueError:
        return not line.strip()
    return True
