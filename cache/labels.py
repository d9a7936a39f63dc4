"""The labels store: clean labels per unique frame, and every annotated row in file order."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..core.tasks import N_EXPRESSIONS, TASKS, Task
from .backend import Tree
from .errors import CacheError, CorruptStoreError, VideoMissingError
from .locate import backend_of, check_free
from .object_path import AnyPath, as_path
from .schema import (
    FORMAT_VERSION,
    LABEL_ELEMENTS,
    LABELS,
    check_video_ids,
    index_checksum,
    pack,
    unpack,
)
from .spec import canonical_json

Split = Literal["train", "val", "test"]
SPLITS: Final[tuple[Split, ...]] = get_args(Split)
"""Index = number in the split arrays."""


@dataclass(kw_only=True)
class LabelTable:
    """Labels of V videos with N unique frames, and the R source rows they come from.

    Unlabelled values are 0 where `…_is_labelled` is False; the markers of the annotation files
    are not in here. Frames are sorted by video and frame number.
    """

    videos: tuple[str, ...]
    """(V,) ids, sorted."""
    start: NDArray[np.int64]
    """(V,) first frame of each video."""
    length: NDArray[np.int64]
    """(V,) frames of each video."""
    frame: NDArray[np.int32]
    """(N,) frame numbers, strictly rising inside a video."""
    split: NDArray[np.int8]
    """(N,) index in `SPLITS`."""
    valence: NDArray[np.float32]
    """(N,) in [-1, 1]."""
    valence_is_labelled: NDArray[np.bool_]
    arousal: NDArray[np.float32]
    """(N,) in [-1, 1]."""
    arousal_is_labelled: NDArray[np.bool_]
    expression: NDArray[np.int8]
    """(N,) index in `core.tasks.EXPRESSIONS`."""
    expression_is_labelled: NDArray[np.bool_]
    au: NDArray[np.int8]
    """(N, 12) 0 or 1, columns as in `core.tasks.AUS`."""
    au_is_labelled: NDArray[np.bool_]
    row_path: list[str]
    """(R,) the rows' first field as read, in file order: train, val, test."""
    row_video: NDArray[np.int32]
    """(R,) index in `videos`."""
    row_frame: NDArray[np.int32]
    """(R,) frame numbers."""
    row_split: NDArray[np.int8]
    row_valence: NDArray[np.float32]
    row_valence_is_labelled: NDArray[np.bool_]
    row_arousal: NDArray[np.float32]
    row_arousal_is_labelled: NDArray[np.bool_]
    row_expression: NDArray[np.int8]
    row_expression_is_labelled: NDArray[np.bool_]
    row_au: NDArray[np.int8]
    row_au_is_labelled: NDArray[np.bool_]
    meta: dict[str, Any] = field(default_factory=dict)
    """JSON; `sources` is a list of {"split", "name", "sha256"} of the annotation files; of a file
    whose rows do not name their video also "video", and "last_crop" if crops gave its length; of a
    test list "header", its first line. `challenge` is mtl, va, expr or au."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the annotation files: split, content and what else their rows come from."""
        content = sorted(
            [
                str(item.get("split")),
                str(item["sha256"]),
                *(str(item[key]) for key in ("video", "last_crop") if key in item),
            ]
            for item in self.meta.get("sources", [])
        )
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()

    def check(self, where: AnyPath) -> None:
        """Raise CorruptStoreError unless lengths, order and ranges are as documented."""
        n_videos, n_frames, n_rows = len(self.videos), len(self.frame), len(self.row_path)
        for name, element in LABEL_ELEMENTS.items():
            attribute = name.replace("rows/", "row_").replace("index/", "")
            if name.endswith(("_bytes", "_offset")):
                continue
            array = getattr(self, attribute)
            element.check(attribute, array.dtype, array.shape, where)
            n = n_rows if name.startswith("rows/") else n_frames
            needed = n_videos if name.startswith("index/") else n
            if len(array) != needed:
                message = f"{where} must hold {needed} of {attribute}, but holds {len(array)}"
                raise CorruptStoreError(message)
        check_video_ids(self.videos, where)
        if any(a >= b for a, b in zip(self.videos[:-1], self.videos[1:], strict=True)):
            message = f"{where} must hold each video once, sorted by id, but does not"
            raise CorruptStoreError(message)
        ends = np.cumsum(self.length)
        is_cut = n_videos == 0 or (
            bool(np.all(self.length >= 1))
            and int(ends[-1]) == n_frames
            and np.array_equal(self.start, ends - self.length)
        )
        if not is_cut or (n_videos == 0 and n_frames):
            message = f"{where} must cut its {n_frames} frames into {n_videos} videos, but does not"
            raise CorruptStoreError(message)
        rises = np.diff(self.frame.astype(np.int64)) > 0
        rises[ends[:-1] - 1] = True
        if not rises.all():
            place = int(np.flatnonzero(~rises)[0])
            video = self.videos[int(np.searchsorted(ends, place, side="right"))]
            message = (
                f"frame numbers of {video!r} in {where} must rise, but {self.frame[place + 1]} "
                f"follows {self.frame[place]}"
            )
            raise CorruptStoreError(message)
        if n_rows and not (self.row_video.min() >= 0 and self.row_video.max() < n_videos):
            message = f"row_video of {where} must be in [0, {n_videos}), but is not"
            raise CorruptStoreError(message)
        for prefix in ("", "row_"):
            self._check_values(prefix, where)

    def _check_values(self, prefix: str, where: AnyPath) -> None:
        limits = {
            "split": (0, len(SPLITS) - 1),
            "valence": (-1, 1),
            "arousal": (-1, 1),
            "expression": (0, N_EXPRESSIONS - 1),
            "au": (0, 1),
        }
        for name, (low, high) in limits.items():
            values = getattr(self, prefix + name)
            if values.size and not bool(((values >= low) & (values <= high)).all()):
                found = values[~((values >= low) & (values <= high))][0]
                message = f"{prefix}{name} in {where} must be in [{low}, {high}], but has {found}"
                raise CorruptStoreError(message)
        for task in TASKS:
            values = getattr(self, prefix + task)
            if np.any(values[~getattr(self, f"{prefix}{task}_is_labelled")]):
                message = f"unlabelled values of {prefix}{task} in {where} must be 0, but are not"
                raise CorruptStoreError(message)


def write_labels(path: AnyPath | str, table: LabelTable, *, replaces: str | None = None) -> AnyPath:
    """Write the labels store at `path`, whole or not at all, in place of an older one.

    Args:
        path: ends in .h5 or .zarr; the name starts with `labels`.
        table: what to store.
        replaces: file name of the other form of the same store, which is about to be removed.

    Raises:
        CacheError: the name does not start with `labels`.
        CorruptStoreError: the table contradicts itself.
        StoreExistsError: a store of the other backend has the name.
    """
    path = as_path(path)
    backend = backend_of(path)
    if not path.stem.startswith("labels"):
        message = f"the name of a labels store starts with 'labels', but got {path}; rename it"
        raise CacheError(message)
    if replaces is None:
        check_free(path)
    table.check(path)
    arrays: dict[str, NDArray[Any]] = {}
    for name, element in LABEL_ELEMENTS.items():
        if name.endswith(("_bytes", "_offset")):
            continue
        attribute = name.replace("rows/", "row_").replace("index/", "")
        arrays[name] = np.asarray(getattr(table, attribute), element.dtypes[0])
    arrays["index/id_bytes"], arrays["index/id_offset"] = pack(table.videos)
    arrays["rows/path_bytes"], arrays["rows/path_offset"] = pack(table.row_path)
    attributes = {
        "format": LABELS,
        "format_version": FORMAT_VERSION[LABELS],
        "fingerprint": table.fingerprint,
        "meta": canonical_json(table.meta),
        **({"replaces": replaces} if replaces else {}),
    }
    attributes["checksum"] = index_checksum(attributes, arrays)
    backend.remove_leftovers(path)
    with backend.write_base(path) as writer:
        for name, array in arrays.items():
            writer.write_array(name, array)
        writer.write_attributes(attributes)
    backend.tidy(path)
    return path


@dataclass(frozen=True, eq=False)
class LabelRecord:
    """The labels of one video's n frames."""

    video: str
    frame: NDArray[np.int32]
    """(n,)"""
    split: NDArray[np.int8]
    """(n,) index in `SPLITS`."""
    values: Mapping[Task, NDArray[Any]]
    """Task -> (n,) or, for `au`, (n, 12)."""
    is_labelled: Mapping[Task, NDArray[np.bool_]]
    """Task -> booleans of the same shape as its values."""

    def __len__(self) -> int:
        return len(self.frame)


class LabelStore(Mapping[str, LabelRecord]):
    """The labels of all videos: video id -> `LabelRecord`; columns as attributes of `table`.

    The arrays of `LabelTable` are attributes of the store too (`store.valence`,
    `store.row_frame`, …).
    """

    def __init__(self, path: AnyPath, backend: str, tree: Tree) -> None:
        self.path = path
        self.name = path.stem
        self.backend = backend
        self.table = read_table(tree)
        self.fingerprint = str(tree.attributes["fingerprint"])
        self._row_of = {video: row for row, video in enumerate(self.table.videos)}

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - an array of the table
        if name in _TABLE_FIELDS:
            return getattr(self.table, name)
        message = f"{type(self).__name__!r} object has no attribute {name!r}"
        raise AttributeError(message)

    def videos_of(self, split: Split) -> tuple[str, ...]:
        """Return the ids of the videos that have a frame in `split`, sorted."""
        table = self.table
        is_in = table.split == SPLITS.index(split)
        if not len(table.videos):
            return ()
        has_any = np.logical_or.reduceat(is_in, table.start)
        return tuple(video for video, has in zip(table.videos, has_any, strict=True) if has)

    def __getitem__(self, video: str) -> LabelRecord:
        table = self.table
        try:
            row = self._row_of[video]
        except KeyError:
            message = (
                f"{self.path} holds no labels of video {video!r} (it holds {len(self)} videos); "
                f"run `abaw labels` on annotations that have it, or leave it out"
            )
            raise VideoMissingError(message) from None
        cut = slice(int(table.start[row]), int(table.start[row] + table.length[row]))
        return LabelRecord(
            video=video,
            frame=table.frame[cut],
            split=table.split[cut],
            values={task: getattr(table, task)[cut] for task in TASKS},
            is_labelled={task: getattr(table, f"{task}_is_labelled")[cut] for task in TASKS},
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self.table.videos)

    def __len__(self) -> int:
        return len(self.table.videos)

    def close(self) -> None:
        """Do nothing: labels are in memory; there so that every store can be closed."""

    def __enter__(self) -> "LabelStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        from .store import open_store  # store.py imports this module

        return open_store, (self.path,)

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        table = self.table
        return (
            f"LabelStore({self.name!r}, {len(self):,} videos, {len(table.frame):,} frames, "
            f"{len(table.row_path):,} rows, {self.backend})"
        )


_TABLE_FIELDS = frozenset(item.name for item in fields(LabelTable))


def read_table(tree: Tree) -> LabelTable:
    """Return the labels of a tree, every value checked.

    Raises:
        CorruptStoreError: the tree contradicts itself.
    """
    arrays = tree.arrays
    for name, array in arrays.items():
        if array.dtype == np.bool_ and array.size and int(array.view(np.uint8).max()) > 1:
            message = f"{tree.path} must hold {name} as bytes 0 and 1, but has others"
            raise CorruptStoreError(message)
        array.flags.writeable = False
    values: dict[str, Any] = {
        name.replace("rows/", "row_").replace("index/", ""): array
        for name, array in arrays.items()
        if not name.endswith(("_bytes", "_offset"))
    }
    try:
        meta = json.loads(str(tree.attributes.get("meta")))
    except json.JSONDecodeError as error:
        message = f"{tree.path} must have JSON as its attribute meta, but {error}"
        raise CorruptStoreError(message) from error
    videos: Sequence[str] = unpack(arrays, "index/id", tree.path)
    paths = unpack(arrays, "rows/path", tree.path)
    table = LabelTable(videos=tuple(videos), row_path=paths, meta=meta, **values)
    table.check(tree.path)
    return table
