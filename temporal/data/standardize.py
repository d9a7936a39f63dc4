"""Mean and spread of the training split's features, dimension by dimension."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import TemporalError
from .join import ABSENT, Timeline

LIMIT: Final = 10.0
"""Standardised values are clipped to +- this: one wild dimension cannot take a run over."""
_LEAST_SPREAD: Final = 1e-4
"""A dimension is dead if its deviation is below this share of its mean's size (and of 1e-2)."""


@dataclass(frozen=True)
class Standardizer:
    """From stored embeddings to features of mean 0 and deviation 1 over the training split."""

    mean: NDArray[np.float32]
    """(F,)"""
    scale: NDArray[np.float32]
    """(F,) 1 / deviation; 0 for a dead dimension, which so becomes 0."""

    @property
    def n_dead(self) -> int:
        """Dimensions without spread."""
        return int((self.scale == 0).sum())

    def features(self, sequence: Timeline, start: int, stop: int) -> NDArray[np.float32]:
        """Return standardised features (stop - start, F) of a part of a time line."""
        blocks = []
        first = 0
        for embedding, rows in zip(sequence.embeddings, sequence.rows, strict=True):
            dim = embedding.shape[1]
            mean, scale = self.mean[first : first + dim], self.scale[first : first + dim]
            cut = rows[start:stop]
            is_there = cut != ABSENT
            block = np.zeros((len(cut), dim), np.float32)
            if is_there.any():
                block[is_there] = (embedding[cut[is_there]].astype(np.float32) - mean) * scale
            blocks.append(block)
            first += dim
        joined: NDArray[np.float32] = np.concatenate(blocks, axis=1)
        return joined.clip(-LIMIT, LIMIT, out=joined)


def fit_standardizer(sequences: Sequence[Timeline]) -> Standardizer:
    """Return mean and spread over the training split's own frames; held copies do not count.

    Two passes in float64: the difference of large sums would lose a small spread.

    Raises:
        TemporalError: there is no frame, or a feature is not finite.
    """
    totals: list[NDArray[np.float64]] = []
    for power in (1, 2):
        count = 0
        total: Any = 0.0
        for block in _own_rows(sequences):
            centred = block - totals[0] if power == 2 else block
            total = total + (centred**power).sum(axis=0)
            count += len(block)
        if count == 0:
            message = "training needs frames with an embedding, but the split has none"
            raise TemporalError(message)
        totals.append(np.asarray(total) / count)
    mean, deviation = totals[0], np.sqrt(totals[1])
    if not np.isfinite(deviation).all():
        dimension = int(np.flatnonzero(~np.isfinite(deviation))[0])
        message = f"features must be finite, but dimension {dimension} is not; extract them again"
        raise TemporalError(message)
    is_alive = deviation > _LEAST_SPREAD * np.maximum(np.abs(mean), 1e-2)
    scale = np.where(is_alive, 1 / np.where(is_alive, deviation, 1), 0)
    return Standardizer(mean.astype(np.float32), scale.astype(np.float32))


def _own_rows(sequences: Sequence[Timeline]) -> Iterator[NDArray[np.float64]]:
    """Yield (n, F) rows of frames that every embedding has."""
    for sequence in sequences:
        is_whole = sequence.is_frame.all(axis=0)
        if is_whole.any():
            yield np.concatenate(
                [
                    embedding[rows[is_whole]].astype(np.float64)
                    for embedding, rows in zip(sequence.embeddings, sequence.rows, strict=True)
                ],
                axis=1,
            )
