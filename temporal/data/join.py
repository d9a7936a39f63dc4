"""Joins the labels of a split with the chosen embeddings, frame number by frame number.

A label without a crop and a crop without a label are both normal. A video's time line is the
union of the frame numbers of its labels and of all chosen embeddings.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...cache import SPLITS, EmbeddingStore, LabelStore, Split
from ...core.tasks import N_AUS, TASKS, Task
from ..config import Fill
from ..errors import TemporalError

Array = NDArray[Any]
ABSENT = -1
"""Row number that stands for no row: the features are the training mean."""

_SHOWN = 3


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
    """Frame numbers that the split lists, rising; each gets a prediction."""

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

    split: str
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
    videos_without: dict[str, list[str]] = field(default_factory=dict)
    """Embedding -> videos it lacks altogether."""

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as JSON takes them."""
        return dict(vars(self))

    def text(self) -> str:
        """Return the counts for people to read."""
        parts = [f"{self.split}: {self.n_videos} videos, {self.n_listed:,} listed frames"]
        for name, count in self.missing.items():
            if count:
                parts.append(f"{count:,} of them not in {name}")
        if self.n_unlisted:
            parts.append(f"{self.n_unlisted:,} frames as context only")
        for name, videos in self.videos_without.items():
            more = ", …" if len(videos) > _SHOWN else ""
            shown = ", ".join(videos[:_SHOWN])
            parts.append(f"{len(videos)} videos not in {name} ({shown}{more})")
        return "; ".join(parts)


def join(
    stores: Sequence[EmbeddingStore], labels: LabelStore, split: Split, fill: Fill
) -> tuple[list[Timeline], JoinReport]:
    """Return the sequences of a split, in order of video, and what was found.

    Training leaves out videos that an embedding lacks altogether; other splits keep them, with
    the training mean for that embedding, so that every listed frame gets a prediction.

    Args:
        stores: the embeddings, in the order of their concatenation.
        labels: the labels.
        split: which split.
        fill: what a frame gets that an embedding lacks.

    Raises:
        TemporalError: an embedding and the split have no video in common.
    """
    report = JoinReport(split, missing={store.name: 0 for store in stores})
    videos = labels.videos_of(split)
    for store in stores:
        absent = [video for video in videos if video not in store]
        if videos and len(absent) == len(videos):
            message = (
                f"the embedding {store.name} and the {split} split of {labels.name} must have "
                f"videos in common, but {store.name} has {_names(store.videos)} and the split "
                f"{_names(videos)}; extract the frames that the labels belong to"
            )
            raise TemporalError(message)
        if absent:
            report.videos_without[store.name] = absent
    sequences = []
    for video in videos:
        is_whole = all(video in store for store in stores)
        sequence = _sequence(video, stores, labels, split, fill, report)
        if len(sequence) and (is_whole or split != "train"):
            sequences.append(sequence)
    report.n_videos = len(sequences)
    report.n_frames = sum(map(len, sequences))
    return sequences, report


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


def _sequence(
    video: str,
    stores: Sequence[EmbeddingStore],
    labels: LabelStore,
    split: Split,
    fill: Fill,
    report: JoinReport,
) -> Timeline:
    record = labels[video]
    is_in = record.split == SPLITS.index(split)
    asked = record.frame[is_in]
    own = [store.get(video) for store in stores]
    numbers = [np.empty(0, np.int32) if item is None else item.frame for item in own]
    frame = np.unique(np.concatenate([asked, *numbers])).astype(np.int32)
    is_frame = np.stack([np.isin(frame, there) for there in numbers])
    is_asked = np.isin(frame, asked)
    has_label = np.zeros(len(frame), np.bool_)
    values: dict[Task, Array] = {}
    is_labelled: dict[Task, Array] = {}
    for task in TASKS:
        shape = (len(frame), N_AUS) if task == "au" else (len(frame),)
        values[task] = np.zeros(shape, record.values[task].dtype)
        values[task][is_asked] = record.values[task][is_in]
        is_labelled[task] = np.zeros(shape, np.bool_)
        is_labelled[task][is_asked] = record.is_labelled[task][is_in]
        has_label |= is_labelled[task].reshape(len(frame), -1).any(axis=1)
    report.n_listed += len(asked)
    report.n_labelled += int(has_label.sum())
    report.n_labelled_missing += int((has_label & ~is_frame.all(axis=0)).sum())
    report.n_unlisted += int((~is_asked).sum())
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


def _held_rows(frame: NDArray[np.int32], there: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the row of each frame, or of the last one before it, or of the first."""
    if not len(there):
        return np.full(len(frame), ABSENT, np.int64)
    return (np.searchsorted(there, frame, side="right") - 1).clip(0).astype(np.int64)


def _names(videos: Sequence[str]) -> str:
    more = f" and {len(videos) - _SHOWN} more" if len(videos) > _SHOWN else ""
    return ", ".join(videos[:_SHOWN]) + more
