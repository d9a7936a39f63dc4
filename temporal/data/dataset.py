"""Time lines as tensors, and batches of segments of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ...core.tasks import TASKS, Task
from ..losses import Labels
from .features import FeatureMaker, features_of_all
from .shared_features import SharedFeatures
from .timeline import Timeline

RESIDENT_BYTES = 4 << 30
_SHARE_OF_FREE = 0.5
"""Of a device's free memory; the rest is for the network."""


class Segment(NamedTuple):
    """Consecutive frames of one time line, half-open."""

    line: int
    start: int
    stop: int


@dataclass(frozen=True)
class Plan:
    """What one step takes: segments, and how they go on from those of the step before."""

    segments: tuple[Segment, ...]
    rows: torch.Tensor
    """(B, T) int64 rows of the dataset, on its device; padding at the end."""
    is_start: torch.Tensor | None = None
    """(B,) whether the segment begins its video; None if no state is carried."""
    kept: torch.Tensor | None = None
    """(B,) row of each segment's state in the step before; None if they are the same rows."""
    has_labels: bool = True


@dataclass(frozen=True)
class Batch:
    """Segments padded at the end to the longest."""

    features: torch.Tensor
    """(B, T, F) float32; padding is 0."""
    is_frame: torch.Tensor
    """(B, T) boolean, True = real."""
    labels: Labels


class SequenceDataset:
    """The time lines of a split with their features, on a device.

    All frames lie in one tensor, one line after another, with one row of padding at the end: a
    batch is then one look-up of rows, whatever its segments are. Features that do not fit are
    made from the stores, segment by segment.

    Args:
        lines: time lines.
        maker: makes their features.
        device: where batches are wanted.
        resident_bytes: features beyond this, or beyond half of the device's free memory, are
            streamed.
        shared: where the features lie that runs side by side have in common; on a CPU they are
            mapped from there, if they are not streamed.
    """

    def __init__(
        self,
        lines: Sequence[Timeline],
        maker: FeatureMaker,
        device: torch.device | None = None,
        *,
        resident_bytes: float = RESIDENT_BYTES,
        shared: SharedFeatures | None = None,
    ) -> None:
        self.lines = list(lines)
        self.n_features = maker.n_features
        """F."""
        self.device = device or torch.device("cpu")
        length = np.array([len(line) for line in self.lines], np.int64)
        ends = np.cumsum(length)
        self.first: NDArray[np.int64] = ends - length
        """Row of each line's first frame."""
        self.padding = int(ends[-1]) if len(ends) else 0
        """Row that stands for no frame; as many rows are frames."""
        self._maker = maker
        self._labels = self._all_labels()
        self._features: torch.Tensor | None = None
        if 4 * self.n_features * (self.padding + 1) <= min(resident_bytes, _free(self.device)):
            if shared is not None and self.device.type == "cpu":
                self._features = shared.matrix(maker, self.lines)
            if self._features is None:
                features = features_of_all(maker, self.lines, self.first.tolist(), self.padding + 1)
                self._features = torch.from_numpy(features).to(self.device)

    @property
    def is_resident(self) -> bool:
        """Whether all features are on the device."""
        return self._features is not None

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
                self.device, dtype
            )
            is_labelled[task] = torch.from_numpy(
                np.concatenate([*masks, padding.astype(np.bool_)])
            ).to(self.device)
        return Labels(values, is_labelled)

    def has_label(self, tasks: Sequence[Task]) -> NDArray[np.bool_]:
        """Return (N + 1,) whether a row has a label of any of the tasks; padding has none."""
        found = np.zeros(self.padding + 1, np.bool_)
        for task in tasks:
            masks = [line.is_labelled[task].reshape(len(line), -1).any(1) for line in self.lines]
            found[:-1] |= np.concatenate(masks)
        return found

    def rows(self, segments: Sequence[Segment], length: int | None = None) -> NDArray[np.int64]:
        """Return the rows (B, T) of segments, padded at the end to the longest, or to `length`."""
        lengths = np.array([s.stop - s.start for s in segments])[:, None]  # (B, 1)
        first = np.array([self.first[s.line] + s.start for s in segments])[:, None]
        place = np.arange(length or int(lengths.max()))[None]  # (1, T)
        return np.where(place < lengths, first + place, self.padding)

    def plan(self, segments: Sequence[Segment], length: int | None = None) -> Plan:
        """Return a plan of independent segments."""
        rows = torch.from_numpy(self.rows(segments, length)).to(self.device)
        return Plan(tuple(segments), rows)

    def features(self, plan: Plan) -> torch.Tensor:
        """Return features (B, T, F); padding is 0."""
        shape = (*plan.rows.shape, self.n_features)
        if self._features is not None:
            return self._features.index_select(0, plan.rows.flatten()).view(shape)
        features = torch.zeros(shape, pin_memory=self.device.type == "cuda")
        for place, (number, start, stop) in enumerate(plan.segments):
            block = self._maker.features(self.lines[number], start, stop)
            features[place, : stop - start] = torch.from_numpy(block)
        return features.to(self.device, non_blocking=True)

    def batch(self, plan: Plan) -> Batch:
        """Return the segments of a plan as one batch."""
        rows = plan.rows.flatten()

        def cut(columns: torch.Tensor) -> torch.Tensor:
            return columns.index_select(0, rows).view(*plan.rows.shape, *columns.shape[1:])

        return Batch(
            features=self.features(plan),
            is_frame=plan.rows != self.padding,
            labels=Labels(
                {task: cut(column) for task, column in self._labels.values.items()},
                {task: cut(column) for task, column in self._labels.is_labelled.items()},
            ),
        )

    def videos(self, plan: Plan) -> list[str]:
        """Return the ids of a plan's videos, each once."""
        return list(dict.fromkeys(self.lines[segment.line].video for segment in plan.segments))


def _free(device: torch.device) -> float:
    """Return the bytes of a device that features may take."""
    if device.type != "cuda":
        return float("inf")
    return _SHARE_OF_FREE * torch.cuda.mem_get_info(device)[0]
