"""Annotation files of the challenge: imported into a labels store, and written."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...cache import SPLITS, LabelTable, write_labels
from ...core.errors import UsageError
from ...core.files import write_text_atomic
from ...core.names import labels_store_name
from .annotation_files import find_annotation_files, holds_annotation_files
from .annotation_report import report_text
from .annotation_rows import read_rows
from .crops import CropTrees
from .label_table import build_table
from .task_annotations import read_task_annotations
from .task_folders import find_task_folder

HEADER: Final = "image,valence,arousal,expression,aus"


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

    A folder of one task, with a file for each video in `Train_Set` and `Validation_Set`, is known
    by its form; anything else is the multi-task challenge's files.

    Args:
        cache: folder of the stores.
        name: `labels`, or NAME or `labels-NAME` for the store `labels-NAME`.
        folder: holds the files under their known names, or the folders of one task; or None.
        train: file of the training split; replaces what `folder` holds, like the next two.
        val: file of the validation split.
        test: list of the test split.
        frames: trees of crops, as `abaw extract` takes them, in which to look for the listed ones.

    Raises:
        UsageError: no file is given, the name is none of a labels store, or multi-task files are
            given beside the folder of one task.
        AnnotationError: a file is not of the challenge's form; nothing is written.
        FramesError: a frame tree is not one that can be read.
    """
    store = labels_store_name(name)
    named = {"train": train, "val": val, "test": test}
    given = {split: path for split, path in named.items() if path is not None}
    task_folder = None
    if folder is not None:
        task_folder = find_task_folder(folder, holds_multi_task=holds_annotation_files(folder))
    if folder is not None and task_folder is not None:
        for split in ("train", "val"):
            if split in given:
                message = (
                    f"--{split} names a file of the multi-task challenge, but {folder} is a folder "
                    f"of one task, whose splits are its own; leave one of them out"
                )
                raise UsageError(message)
        table = read_task_annotations(task_folder, test, frames)
    else:
        files = (find_annotation_files(folder, set(given)) if folder is not None else {}) | given
        if not files:
            message = "which annotations to read must be given: a FOLDER, or --train, --val, --test"
            raise UsageError(message)
        table = read_annotations(files, frames)
    existing = cache / f"{store}.zarr"
    path = existing if existing.exists() else cache / f"{store}.h5"
    write_labels(path, table)
    return f"{report_text(table.meta['report'])}\nwrote {path}"


def read_annotations(files: dict[str, Path], frames: Sequence[Path] = ()) -> LabelTable:
    """Return the labels of the multi-task challenge's files: rows in file order, unique frames.

    Of rows that list one frame twice, the first gives the frame's labels; all of them are kept as
    rows. A frame listed in two splits belongs to the first of train, val, test.

    Args:
        files: split -> file.
        frames: frame trees in which to look for the listed crops.

    Raises:
        AnnotationError: names file and line.
        FramesError: a frame tree is not one that can be read.
        VideoIdError: an id could leave its folder.
    """
    crops = CropTrees(frames) if frames else None
    parts = [read_rows(files[split], split) for split in SPLITS if split in files]
    return build_table(parts, "mtl", crops, {})


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
