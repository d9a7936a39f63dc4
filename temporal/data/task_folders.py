"""The folders of the challenges of one task: which task, and the files of each split.

VA_Estimation_Challenge/Train_Set/<video>.txt
VA_Estimation_Challenge/Validation_Set/<video>.txt
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from ...cache import Split
from ...core.names import printable_name
from ..errors import AnnotationError

TaskChallenge = Literal["va", "expr", "au"]

TASK_FOLDERS: Final[dict[TaskChallenge, tuple[str, ...]]] = {
    "va": ("VA_Estimation_Challenge", "VA_Set"),
    "expr": (
        "EXPR_Classification_Challenge",
        "EXPR_Recognition_Challenge",
        "EXPR_Set",
    ),
    "au": ("AU_Detection_Challenge", "AU_Set"),
}
"""Names of the folders in the editions ABAW1, 2, 3, 5, 6 and 8."""
SPLIT_FOLDERS: Final[dict[Split, str]] = {"train": "Train_Set", "val": "Validation_Set"}

_SUFFIX: Final = ".txt"


@dataclass(frozen=True)
class TaskFolder:
    """The annotations of one task."""

    folder: Path
    task: TaskChallenge | None
    """As the folder's name says; None if it is another name."""
    files: dict[Split, list[tuple[str, Path]]]
    """Split -> (video, file), sorted by video."""
    others: list[str]
    """What else lies in the folders of the splits, and is not read."""


def find_task_folder(folder: Path, *, holds_multi_task: bool = False) -> TaskFolder | None:
    """Return the annotations of one task that a folder is, or holds as its only ones.

    The same video may be in different splits of different tasks, so the tasks are never read as
    one set.

    Args:
        folder: a folder of one task, or the one above it.
        holds_multi_task: whether the files of the multi-task challenge are in `folder` too.

    Returns:
        None if the folder holds no annotations of one task.

    Raises:
        AnnotationError: it holds those of several challenges, or a split is missing or empty; or
            it is the folder of a split.
    """
    if not folder.is_dir():
        return None
    if _split_folders(folder):
        return _read_folder(folder)
    if folder.name.lower() in _known_splits() and _videos(folder)[0]:
        message = (
            f"{folder} is one split of a task, but the folder of the task is needed, with "
            f"{' and '.join(SPLIT_FOLDERS.values())}; give {folder.parent}"
        )
        raise AnnotationError(message)
    inside = [path for path in _entries(folder) if path.is_dir() and _split_folders(path)]
    if not inside:
        return None
    if len(inside) + holds_multi_task > 1:
        names = [path.name for path in inside] + ["multi-task files"] * holds_multi_task
        message = (
            f"one labels store is of one challenge, as a video may be in different splits of them, "
            f"but {folder} holds {', '.join(names)}; give one of them, like {inside[0]}, "
            f"and each a --name"
        )
        raise AnnotationError(message)
    return _read_folder(inside[0])


def _read_folder(folder: Path) -> TaskFolder:
    splits = _split_folders(folder)
    files: dict[Split, list[tuple[str, Path]]] = {}
    others: list[str] = []
    for split, name in SPLIT_FOLDERS.items():
        videos, rest = _videos(splits[split]) if split in splits else ([], [])
        if not videos:
            state = "holds no <video>.txt" if split in splits else "is not there"
            message = (
                f"{folder} must hold {' and '.join(SPLIT_FOLDERS.values())}, each with a "
                f"<video>.txt for every video, but {name} {state}; unpack the annotations again"
            )
            raise AnnotationError(message)
        files[split] = videos
        others += [f"{splits[split].name}/{item}" for item in rest]
    beside = [path.name for path in _entries(folder) if path not in splits.values()]
    others += map(printable_name, beside)
    return TaskFolder(folder, _named_task(folder), files, others)


def _split_folders(folder: Path) -> dict[Split, Path]:
    known = _known_splits()
    found: dict[Split, Path] = {}
    for path in _entries(folder):
        split = known.get(path.name.lower())
        if split is None or not path.is_dir():
            continue
        if split in found:
            message = (
                f"a split must be one folder, but {folder} holds {found[split].name} and "
                f"{path.name}; remove one"
            )
            raise AnnotationError(message)
        found[split] = path
    return found


def _known_splits() -> dict[str, Split]:
    return {name.lower(): split for split, name in SPLIT_FOLDERS.items()}


def _videos(folder: Path) -> tuple[list[tuple[str, Path]], list[str]]:
    """Return (video, file) of the annotation files, and the names of all else.

    Raises:
        AnnotationError: what is called like an annotation file is none, or a video has two.
    """
    videos: dict[str, Path] = {}
    others: list[str] = []
    for path in _entries(folder):
        if path.suffix.lower() != _SUFFIX or path.name.startswith("."):
            others.append(printable_name(path.name))
            continue
        if not path.is_file():
            found = "a folder" if path.is_dir() else "no file"
            if path.is_symlink() and not path.exists():
                found = "a link that leads nowhere"
            message = (
                f"{path} must be the file of a video, but is {found}; mend or remove it, or the "
                f"video would be left out"
            )
            raise AnnotationError(message)
        video = path.name[: -len(_SUFFIX)]
        if video in videos:
            message = (
                f"a video must have one file, but {video!r} has {videos[video]} and {path}; "
                f"remove one"
            )
            raise AnnotationError(message)
        videos[video] = path
    return sorted(videos.items()), others


def _entries(folder: Path) -> Sequence[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        message = f"{folder} must be a readable folder, but is not: {error.strerror}; mend it"
        raise AnnotationError(message) from error


def _named_task(folder: Path) -> TaskChallenge | None:
    name = folder.resolve().name.lower()
    for task, names in TASK_FOLDERS.items():
        if name in {known.lower() for known in names}:
            return task
    return None
