"""Cells of large text tables as bytes, a block of rows at a time.

A column of texts is a matrix of bytes (n, width) in which NUL is no character: rows are put side by
side and the NULs are taken out, so a million rows take seconds without a loop over them.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Cells = NDArray[np.uint8]
"""(n, width); NUL is no character."""
Column = Callable[[slice], Cells]
"""Rows -> their cells."""

BLOCK_ROWS: Final = 4096

_DECIMALS: Final = 15
"""Most digits behind the point; a float32 that needs more is written with an exponent."""
_SURE: Final = 7
"""A float32 in [-1, 1] that has a decimal of up to 7 digits is rounded to that very one by 7: half
the distance to the next float32, 2**-25, is less than half of 1e-7."""
_CHUNK: Final = 10_000
_CHUNK_DIGITS: Final = (
    np.arange(_CHUNK)[:, None] // np.array([1000, 100, 10, 1]) % 10 + ord("0")
).astype(np.uint8)


def text_lines(n_rows: int, columns: Sequence[Column]) -> Iterator[bytes]:
    """Yield the lines of a table, a block at a time: cells with commas between them and a \\n.

    Args:
        n_rows: rows of the table.
        columns: what gives the cells of rows.
    """
    for start in range(0, n_rows, BLOCK_ROWS):
        rows = slice(start, min(start + BLOCK_ROWS, n_rows))
        n = rows.stop - rows.start
        comma = np.full((n, 1), ord(","), np.uint8)
        parts = [part for column in columns for part in (column(rows), comma)]
        parts[-1] = np.full((n, 1), ord("\n"), np.uint8)
        block = np.concatenate(parts, axis=1)
        yield block[block != 0].tobytes()


def texts(values: Sequence[str]) -> Column:
    """Return a column of texts without NUL; what occurs often is kept once."""
    number: dict[str, int] = {}
    code = np.array([number.setdefault(value, len(number)) for value in values], np.intp)
    known = [value.encode() for value in number]
    width = max(map(len, known), default=0) or 1
    table = np.array(known, f"S{width}").view(np.uint8).reshape(len(known), width)
    return lambda rows: table[code[rows]]


def digits(values: Array) -> list[Column]:
    """Return columns of whole numbers from 0 to 9, (N,) or (N, C); others are a ValueError."""

    def cells(one: Array, rows: slice) -> Cells:
        block = one[rows]
        if block.min() < 0 or block.max() > 9:
            message = f"digits are 0 to 9, but got {block.min()} to {block.max()}"
            raise ValueError(message)
        return (block.astype(np.uint8) + np.uint8(ord("0")))[:, None]

    return [partial(cells, one) for one in _columns(values)]


def whole_numbers(values: Array) -> Column:
    """Return a column of whole numbers, (N,)."""
    return lambda rows: _as_cells(values[rows].astype("S20"))


def decimals(values: Array) -> list[Column]:
    """Return columns of float32, (N,) or (N, C), as short as reads back to the same float32."""

    def cells(one: Array, rows: slice) -> Cells:
        return decimal_cells(one[rows])

    return [partial(cells, one) for one in _columns(values)]


def empty(n_columns: int) -> list[Column]:
    """Return columns without a character."""
    return [lambda rows: np.zeros((rows.stop - rows.start, 0), np.uint8)] * n_columns


def decimal_cells(values: NDArray[np.float32]) -> Cells:
    """Return the shortest decimals that read back to the same float32: `0.1`, `-0.0`, `1e-20`.

    m / 10**k is one division of two numbers that float64 holds exactly, so it is what a reader
    makes of the decimal; it is tried for rising k until its float32 is the value.
    """
    values = np.ascontiguousarray(values, np.float32)
    wide = np.abs(values.astype(np.float64))
    scaled = np.zeros(len(values), np.int64)  # m * 10**(15 - k)
    left = np.flatnonzero(wide <= 1)  # neither NaN nor infinity is
    for k in range(_SURE, _DECIMALS + 1):
        part = wide[left]
        m = np.rint(part * 10.0**k)
        is_same = (m / 10.0**k).astype(np.float32) == np.abs(values[left])
        scaled[left[is_same]] = m[is_same].astype(np.int64) * 10 ** (_DECIMALS - k)
        left = left[~is_same]
        if not len(left):
            break
    cells = np.zeros((len(values), 3 + _DECIMALS), np.uint8)
    cells[:, 0] = np.where(np.signbit(values), ord("-"), 0)
    cells[:, 2] = ord(".")
    found = np.empty((len(values), 16), np.uint8)  # one digit before the point
    for place in (12, 8, 4, 0):
        scaled, chunk = np.divmod(scaled, _CHUNK)
        found[:, place : place + 4] = _CHUNK_DIGITS[chunk]
    cells[:, 1] = found[:, 0]
    is_zero = found[:, :1:-1] == ord("0")  # from the last digit to the second behind the point
    n_kept = np.where(is_zero.all(axis=1), 1, _DECIMALS - is_zero.argmin(axis=1))
    cells[:, 3:] = np.where(np.arange(_DECIMALS) < n_kept[:, None], found[:, 1:], 0)
    others = np.concatenate([left, np.flatnonzero(~(wide <= 1))])
    if len(others):
        cells[others] = 0
        spelt = _as_cells(values[others].astype("S18"))  # of numpy: the shortest, with an exponent
        cells[others, : spelt.shape[1]] = spelt
    return cells


def _as_cells(spelt: Array) -> Cells:
    return np.ascontiguousarray(spelt).view(np.uint8).reshape(len(spelt), spelt.dtype.itemsize)


def _columns(values: Array) -> list[Array]:
    """Return the columns, each contiguous: a block of rows is then one piece of memory."""
    return list(np.ascontiguousarray(values.T)) if values.ndim == 2 else [values]
