"""Rows that come in blocks of any size, handed on in blocks of one size."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .schema import Array


class RowBuffer:
    """Gathers blocks of rows, of any size, into blocks of one size.

    What need not be gathered is passed on without a copy.

    Args:
        shape: of the whole element.
        dtype: of its numbers.
        size: rows of a block; the last one may be shorter.
        is_exact: whether every other block must have that size; else one that is given with more
            rows comes out as it is, after what was gathered before it.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: "np.dtype[Any]", size: int, *, is_exact: bool
    ) -> None:
        self.n_rows = shape[0]
        self.n_given = 0
        self._size = size
        self._is_exact = is_exact
        self._rows = np.empty((min(size, shape[0]), *shape[1:]), dtype)
        self._n_held = 0

    def add(self, block: Array) -> Iterator[tuple[int, Array]]:
        """Take rows and yield (first row, rows) of each block that is full, or is the last."""
        if self.n_given + len(block) > self.n_rows:
            message = f"there is room for {self.n_rows} rows, but there are more"
            raise ValueError(message)
        if not self._is_exact and len(block) >= self._size:
            yield from self._release()
            yield self.n_given, block
            self.n_given += len(block)
            return
        while len(block):
            n = min(len(block), self._size - self._n_held)
            if n == self._size:
                yield self.n_given, block[:n]
                self.n_given += n
            else:
                self._rows[self._n_held : self._n_held + n] = block[:n]
                self._n_held += n
                self.n_given += n
                if self._n_held == self._size or self.n_given == self.n_rows:
                    yield from self._release()
            block = block[n:]

    def _release(self) -> Iterator[tuple[int, Array]]:
        if self._n_held:
            yield self.n_given - self._n_held, self._rows[: self._n_held]
            self._n_held = 0

    def check_full(self, name: str) -> None:
        """Raise ValueError unless every row was given."""
        if self.n_given != self.n_rows:
            message = f"{name} has room for {self.n_rows} rows, but got {self.n_given}"
            raise ValueError(message)
