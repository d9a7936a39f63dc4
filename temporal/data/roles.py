"""Which annotated rows a fold trains on and which it is chosen by.

The annotations put each row in train, val or test. Fold 0 keeps that. Another fold gives each
video of train and val one of the two roles, with all its rows. The test split is the same in all.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...cache import SPLITS, LabelTable, Split
from ..settings.data import Fold


@dataclass(frozen=True, eq=False)
class FoldRoles:
    """Role of each row in one fold, by its video and the split that the annotations put it in."""

    videos: tuple[str, ...]
    """(V,) the ids of a label table."""
    is_in: dict[Split, NDArray[np.bool_]]
    """Role -> (V, 3) whether the rows of a video that are annotated as train, val, test have it."""
    fold: Fold = 0
    _index: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        index = {video: place for place, video in enumerate(self.videos)}
        object.__setattr__(self, "_index", index)

    def rows(self, table: LabelTable, role: Split) -> NDArray[np.bool_]:
        """Return which rows of the table, (R,), have a role."""
        has_role: NDArray[np.bool_] = self.is_in[role][table.row_video, table.row_split]
        return has_role

    def splits(self, video: str, role: Split) -> NDArray[np.bool_]:
        """Return for each annotated split, (3,), whether its rows of a video have a role."""
        place = self._index.get(video)
        return np.zeros(len(SPLITS), np.bool_) if place is None else self.is_in[role][place]


def official_roles(table: LabelTable) -> FoldRoles:
    """Return the roles of fold 0: every row's split is its role."""
    return FoldRoles(table.videos, {split: _only(table, split) for split in SPLITS})


def whole_roles(table: LabelTable) -> FoldRoles:
    """Return the roles of fold `all`: train and val are trained on, nothing is val."""
    return FoldRoles(
        table.videos,
        {
            "train": _only(table, "train", "val"),
            "val": _only(table),
            "test": _only(table, "test"),
        },
        "all",
    )


def resplit_roles(table: LabelTable, fold: int, val: Collection[str]) -> FoldRoles:
    """Return the roles of a fold above 0: the rows of train and val by their video."""
    is_val = np.isin(np.array(table.videos, dtype=np.str_), sorted(val))[:, None]  # (V, 1)
    annotated = _only(table, "train", "val")
    return FoldRoles(
        table.videos,
        {
            "train": annotated & ~is_val,
            "val": annotated & is_val,
            "test": _only(table, "test"),
        },
        fold,
    )


def asked_frames(
    table: LabelTable, split: Split, roles: FoldRoles | None = None
) -> dict[str, NDArray[np.int32]]:
    """Return video -> frame numbers, rising, of the rows of a split.

    Args:
        table: the labels.
        split: which role.
        roles: of the fold; by default the official split.
    """
    is_in = (roles or official_roles(table)).rows(table, split)
    key = np.unique(table.row_video[is_in].astype(np.int64) << 32 | table.row_frame[is_in])
    video, frame = key >> 32, (key & 0xFFFFFFFF).astype(np.int32)
    blocks = np.split(frame, np.flatnonzero(np.diff(video)) + 1)
    return {table.videos[row]: block for row, block in zip(np.unique(video), blocks, strict=False)}


def _only(table: LabelTable, *splits: Split) -> NDArray[np.bool_]:
    """Return (V, 3), True in the columns of the splits."""
    column = np.isin(np.array(SPLITS), splits)
    return np.tile(column, (len(table.videos), 1))
