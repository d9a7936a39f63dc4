"""Joins the labels of a split with the chosen embeddings, frame number by frame number.

A label without a crop and a crop without a label are both normal. A video's time line is the
union of the frame numbers of its labels and of all chosen embeddings; with `time_axis=frames` it
also has steps for the numbers in between. What becomes of a frame that an embedding lacks is the
fill rule: `hold` gives it the embedding of the last frame before it (of the first one, at the
start), `zero` gives it 0 after standardisation, and `drop` takes it off the time line, so that it
is neither trained on nor seen; its prediction is that of the nearest frame.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...cache import EmbeddingStore, LabelRecord, LabelStore, Split
from ...core.tasks import N_AUS, TASKS, Task
from ..errors import TemporalError
from ..settings.data import DataSettings
from .join_report import JoinReport, names
from .roles import FoldRoles, asked_frames, official_roles
from .supplement import supplement
from .timeline import ABSENT, Array, Timeline, with_gaps

_DTYPE: Final[dict[Task, type]] = {
    "valence": np.float32,
    "arousal": np.float32,
    "expression": np.int8,
    "au": np.int8,
}


def join(
    stores: Sequence[EmbeddingStore],
    labels: LabelStore,
    split: Split,
    config: DataSettings,
    roles: FoldRoles | None = None,
    asked: Mapping[str, NDArray[np.int32]] | None = None,
    *,
    training: bool | None = None,
) -> tuple[list[Timeline], JoinReport]:
    """Return the time lines of a split, in order of video, and what was found.

    Training leaves out videos that an embedding lacks altogether, and supplements labels. What is
    predicted keeps such videos, with the training mean for that embedding, so that every listed
    frame gets a prediction, and has the labels that the annotations give.

    Args:
        stores: the embeddings, in the order of their concatenation.
        labels: the labels.
        split: which split.
        config: `fill`, `time_axis`, `max_gap` and `supplement` are read.
        roles: which rows are in the split; by default those of the official split.
        asked: video -> listed frame numbers; by default those of the split's rows.
        training: the time lines are trained on; by default those of the split train are.

    Raises:
        TemporalError: an embedding and the listed videos have none in common.
    """
    roles = roles or official_roles(labels.table)
    training = split == "train" if training is None else training
    if asked is None:
        asked = asked_frames(labels.table, split, roles)
    missing = {store.name: 0 for store in stores}
    report = JoinReport(split, roles.fold, config.fill, missing=missing)
    for store in stores:
        absent = sorted(video for video in asked if video not in store)
        if asked and len(absent) == len(asked):
            message = (
                f"the embedding {store.name} and the {split} split of {labels.name} must have "
                f"videos in common, but {store.name} has {names(store.videos)} and the split "
                f"{names(absent)}; extract the frames that the labels belong to"
            )
            raise TemporalError(message)
        if absent:
            report.videos_without[store.name] = absent
        n_unlabelled = sum(video not in labels for video in store)
        if n_unlabelled:
            report.n_videos_unlabelled[store.name] = n_unlabelled
    lines = []
    for video in sorted(asked):
        joined = _Video(video, asked[video], stores, labels, roles.splits(video, split), config)
        joined.count(report)
        if training and not joined.is_trainable:
            report.videos_left_out.append(video)
        else:
            lines.append(joined.timeline(report, training=training))
    report.n_videos = len(lines)
    report.n_frames = sum(map(len, lines))
    return lines, report


class _Video:
    """One video's labels and embeddings, side by side.

    Args:
        video: its id.
        asked: frame numbers that are listed.
        stores: the embeddings.
        labels: the labels.
        seen: (3,) the annotated splits whose labels may be seen.
        config: how they are joined.
    """

    def __init__(
        self,
        video: str,
        asked: NDArray[np.int32],
        stores: Sequence[EmbeddingStore],
        labels: LabelStore,
        seen: NDArray[np.bool_],
        config: DataSettings,
    ) -> None:
        self._video, self._asked, self._stores, self._config = video, asked, stores, config
        self._own = [store.get(video) for store in stores]
        self._numbers = [np.empty(0, np.int32) if x is None else x.frame for x in self._own]
        record = labels.get(video)
        listed = np.empty(0, np.int32) if record is None else record.frame
        known = np.unique(np.concatenate([asked, listed, *self._numbers])).astype(np.int32)
        is_wide = config.time_axis == "frames"
        self._frame = with_gaps(known, config.max_gap) if is_wide else known
        self._is_known = np.isin(self._frame, known)
        self._is_asked = np.isin(self._frame, asked)
        self._is_frame = np.stack([np.isin(self._frame, there) for there in self._numbers])
        self._is_whole = np.asarray(self._is_frame.all(axis=0))
        self._values, self._is_labelled = _labels(self._frame, record, seen)
        elsewhere = listed if record is None else listed[~seen[record.split]]
        self._may_take = self._is_known & ~np.isin(self._frame, elsewhere)

    @property
    def is_trainable(self) -> bool:
        """Every embedding has the video and, if others are dropped, one whole frame."""
        if self._config.fill == "drop":
            return bool(self._is_whole.any())
        return all(item is not None for item in self._own)

    def count(self, report: JoinReport) -> None:
        """Add what labels and embeddings have and lack."""
        has_label = np.zeros(len(self._frame), np.bool_)
        for mask in self._is_labelled.values():
            has_label |= mask.reshape(len(self._frame), -1).any(axis=1)
        has_any = np.asarray(self._is_frame.any(axis=0))
        report.n_listed += len(self._asked)
        report.n_labelled += int(has_label.sum())
        report.n_labelled_missing += int((has_label & ~self._is_whole).sum())
        report.n_unlisted += int((has_any & ~self._is_asked).sum())
        report.n_partial += int((has_any & ~self._is_whole).sum())
        for store, there in zip(self._stores, self._is_frame, strict=True):
            report.missing[store.name] += int((self._is_asked & ~there).sum())

    def timeline(self, report: JoinReport, *, training: bool) -> Timeline:
        """Return the time line by the config's rules; what was done is added to the report."""
        values, is_labelled = self._values, self._is_labelled
        kept = np.ones(len(self._frame), np.bool_)
        if self._config.fill == "drop" and self._is_whole.any():
            kept = self._is_whole  # else nothing to be near to: predict from what there is
        if training and self._config.supplement:
            values, is_labelled = self._supplemented(kept, report)
        rows = [_held_rows(self._frame, there) for there in self._numbers]
        if self._config.fill == "zero":
            rows = [np.where(self._is_frame[e], row, ABSENT) for e, row in enumerate(rows)]
        report.n_dropped += int((~kept).sum())
        report.n_inserted += int((~self._is_known).sum())
        if self._config.fill != "drop":
            report.n_filled += int((self._is_known & ~self._is_whole).sum())
        return Timeline(
            video=self._video,
            frame=self._frame[kept],
            embeddings=tuple(
                np.empty((0, store.dim), store.dtype) if item is None else item.embedding
                for store, item in zip(self._stores, self._own, strict=True)
            ),
            rows=tuple(row[kept] for row in rows),
            is_frame=self._is_frame[:, kept],
            values={task: value[kept] for task, value in values.items()},
            is_labelled={task: mask[kept] for task, mask in is_labelled.items()},
            asked=self._asked,
        )

    def _supplemented(
        self, kept: NDArray[np.bool_], report: JoinReport
    ) -> tuple[dict[Task, Array], dict[Task, Array]]:
        """Return labels in which near frames share them; also a dropped frame gives its label."""
        values, is_labelled = {}, {}
        for task in TASKS:
            before = self._is_labelled[task]
            values[task], is_labelled[task] = supplement(
                self._frame, self._values[task], before, self._may_take, self._config.supplement
            )
            n_taken = int((is_labelled[task] & ~before)[kept].sum())
            report.n_supplemented[task] = report.n_supplemented.get(task, 0) + n_taken
        return values, is_labelled


def _labels(
    frame: NDArray[np.int32], record: LabelRecord | None, seen: NDArray[np.bool_]
) -> tuple[dict[Task, Array], dict[Task, Array]]:
    """Return values and is_labelled on a time line; a frame of an unseen split has no label."""
    values: dict[Task, Array] = {}
    is_labelled: dict[Task, Array] = {}
    for task in TASKS:
        shape = (len(frame), N_AUS) if task == "au" else (len(frame),)
        values[task] = np.zeros(shape, _DTYPE[task])
        is_labelled[task] = np.zeros(shape, np.bool_)
        if record is not None:
            is_in = seen[record.split]
            place = np.searchsorted(frame, record.frame[is_in])
            values[task][place] = record.values[task][is_in]
            is_labelled[task][place] = record.is_labelled[task][is_in]
    return values, is_labelled


def _held_rows(frame: NDArray[np.int32], there: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the row of each frame, or of the last one before it, or of the first."""
    if not len(there):
        return np.full(len(frame), ABSENT, np.int64)
    return (np.searchsorted(there, frame, side="right") - 1).clip(0).astype(np.int64)
