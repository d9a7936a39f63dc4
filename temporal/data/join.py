"""Joins the labels of a split with the chosen embeddings, frame number by frame number.

A label without a crop and a crop without a label are both normal. A video's time line is the
union of the frame numbers of its labels and of all chosen embeddings. What becomes of a frame that
an embedding lacks is the fill rule: `hold` gives it the embedding of the last frame before it (of
the first one, at the start), `zero` gives it 0 after standardisation, and `drop` takes it off the
time line, so that it is neither trained on nor seen; its prediction is that of the nearest frame.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...cache import SPLITS, EmbeddingStore, LabelStore, LabelTable, Split
from ...core.tasks import N_AUS, TASKS, Task
from ..errors import TemporalError
from ..settings.data import Fill

Array = NDArray[Any]
ABSENT = -1
"""Row number that stands for no row: the features are the training mean."""

_SHOWN = 3
_DTYPE: Final[dict[Task, type]] = {
    "valence": np.float32,
    "arousal": np.float32,
    "expression": np.int8,
    "au": np.int8,
}


@dataclass(frozen=True, eq=False)
class Timeline:
    """One video's time line of T frames."""

    video: str
    frame: NDArray[np.int32]
    """(T,) frame numbers, strictly rising."""
    embeddings: tuple[Array, ...]
    """Per embedding, the video's stored rows (n, D)."""
    rows: tuple[NDArray[np.int64], ...]
    """Per embedding, (T,) row of each frame, or `ABSENT`."""
    is_frame: NDArray[np.bool_]
    """(E, T) whether the embedding has the very frame, not a held one."""
    values: dict[Task, Array]
    """(T,) or (T, 12); 0 where not labelled."""
    is_labelled: dict[Task, Array]
    asked: NDArray[np.int32]
    """Frame numbers that are listed, rising; each gets a prediction."""

    def __len__(self) -> int:
        return len(self.frame)

    def nearest(self, frames: NDArray[np.int32]) -> NDArray[np.intp]:
        """Return the position of each frame number, or of the nearest one on the time line."""
        right = np.searchsorted(self.frame, frames).clip(0, len(self.frame) - 1)
        left = (right - 1).clip(0)
        distance = np.abs(self.frame[right].astype(np.int64) - frames)
        is_left = np.abs(self.frame[left].astype(np.int64) - frames) < distance
        return np.where(is_left, left, right)


@dataclass
class JoinReport:
    """What a join found; counts of frames."""

    split: Split
    n_videos: int = 0
    n_frames: int = 0
    """Length of all time lines."""
    n_listed: int = 0
    """Frames that the split lists."""
    n_labelled: int = 0
    """Listed frames with a label of any task."""
    n_labelled_missing: int = 0
    """Labelled frames that at least one embedding lacks."""
    missing: dict[str, int] = field(default_factory=dict)
    """Embedding -> listed frames it lacks."""
    n_unlisted: int = 0
    """Frames with an embedding that the split does not list; context only."""
    n_partial: int = 0
    """Frames that some of the embeddings have and others lack."""
    videos_without: dict[str, list[str]] = field(default_factory=dict)
    """Embedding -> listed videos it lacks altogether."""
    n_videos_unlabelled: dict[str, int] = field(default_factory=dict)
    """Embedding -> its videos that the labels do not know; they are not used."""

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as JSON takes them."""
        return dict(vars(self))

    def text(self) -> str:
        """Return the counts for people to read."""
        parts = [f"{self.split}: {self.n_videos} videos, {self.n_listed:,} listed frames"]
        for name, count in self.missing.items():
            if count:
                parts.append(f"{count:,} of them not in {name}")
        if self.n_partial:
            parts.append(f"{self.n_partial:,} frames in some embeddings only")
        if self.n_unlisted:
            parts.append(f"{self.n_unlisted:,} frames as context only")
        for name, videos in self.videos_without.items():
            parts.append(f"{len(videos)} videos not in {name} ({_names(videos)})")
        for name, n in self.n_videos_unlabelled.items():
            parts.append(f"{n} videos of {name} without labels")
        return "; ".join(parts)


def join(
    stores: Sequence[EmbeddingStore],
    labels: LabelStore,
    split: Split,
    fill: Fill,
    asked: Mapping[str, NDArray[np.int32]] | None = None,
) -> tuple[list[Timeline], JoinReport]:
    """Return the time lines of a split, in order of video, and what was found.

    Training leaves out videos that an embedding lacks altogether; other splits keep them, with
    the training mean for that embedding, so that every listed frame gets a prediction.

    Args:
        stores: the embeddings, in the order of their concatenation.
        labels: the labels.
        split: which split.
        fill: what a frame gets that an embedding lacks.
        asked: video -> listed frame numbers; by default those of the split's rows.

    Raises:
        TemporalError: an embedding and the listed videos have none in common.
    """
    if asked is None:
        asked = asked_frames(labels.table, split)
    report = JoinReport(split, missing={store.name: 0 for store in stores})
    for store in stores:
        absent = sorted(video for video in asked if video not in store)
        if asked and len(absent) == len(asked):
            message = (
                f"the embedding {store.name} and the {split} split of {labels.name} must have "
                f"videos in common, but {store.name} has {_names(store.videos)} and the split "
                f"{_names(absent)}; extract the frames that the labels belong to"
            )
            raise TemporalError(message)
        if absent:
            report.videos_without[store.name] = absent
        n_unlabelled = sum(video not in labels for video in store)
        if n_unlabelled:
            report.n_videos_unlabelled[store.name] = n_unlabelled
    lines = []
    for video in sorted(asked):
        is_whole = all(video in store for store in stores)
        line = _timeline(video, asked[video], stores, labels, fill, report)
        if len(line) and (is_whole or split != "train"):
            lines.append(line)
    report.n_videos = len(lines)
    report.n_frames = sum(map(len, lines))
    return lines, report


def asked_frames(table: LabelTable, split: Split) -> dict[str, NDArray[np.int32]]:
    """Return video -> frame numbers, rising, of the rows of a split."""
    is_in = table.row_split == SPLITS.index(split)
    key = np.unique(table.row_video[is_in].astype(np.int64) << 32 | table.row_frame[is_in])
    video, frame = key >> 32, (key & 0xFFFFFFFF).astype(np.int32)
    blocks = np.split(frame, np.flatnonzero(np.diff(video)) + 1)
    return {table.videos[row]: block for row, block in zip(np.unique(video), blocks, strict=False)}


def check_missing(report: JoinReport, limit: float) -> None:
    """Raise TemporalError if more than `limit` of the labelled frames lack an embedding."""
    if report.n_labelled_missing > limit * report.n_labelled:
        share = report.n_labelled_missing / report.n_labelled
        message = (
            f"at most {limit:.1%} of the labelled frames may lack an embedding, but "
            f"{report.n_labelled_missing:,} of {report.n_labelled:,} ({share:.1%}) of the "
            f"{report.split} split do ({report.text()}); extract them, or allow it with --set "
            f"max_missing={min(1.0, share + 0.005):.2f}"
        )
        raise TemporalError(message)


def _timeline(
    video: str,
    asked: NDArray[np.int32],
    stores: Sequence[EmbeddingStore],
    labels: LabelStore,
    fill: Fill,
    report: JoinReport,
) -> Timeline:
    split: Split = report.split
    own = [store.get(video) for store in stores]
    numbers = [np.empty(0, np.int32) if item is None else item.frame for item in own]
    frame = np.unique(np.concatenate([asked, *numbers])).astype(np.int32)
    is_frame = np.stack([np.isin(frame, there) for there in numbers])
    is_asked = np.isin(frame, asked)
    values, is_labelled = _labels(video, frame, labels, split)
    has_label = np.zeros(len(frame), np.bool_)
    for mask in is_labelled.values():
        has_label |= mask.reshape(len(frame), -1).any(axis=1)
    report.n_listed += len(asked)
    report.n_labelled += int(has_label.sum())
    report.n_labelled_missing += int((has_label & ~is_frame.all(axis=0)).sum())
    report.n_unlisted += int((~is_asked).sum())
    report.n_partial += int((is_frame.any(axis=0) & ~is_frame.all(axis=0)).sum())
    for store, there in zip(stores, is_frame, strict=True):
        report.missing[store.name] += int((is_asked & ~there).sum())
    rows = tuple(_held_rows(frame, there) for there in numbers)
    if fill == "zero":
        rows = tuple(np.where(is_frame[e], row, ABSENT) for e, row in enumerate(rows))
    kept: Array = np.ones(len(frame), np.bool_)
    if fill == "drop":
        kept = np.asarray(is_frame.all(axis=0))
        if not kept.any() and split != "train":
            kept[:] = True  # nothing to be near to: predict from what there is
    return Timeline(
        video=video,
        frame=frame[kept],
        embeddings=tuple(
            np.empty((0, store.dim), store.dtype) if item is None else item.embedding
            for store, item in zip(stores, own, strict=True)
        ),
        rows=tuple(row[kept] for row in rows),
        is_frame=is_frame[:, kept],
        values={task: value[kept] for task, value in values.items()},
        is_labelled={task: mask[kept] for task, mask in is_labelled.items()},
        asked=asked,
    )


def _labels(
    video: str, frame: NDArray[np.int32], labels: LabelStore, split: Split
) -> tuple[dict[Task, Array], dict[Task, Array]]:
    """Return values and is_labelled on a time line; a frame of another split has no label."""
    values: dict[Task, Array] = {}
    is_labelled: dict[Task, Array] = {}
    record = labels.get(video)
    for task in TASKS:
        shape = (len(frame), N_AUS) if task == "au" else (len(frame),)
        values[task] = np.zeros(shape, _DTYPE[task])
        is_labelled[task] = np.zeros(shape, np.bool_)
        if record is not None:
            is_in = (record.split == SPLITS.index(split)) & np.isin(record.frame, frame)
            place = np.searchsorted(frame, record.frame[is_in])
            values[task][place] = record.values[task][is_in]
            is_labelled[task][place] = record.is_labelled[task][is_in]
    return values, is_labelled


def _held_rows(frame: NDArray[np.int32], there: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the row of each frame, or of the last one before it, or of the first."""
    if not len(there):
        return np.full(len(frame), ABSENT, np.int64)
    return (np.searchsorted(there, frame, side="right") - 1).clip(0).astype(np.int64)


def _names(videos: Sequence[str]) -> str:
    more = f" and {len(videos) - _SHOWN} more" if len(videos) > _SHOWN else ""
    return ", ".join(videos[:_SHOWN]) + more
