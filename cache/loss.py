"""What storing embeddings as float16 loses: the error of a number over its dimension's spread.

Rounding errors matter by how much of what a dimension tells they take: an error of 0.015 is
nothing to a dimension that varies by 2, and all there is to one that stays within 0.02 of 40. So
errors are counted in units of the dimension's standard deviation over the first frames.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .errors import StoredTypeError
from .object_path import AnyPath
from .schema import Array
from .spec import EmbeddingSpec

SPREAD_FRAMES: Final = 2_000
"""Rows from which the spread of a dimension is estimated; those that come first."""
MOST_LOSS: Final = 0.05
"""Largest error of a number, as a share of its dimension's spread, that a store may begin with."""
_LEAST_FRAMES: Final = 64
"""Fewer rows tell nothing of a spread."""
_LEAST_POWER: Final = -14
"""Of a half that has all its digits."""
_MANTISSA_BITS: Final = 10
_LARGEST_FINITE: Final = 0x7BFF
"""Bit pattern; other programs may store what is not finite, which `verify` tells."""
_CONSTANT: Final = 1e-5
"""A dimension whose spread is at most this share of its size has none: what differs is noise."""


def spread_of(rows: Array) -> NDArray[np.float64]:
    """Return the standard deviation of each dimension of rows (n, D); 0 for one that is constant.

    Population moments (ddof 0). A dimension counts as constant up to noise in its last digits.
    """
    wide = rows.astype(np.float64)
    deviation = wide.std(axis=0) if len(wide) else np.zeros(rows.shape[1])
    size = np.sqrt((wide**2).mean(axis=0)) if len(wide) else deviation
    return np.where(deviation > _CONSTANT * size, deviation, 0.0)


def shares_of(error: NDArray[np.float64], spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return errors (D,) in units of their dimension's spread (D,); 0 where there is none."""
    return np.divide(error, spread, out=np.zeros_like(spread), where=spread > 0)


class LossWatch:
    """Refuses to begin a store that loses much by its type.

    Args:
        spec: of the store.
        n_stored: rows that the store holds already.
    """

    def __init__(self, spec: EmbeddingSpec, n_stored: int) -> None:
        self._n_free = SPREAD_FRAMES - n_stored if spec.dtype == "float16" else 0
        """Rows that are still to be looked at."""
        self._rows: list[Array] = []
        self._max_error = np.zeros(spec.dim)
        self._worst = np.full(spec.dim, "", object)
        """For each dimension the video that has its largest error."""

    def add(self, video: str, exact: Array, stored: Array) -> None:
        """Look at rows (n, D) of a video, as computed and as stored."""
        if self._n_free <= 0:
            return
        exact = np.array(exact[: self._n_free], np.float64)
        error = np.abs(exact - stored[: len(exact)]).max(axis=0, initial=0.0)
        self._worst[error > self._max_error] = video
        self._max_error = np.maximum(self._max_error, error)
        self._rows.append(exact.astype(np.float32))
        self._n_free -= len(exact)

    def check(self, store: AnyPath) -> None:
        """Refuse what was added if errors are too large; rows that come later are not looked at.

        Raises:
            StoredTypeError: names the video and the dimension.
        """
        if sum(map(len, self._rows)) < _LEAST_FRAMES:
            return
        rows = np.concatenate(self._rows)
        spread = spread_of(rows)
        shares = shares_of(self._max_error, spread)
        dimension = int(shares.argmax())
        if shares[dimension] > MOST_LOSS:
            message = (
                f"{store} would lose too much as float16: in video {self._worst[dimension]!r} "
                f"dimension {dimension}, which is about {rows[:, dimension].mean():.3g} and varies "
                f"by {spread[dimension]:.3g}, is stored with an error of "
                f"{self._max_error[dimension]:.2g}, {100 * shares[dimension]:.0f} % of that "
                f"(at most {100 * MOST_LOSS:.0f} % are allowed); use --set dtype=float32 "
                f"(of an import: --dtype float32)"
            )
            raise StoredTypeError(message)
        if self._n_free <= 0:
            self._rows = []


@dataclass(frozen=True)
class DtypeLoss:
    """How far the stored numbers of a store can be from those computed, in units of spread."""

    largest: float
    """Of the worst number: half a step of float16 at the largest value of its dimension."""
    dimension: int
    """Where that is."""
    mean: float
    """A quarter of a step on average over the first frames: rounding errors are uniform."""

    def to_json(self) -> dict[str, Any]:
        """Return the values by name."""
        return {"largest": self.largest, "dimension": self.dimension, "mean": self.mean}


class LossMeter:
    """Finds the loss of a store from its rows alone, so that equal stores have equal losses.

    Args:
        spec: of the store.
    """

    def __init__(self, spec: EmbeddingSpec) -> None:
        self._is_on = spec.dtype == "float16"
        self._largest = np.zeros(spec.dim, np.uint16)
        """Bit patterns of the largest sizes; those of positive halves are ordered as they are."""
        self._first: list[Array] = []
        self._n_free = SPREAD_FRAMES

    def add(self, rows: Array) -> None:
        """Count stored rows (n, D), in the order of the store."""
        if not self._is_on or not len(rows):
            return
        sizes = np.ascontiguousarray(rows).view(np.uint16) & 0x7FFF
        largest = np.minimum(sizes.max(axis=0), _LARGEST_FINITE)
        self._largest = np.maximum(self._largest, largest)
        if self._n_free > 0:
            self._first.append(np.nan_to_num(rows[: self._n_free]))
            self._n_free -= len(self._first[-1])

    def loss(self) -> DtypeLoss | None:
        """Return the loss of the rows; None for a type that loses nothing, or without rows."""
        if not self._first:
            return None
        first = np.concatenate(self._first)
        spread = spread_of(first)
        shares = shares_of(_step(self._largest.view(np.float16)) / 2, spread)
        dimension = int(shares.argmax())
        average = shares_of(_step(first).mean(axis=0) / 4, spread)
        varies = spread > 0
        mean = float(average[varies].mean()) if varies.any() else 0.0
        return DtypeLoss(float(shares[dimension]), dimension, mean)


def _step(values: Array) -> NDArray[np.float64]:
    """Return the distance between neighbouring halves at each value: 2**-10 of its power of 2.

    NumPy's own `spacing` has no answer at the largest half.
    """
    power = np.frexp(values.astype(np.float64))[1] - 1
    power = np.where(values == 0, _LEAST_POWER, np.maximum(power, _LEAST_POWER))
    step: NDArray[np.float64] = np.ldexp(1.0, power - _MANTISSA_BITS)
    return step
