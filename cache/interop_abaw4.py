"""The files of the system that won the 4th challenge: HDF5, a group a video. Read and written.

`features/<name>.h5` holds `<video>/feature` (n, D), the files of labels `<video>/label` (n, 15):
valence, arousal, expression, 12 AUs. It asserts that both have the same n, a row a distinct frame.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import xxhash
from numpy.typing import NDArray

from ..core.names import check_video_id
from .errors import CacheError, InteropError
from .interop_source import (
    FrameNumbers,
    ImportedVideo,
    ImportOptions,
    Layout,
    check_dim,
    check_rows,
    finite_video,
    first_readable,
    short_list,
)
from .label_table import SPLITS
from .labels import LabelRecord, LabelStore
from .object_path import AnyPath
from .schema import Array
from .spec import Option
from .store import EmbeddingStore

SPLIT_NUMBER: Final = 6
"""In the names of the files of labels: the one that the system reads unless told otherwise."""
_AFFECT_MARKER: Final = -5.0
_MARKER: Final = -1.0
"""This layout has no masks: values that are not annotated are -5 (valence, arousal) and -1."""
_HASHED_ROWS: Final = 4_096


class Abaw4Source:
    """The datasets `<video>/feature` of one file; see `ImportSource`."""

    layout: Layout = "abaw4"

    def __init__(self, source: Path, options: ImportOptions, numbers: FrameNumbers) -> None:
        self._path = source
        self._numbers = numbers
        self.options: dict[str, Option] = {}
        self.notes: list[str] = []
        with self._open() as file:
            found: list[str] = []
            # Links are not followed: what is read is in this file.
            file.visititems(lambda name, item: _note_feature(name, item, found))
            self.videos: tuple[str, ...] = tuple(
                sorted(check_video_id(name, str(source)) for name in found)
            )
            if not self.videos:
                message = (
                    f"{source} must hold datasets <video>/feature, but holds none (its first names "
                    f"are {short_list(list(file), 3) or 'none'}); name a file of features/"
                )
                raise InteropError(message)
            _, (_, self.dim) = first_readable(
                self.videos,
                lambda name: check_rows(self._dataset(file, name), f"{name}/feature of {source}"),
            )

    def content_hash(self, video: str) -> int:
        """Return the hash of the dataset and of its frame numbers."""
        digest = xxhash.xxh3_128()
        with self._open() as file:
            data = self._dataset(file, video)
            digest.update(f"{data.dtype.str} {data.shape}".encode())
            for start in range(0, data.shape[0], _HASHED_ROWS):
                digest.update(np.ascontiguousarray(data[start : start + _HASHED_ROWS]).data)
            digest.update(self._numbers.of(video, data.shape[0]).astype("<i8").tobytes())
        return digest.intdigest()

    def read(self, video: str) -> ImportedVideo:
        """Return the rows of a video; those that are not finite have no features."""
        where = f"{video}/feature of {self._path}"
        with self._open() as file:
            data = self._dataset(file, video)
            n, dim = check_rows(data, where)
            check_dim(dim, self.dim, where)
            rows = data[:]

        def say(row: int, column: int, value: object) -> str:
            return f"row {row + 1}: dimension {column} is {value}"

        return finite_video(self._numbers.of(video, n), rows, None, say)

    @contextmanager
    def _open(self) -> Iterator[h5py.File]:
        if self._path.is_dir():
            message = f"{self._path} must be a file features/<name>.h5, but is a folder; name one"
            raise InteropError(message)
        try:
            with h5py.File(self._path, "r", locking=False) as file:
                yield file
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            message = f"{self._path} must be a whole HDF5 file, but {error}; copy it again"
            raise InteropError(message) from error

    def _dataset(self, file: h5py.File, video: str) -> h5py.Dataset:
        data = file[f"{video}/feature"]
        if data.external or data.is_virtual:
            message = (
                f"{video}/feature of {self._path} must be in the file itself, but is kept in "
                f"others; copy it into one file"
            )
            raise InteropError(message)
        return data


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
    notes = [_write_features(folder, store, records, split_of) for store in stores]
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


def _note_feature(name: str | bytes, item: object, found: list[str]) -> None:
    if isinstance(name, bytes):  # as h5py gives names that are not UTF-8
        message = f"names must be UTF-8, but one is {name!r}"
        raise ValueError(message)
    if isinstance(item, h5py.Dataset) and name.endswith("/feature"):
        found.append(name.removesuffix("/feature"))


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
