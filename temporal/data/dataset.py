"""Batches of windows, and whole sequences, as tensors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from ...core.tasks import TASKS
from ..losses import Labels
from .join import Timeline
from .segments import windows
from .standardize import Standardizer

RESIDENT_BYTES = 4 << 30
"""Features of a split are kept in memory as float32 up to this; beyond, read from the store."""


class Segment(NamedTuple):
    """Consecutive frames of one sequence, half-open."""

    sequence: int
    start: int
    stop: int


@dataclass(frozen=True)
class Batch:
    """Segments padded at the end to the longest."""

    features: torch.Tensor
    """(B, T, F) float32; padding is 0."""
    is_frame: torch.Tensor
    """(B, T) boolean, True = real."""
    labels: Labels
    videos: tuple[str, ...]

    @property
    def n_frames(self) -> int:
        """Real frames."""
        return int(self.is_frame.sum())


class SequenceDataset:
    """The sequences of a split with their standardised features.

    Args:
        sequences: time lines.
        standardizer: of the training split.
    """

    def __init__(self, sequences: Sequence[Timeline], standardizer: Standardizer) -> None:
        self.sequences = list(sequences)
        self._standardizer = standardizer
        n_bytes = 4 * len(standardizer.mean) * sum(map(len, self.sequences))
        self._resident: list[torch.Tensor] | None = None
        if n_bytes <= RESIDENT_BYTES:
            self._resident = [
                torch.from_numpy(standardizer.features(item, 0, len(item)))
                for item in self.sequences
            ]

    @property
    def n_features(self) -> int:
        """F."""
        return len(self._standardizer.mean)

    def features(self, segment: Segment) -> torch.Tensor:
        """Return standardised features (n, F)."""
        number, start, stop = segment
        if self._resident is not None:
            return self._resident[number][start:stop]
        return torch.from_numpy(self._standardizer.features(self.sequences[number], start, stop))

    def segments(self, segment_length: int, stride: int) -> list[Segment]:
        """Return the windows of all sequences that hold a label, in order."""
        found = []
        for number, sequence in enumerate(self.sequences):
            for start, stop in windows(len(sequence), segment_length, stride):
                masks = (sequence.is_labelled[task][start:stop].any() for task in TASKS)
                if any(masks):
                    found.append(Segment(number, start, stop))
        return found

    def batch(self, segments: Sequence[Segment]) -> Batch:
        """Return segments as one batch."""
        longest = max(segment.stop - segment.start for segment in segments)
        features = torch.zeros(len(segments), longest, self.n_features)
        is_frame = torch.zeros(len(segments), longest, dtype=torch.bool)
        columns: list[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]] = []
        for row, segment in enumerate(segments):
            n = segment.stop - segment.start
            features[row, :n] = self.features(segment)
            is_frame[row, :n] = True
            sequence = self.sequences[segment.sequence]
            cut = slice(segment.start, segment.stop)
            columns.append(
                (
                    {task: _padded(sequence.values[task][cut], longest) for task in TASKS},
                    {task: _padded(sequence.is_labelled[task][cut], longest) for task in TASKS},
                )
            )
        values = {task: torch.from_numpy(np.stack([c[0][task] for c in columns])) for task in TASKS}
        masks = {task: torch.from_numpy(np.stack([c[1][task] for c in columns])) for task in TASKS}
        values["expression"] = values["expression"].long()
        values["au"] = values["au"].float()
        videos = tuple(self.sequences[segment.sequence].video for segment in segments)
        return Batch(features, is_frame, Labels(values, masks), videos)

    def shuffled_batches(
        self, segments: Sequence[Segment], batch_size: int, generator: torch.Generator
    ) -> Iterator[Batch]:
        """Yield all segments once, in a new random order, `batch_size` at a time."""
        order = torch.randperm(len(segments), generator=generator).tolist()
        for first in range(0, len(order), batch_size):
            yield self.batch([segments[place] for place in order[first : first + batch_size]])


def _padded(values: np.ndarray, length: int) -> np.ndarray:
    padding = [(0, length - len(values))] + [(0, 0)] * (values.ndim - 1)
    return np.pad(values, padding)
