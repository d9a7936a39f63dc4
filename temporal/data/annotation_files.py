"""The names of the multi-task challenge's annotation files."""

from collections.abc import Sequence, Set
from pathlib import Path
from typing import Final

from ..errors import AnnotationError

KNOWN_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "train": ("training_set_annotations.txt", "train_set.txt"),
    "val": ("validation_set_annotations.txt", "validation_set.txt"),
    "test": (
        "MTL_Challenge_test_set_release.txt",
        "Multi_Task_Learning_Challenge_test_set_release.txt",
        "MTL.txt",
        "test_set_examples/MTL.txt",
    ),
}
"""File names of the challenge's editions ABAW3, 4, 7 and 11, by split."""


def find_annotation_files(folder: Path, given: Set[str] = frozenset()) -> dict[str, Path]:
    """Return split -> annotation file for the files that a folder holds under known names.

    Splits in `given` are not looked for. The files may also lie in `MTL_Challenge` inside the
    folder, as ABAW3 ships them.

    Raises:
        AnnotationError: the folder, or its training or validation file, is missing; or there are
            two files for one split, as editions must not be mixed.
    """
    found: dict[str, Path] = {}
    for split, names in KNOWN_NAMES.items():
        if split in given:
            continue
        there = _places(folder, names)
        if len(there) > 1:
            message = (
                f"{folder} must hold one file of the split {split}, but holds "
                f"{' and '.join(str(place.relative_to(folder)) for place in there)}; "
                f"choose one by --{split}"
            )
            raise AnnotationError(message)
        if there:
            found[split] = there[0]
    missing = [split for split in ("train", "val") if split not in {*found, *given}]
    if missing:
        inside = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        holds = f"holds {', '.join(inside[:5])}" if inside else "is empty or not there"
        message = (
            f"{folder} must hold {' and '.join(map(_either, missing))}, or the Train_Set and "
            f"Validation_Set of one task, but {holds}; name the files by --train, --val and --test"
        )
        raise AnnotationError(message)
    return found


def holds_annotation_files(folder: Path) -> bool:
    """Return whether a folder holds a training or validation file under a known name."""
    return any(_places(folder, KNOWN_NAMES[split]) for split in ("train", "val"))


def _places(folder: Path, names: Sequence[str]) -> list[Path]:
    places = [folder / part / name for part in ("", "MTL_Challenge") for name in names]
    return [place for place in places if place.is_file()]


def _either(split: str) -> str:
    return " or ".join(KNOWN_NAMES[split])
