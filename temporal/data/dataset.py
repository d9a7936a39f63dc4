"""Batches of segments, and whole time lines, as tensors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from ...core.tasks import TASKS
from ..losses import Labels
from .segments import windows
from .standardize import Standardizer
from .timeline import Timeline

RESIDENT_BYTES = 4 << 30
"""Features of a split are kept on the device as float32 up to this; beyond, read from the store."""


class Segment(NamedTuple):
    """Consecutive frames of one time line, half-open."""

    line: int
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
    n_frames: int
    """Real frames."""


class SequenceDataset:
    """The time lines of a split with their standardised features, on a device.

    All frames lie in one tensor, one line after another, with one row of padding at the end: a
    batch is then one look-up of rows, whatever its segments are.

    Args:
        lines: time lines.
        standardizer: of the training split.
        device: where batches are wanted.
        resident_bytes: features beyond this are read from the stores, segment by segment.
    """

    def __init__(
        self,
        lines: Sequence[Timeline],
        standardizer: Standardizer,
        device: torch.device | None = None,
        *,
        resident_bytes: int = RESIDENT_BYTES,
    ) -> None:
        self.lines = list(lines)
        self.n_features = len(standardizer.mean)
        """F."""
        self._standardizer = standardizer
        self._device = device or torch.device("cpu")
        ends = np.cumsum([len(line) for line in self.lines], dtype=np.int64)
        self._first = ends - [len(line) for line in self.lines]
        self._padding = int(ends[-1]) if len(ends) else 0
        self._labels = self._all_labels()
        self._features: torch.Tensor | None = None
        if 4 * self.n_features * (self._padding + 1) <= resident_bytes:
            features = torch.zeros(self._padding + 1, self.n_features)
            for first, line in zip(self._first, self.lines, strict=True):
                block = standardizer.features(line, 0, len(line))
                features[first : first + len(line)] = torch.from_numpy(block)
            self._features = features.to(self._device)

    def _all_labels(self) -> Labels:
        """Return the labels of all lines and of the padding: (N + 1,) or (N + 1, 12)."""
        values, is_labelled = {}, {}
        for task in TASKS:
            width = (12,) if task == "au" else ()
            blocks = [line.values[task] for line in self.lines]
            masks = [line.is_labelled[task] for line in self.lines]
            padding = np.zeros((1, *width), np.float32)
            dtype = torch.long if task == "expression" else torch.float32
            values[task] = torch.from_numpy(np.concatenate([*blocks, padding])).to(
                self._device, dtype
            )
            is_labelled[task] = torch.from_numpy(
                np.concatenate([*masks, padding.astype(np.bool_)])
            ).to(self._device)
        return Labels(values, is_labelled)

    def features(self, segment: Segment) -> torch.Tensor:
        """Return standardised features (n, F)."""
        number, start, stop = segment
        if self._features is not None:
            first = int(self._first[number])
            return self._features[first + start : first + stop]
        block = self._standardizer.features(self.lines[number], start, stop)
        return torch.from_numpy(block).to(self._device)

    def segments(self, segment_length: int, stride: int) -> list[Segment]:
        """Return the windows of all lines that hold a label, in order."""
        found = []
        for number, line in enumerate(self.lines):
            for start, stop in windows(len(line), segment_length, stride):
                masks = (line.is_labelled[task][start:stop].any() for task in TASKS)
                if any(masks):
                    found.append(Segment(number, start, stop))
        return found

    def batch(self, segments: Sequence[Segment]) -> Batch:
        """Return segments as one batch."""
        longest = max(segment.stop - segment.start for segment in segments)
        first = np.array([self._first[s.line] + s.start for s in segments])[:, None]  # (B, 1)
        length = np.array([s.stop - s.start for s in segments])[:, None]  # (B, 1)
        place = np.arange(longest)[None]  # (1, T)
        is_frame = place < length  # (B, T)
        row = np.where(is_frame, first + place, self._padding)  # (B, T)
        rows = torch.from_numpy(row.ravel()).to(self._device)  # (B * T,)
        if self._features is not None:
            features = self._features.index_select(0, rows).view(*row.shape, -1)  # (B, T, F)
        else:
            features = torch.zeros(*row.shape, self.n_features, device=self._device)
            for place_in_batch, segment in enumerate(segments):
                n = segment.stop - segment.start
                features[place_in_batch, :n] = self.features(segment)

        def cut(columns: torch.Tensor) -> torch.Tensor:
            return columns.index_select(0, rows).view(*row.shape, *columns.shape[1:])

        return Batch(
            features=features,
            is_frame=torch.from_numpy(is_frame).to(self._device),
            labels=Labels(
                {task: cut(column) for task, column in self._labels.values.items()},
                {task: cut(column) for task, column in self._labels.is_labelled.items()},
            ),
            videos=tuple(self.lines[segment.line].video for segment in segments),
            n_frames=int(length.sum()),
        )

    def shuffled_batches(
        self, segments: Sequence[Segment], batch_size: int, generator: torch.Generator
    ) -> Iterator[Batch]:
        """Yield all segments once, in a new random order, `batch_size` at a time."""
        order = torch.randperm(len(segments), generator=generator).tolist()
        for first in range(0, len(order), batch_size):
            yield self.batch([segments[place] for place in order[first : first + batch_size]])
