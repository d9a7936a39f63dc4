"""The labels store: what `LabelTable` says, by video."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.tasks import TASKS, Task
from .backend import Tree
from .errors import VideoMissingError
from .label_files import read_table
from .label_table import SPLITS, LabelTable, Split
from .object_path import AnyPath


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
