"""The steps of an epoch: independent windows, or lanes that stream whole videos.

What an epoch is depends on the seed and its number alone, so a run that was broken off goes on in
the middle of one.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from ...core.tasks import Task
from ..errors import TemporalError
from ..settings.training import TrainingSettings
from .dataset import Plan, Segment, SequenceDataset
from .segments import windows

_LEAST_FACTOR: Final = 0.5
"""Lanes take long videos first, each length counted at a random factor from this to 1: with a
free order, a long one that comes last runs alone."""


class Feed(ABC):
    """The steps of each epoch.

    Args:
        dataset: the training split.
        settings: `segment_length`, `batch_size`, `random_offset`, `data_seed`.
        tasks: what holds no label of them is not shown.

    Raises:
        TemporalError: there is no label.
    """

    def __init__(
        self, dataset: SequenceDataset, settings: TrainingSettings, tasks: Sequence[Task]
    ) -> None:
        self._dataset = dataset
        self._settings = settings
        has_label = dataset.has_label(tasks)
        if not has_label.any():
            message = "training needs labelled frames, but the split has none; check the labels"
            raise TemporalError(message)
        self._n_labelled = np.concatenate([[0], np.cumsum(has_label)])
        """Labelled rows before each row."""

    def epoch(self, number: int) -> list[Plan]:
        """Return the steps of an epoch, counted from 0."""
        rng = np.random.default_rng([self._settings.data_seed, number])
        return self._epoch(rng)

    @abstractmethod
    def _epoch(self, rng: np.random.Generator) -> list[Plan]: ...

    def _has_labels(self, segment: Segment) -> bool:
        first = self._dataset.first[segment.line]
        counts = self._n_labelled[[first + segment.start, first + segment.stop]]
        return bool(counts[1] > counts[0])

    def _cuts(self, line: int, stride: int, rng: np.random.Generator) -> list[Segment]:
        """Return the windows of a line; with `random_offset` the first is shorter."""
        length = len(self._dataset.lines[line])
        offset = int(rng.integers(stride)) if self._settings.random_offset else 0
        cuts = windows(length, self._settings.segment_length, stride, offset)
        return [Segment(line, start, stop) for start, stop in cuts]


class WindowFeed(Feed):
    """Independent windows in random order; one that holds no label is left out.

    What would be shorter at the ends of a video is moved inwards, so that only videos that are
    shorter than a window are padded.
    """

    def _epoch(self, rng: np.random.Generator) -> list[Plan]:
        segments = [
            segment
            for line in range(len(self._dataset.lines))
            for segment in self._full(line, self._cuts(line, self._settings.stride, rng))
            if self._has_labels(segment)
        ]
        order = rng.permutation(len(segments))
        size = self._settings.segment_length
        rows = torch.from_numpy(self._dataset.rows([segments[n] for n in order], size))
        rows = rows.to(self._dataset.device)  # all of the epoch at once
        plans = []
        for first in range(0, len(order), self._settings.batch_size):
            chosen = [segments[n] for n in order[first : first + self._settings.batch_size]]
            longest = max(segment.stop - segment.start for segment in chosen)
            plans.append(Plan(tuple(chosen), rows[first : first + len(chosen), :longest]))
        return plans

    def _full(self, line: int, cuts: list[Segment]) -> list[Segment]:
        size = self._settings.segment_length
        latest = max(0, len(self._dataset.lines[line]) - size)
        starts = dict.fromkeys(min(segment.start, latest) for segment in cuts)
        return [Segment(line, start, min(start + size, cuts[-1].stop)) for start in starts]


class LaneFeed(Feed):
    """Lanes that each stream whole videos, `segment_length` frames a step.

    A lane takes the next video when one ends, and is gone when there is none: no frame is
    computed beyond a video's last segment. Videos without a label are left out; segments without
    one are only there to carry the state on.
    """

    def _epoch(self, rng: np.random.Generator) -> list[Plan]:
        size = self._settings.segment_length
        queue = [self._cuts(line, size, rng) for line in self._order(rng)]
        lanes: list[list[Segment]] = []
        before: list[int] = []
        plans: list[Plan] = []
        while True:
            n_kept = len(lanes)
            lanes = [lane if lane else (queue.pop(0) if queue else []) for lane in lanes]
            kept = [place for place in range(n_kept) if lanes[place]]
            lanes = [lanes[place] for place in kept]
            while queue and len(lanes) < self._settings.batch_size:
                lanes.append(queue.pop(0))
            if not lanes:
                return plans
            segments = tuple(lane.pop(0) for lane in lanes)
            plans.append(self._plan(segments, None if kept == before else kept))
            before = list(range(len(lanes)))

    def _order(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the lines with a label, roughly the longest first."""
        lines = self._dataset.lines
        length = np.array([len(line) for line in lines], np.float64)
        order = np.argsort(-length * rng.uniform(_LEAST_FACTOR, 1, len(lines)), kind="stable")
        whole = [self._has_labels(Segment(line, 0, len(lines[line]))) for line in order]
        return order[whole]

    def _plan(self, segments: tuple[Segment, ...], kept: list[int] | None) -> Plan:
        device = self._dataset.device
        is_start = torch.tensor([segment.start == 0 for segment in segments]).to(device)
        return Plan(
            segments=segments,
            rows=torch.from_numpy(self._dataset.rows(segments)).to(device),
            is_start=is_start,
            kept=None if kept is None else torch.tensor(kept, dtype=torch.long).to(device),
            has_labels=any(self._has_labels(segment) for segment in segments),
        )


def build_feed(dataset: SequenceDataset, settings: TrainingSettings, tasks: Sequence[Task]) -> Feed:
    """Return the feed that the settings name."""
    kind = LaneFeed if settings.feeding == "lanes" else WindowFeed
    return kind(dataset, settings, tasks)
