"""Mean and spread of the training split's features, dimension by dimension."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import TemporalError
from .timeline import ABSENT, Timeline

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

    def features(self, line: Timeline, start: int, stop: int) -> NDArray[np.float32]:
        """Return standardised features (stop - start, F) of a part of a time line."""
        blocks = []
        first = 0
        for embedding, rows in zip(line.embeddings, line.rows, strict=True):
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


def fit_standardizer(lines: Sequence[Timeline]) -> Standardizer:
    """Return mean and spread over the training split's own frames; held copies do not count.

    Each embedding counts the frames that it has. Two passes in float64: the difference of large
    sums would lose a small spread.

    Raises:
        TemporalError: an embedding has no frame there, or a feature is not finite.
    """
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is named below
        moments = [_moments(lines, number) for number in range(len(lines[0].rows))] if lines else []
    if not moments:
        message = "training needs frames with an embedding, but the split has none"
        raise TemporalError(message)
    mean = np.concatenate([item[0] for item in moments])
    deviation = np.concatenate([item[1] for item in moments])
    if not np.isfinite(deviation).all():
        dimension = int(np.flatnonzero(~np.isfinite(deviation))[0])
        message = f"features must be finite, but dimension {dimension} is not; extract them again"
        raise TemporalError(message)
    is_alive = deviation > _LEAST_SPREAD * np.maximum(np.abs(mean), 1e-2)
    scale = np.where(is_alive, 1 / np.where(is_alive, deviation, 1), 0)
    return Standardizer(mean.astype(np.float32), scale.astype(np.float32))


def _moments(
    lines: Sequence[Timeline], number: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and deviation (D,) of one embedding."""
    mean: Any = 0.0
    variance: Any = 0.0
    count = sum(int(line.is_frame[number].sum()) for line in lines)
    if count == 0:
        message = (
            f"training needs frames of every embedding, but none of the {len(lines)} training "
            f"videos has one of embedding number {number + 1}"
        )
        raise TemporalError(message)
    for rows in _own_rows(lines, number):
        mean = mean + rows.sum(axis=0) / count
    for rows in _own_rows(lines, number):
        variance = variance + ((rows - mean) ** 2).sum(axis=0) / count
    return np.asarray(mean), np.sqrt(variance)


def _own_rows(lines: Sequence[Timeline], number: int) -> Iterator[NDArray[np.float64]]:
    """Yield (n, D) rows of one embedding, without held copies."""
    for line in lines:
        rows = line.rows[number][line.is_frame[number]]
        if len(rows):
            yield line.embeddings[number][rows].astype(np.float64)
