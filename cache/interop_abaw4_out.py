"""Writes the files of the system that won the 4th challenge: features, their moments, labels.

`features/<name>.h5` holds `<video>/feature` (n, D), the files of labels `<video>/label` (n, 15):
valence, arousal, expression, 12 AUs. It asserts that both have the same n, a row a distinct frame.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from .errors import CacheError
from .interop_source import short_list
from .label_table import SPLITS
from .labels import LabelRecord, LabelStore
from .object_path import AnyPath
from .schema import Array
from .store import EmbeddingStore

SPLIT_NUMBER: Final = 6
"""In the names of the files of labels: the one that the system reads unless told otherwise."""
_AFFECT_MARKER: Final = -5.0
_MARKER: Final = -1.0
"""This layout has no masks: values that are not annotated are -5 (valence, arousal) and -1."""


def write_abaw4(folder: Path, stores: Sequence[EmbeddingStore], labels: LabelStore) -> list[str]:
    """Write features, their mean and deviation over the training split, and labels.

    A labelled frame without an embedding gets that of the nearest earlier frame of its video, else
    of the nearest.

    Args:
        folder: the root of the layout.
        stores: the embeddings; each must have every video of the labels.
        labels: whose frames are the rows.

    Returns:
        What a user should know, a sentence each.

    Raises:
        CacheError: the layout cannot hold a video, or an embedding lacks one.
    """
    records = {video: labels[video] for video in labels}
    split_of = {video: _split(video, record, labels.path) for video, record in records.items()}
    for store in stores:
        lacking = [video for video in records if video not in store]
        if lacking:
            message = (
                f"the layout abaw4 needs rows of every video of {labels.path}, but {store.path} "
                f"has none of {len(lacking)}, such as {lacking[0]!r}; extract them, or export with "
                f"labels without them"
            )
            raise CacheError(message)
    notes = []
    for store in stores:
        notes.append(_write_features(folder, store, records, split_of))
        notes += _left_out(store, records, split_of)
    targets = folder / "targets"
    (targets / "resplit").mkdir(parents=True)
    numbered = {"train": "trn", "val": "val"}
    for split, short in numbered.items():
        path = targets / "resplit" / f"{short}_split{SPLIT_NUMBER}_target.h5"
        _write_targets(path, [records[v] for v in records if split_of[v] == split])
    labelled = [record for video, record in records.items() if split_of[video] in numbered]
    _write_targets(targets / "trn_val_target.h5", labelled)
    with h5py.File(targets / "partition.h5", "w") as file:
        group = file.create_group("tst")
        for video, record in records.items():
            if split_of[video] == "test":
                group[video] = record.frame
    return notes


def held_rows(
    have: NDArray[np.int32], want: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the row that stands for each wanted frame, and whether it is another frame's.

    Args:
        have: frame numbers of the rows, rising, at least one.
        want: frame numbers asked for.

    >>> held_rows(np.array([3, 6], np.int32), np.array([1, 3, 5, 9], np.int32))[0].tolist()
    [0, 0, 0, 1]
    """
    row = np.maximum(np.searchsorted(have, want, side="right") - 1, 0)
    return row, have[row] != want


def _split(video: str, record: LabelRecord, where: AnyPath) -> str:
    """Return the split of a video that the layout can hold."""
    if "/" in video:
        message = (
            f"the layout abaw4 has one group a video, so ids have no '/', but {where} has "
            f"{video!r}; export another layout, or rename the video"
        )
        raise CacheError(message)
    codes: list[int] = np.unique(record.split).tolist()
    if len(codes) > 1:
        names = " and ".join(SPLITS[code] for code in codes)
        message = (
            f"the layout abaw4 has a video in one split, but {video!r} of {where} is in {names}; "
            f"export another layout, or mend the annotations"
        )
        raise CacheError(message)
    return SPLITS[codes[0]]


def _write_features(
    folder: Path,
    store: EmbeddingStore,
    records: dict[str, LabelRecord],
    split_of: dict[str, str],
) -> str:
    """Write the rows and moments of one embedding; return how many were held."""
    path = folder / "features" / f"{store.name}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    n_held = 0
    worst: dict[str, str] = {}
    with h5py.File(path, "w") as file:
        for video, record in records.items():
            stored = store[video]
            row, is_held = held_rows(stored.frame, record.frame)
            file[f"{video}/feature"] = stored.embedding[row].astype(np.float32)
            n_held += int(is_held.sum())
            if is_held.any():
                worst[video] = f"{int(is_held.sum())} of {len(record)}"
        train = [video for video in records if split_of[video] == "train"]
        if train:
            _write_moments(folder / "features" / "mean_std_on_trn" / path.name, file, train)
    if not n_held:
        return f"{store.name}: every labelled frame has its own embedding"
    return f"{store.name}: {n_held} labelled frames hold another frame's: {short_list(worst)}"


def _left_out(
    store: EmbeddingStore, records: dict[str, LabelRecord], split_of: dict[str, str]
) -> list[str]:
    """Return what of an embedding is not written, because the labels do not have it."""
    notes = []
    others = [video for video in store if video not in records]
    if others:
        notes.append(
            f"{store.name}: {len(others)} stored videos are not in the labels and are left out: "
            f"{short_list(others)}"
        )
    n_frames = sum(
        int((~np.isin(store[video].frame, record.frame, assume_unique=True)).sum())
        for video, record in records.items()
    )
    if n_frames:
        notes.append(
            f"{store.name}: {n_frames} stored frames of the others are not in the labels and are "
            f"left out"
            if others
            else f"{store.name}: {n_frames} stored frames are not in the labels and are left out"
        )
    if "train" not in split_of.values():
        notes.append(f"{store.name}: no training video in the labels, so no mean_std_on_trn")
    return notes


def _write_moments(path: Path, features: h5py.File, train: Sequence[str]) -> None:
    """Write mean and deviation of the training rows; a deviation of 0 becomes 1."""
    n = sum(features[f"{video}/feature"].shape[0] for video in train)

    def total(of: Any) -> NDArray[np.float64]:  # noqa: ANN401 - a function of rows
        sums = [of(features[f"{v}/feature"][:].astype(np.float64)).sum(axis=0) for v in train]
        return np.asarray(np.sum(sums, axis=0) / n, np.float64)

    mean = total(lambda rows: rows)
    # Two passes: the difference of large sums would lose a small deviation.
    deviation = np.sqrt(total(lambda rows: (rows - mean) ** 2)).astype(np.float32)
    deviation[deviation == 0] = 1
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["train/mean"] = mean.astype(np.float32)
        file["train/std"] = deviation


def _write_targets(path: Path, records: Sequence[LabelRecord]) -> None:
    with h5py.File(path, "w") as file:
        for record in records:
            file[f"{record.video}/label"] = _label_rows(record)


def _label_rows(record: LabelRecord) -> Array:
    """Return (n, 15) float32 values with markers."""
    columns = []
    for task, values in record.values.items():
        marker = _AFFECT_MARKER if task in {"valence", "arousal"} else _MARKER
        marked = np.where(record.is_labelled[task], values, marker)
        columns.append(marked.reshape(len(record), -1))
    return np.concatenate(columns, axis=1).astype(np.float32)
