"""Memory for rows that wait to be committed, kept from one part to the next."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .schema import Array


class RowArena:
    """Lends room for blocks of rows, one after another.

    Fresh memory for every part costs as much as writing it: the system clears each page first.

    Args:
        n_bytes: lent at most; what goes beyond is memory of its own. Nothing is resident before it
            is used.
    """

    def __init__(self, n_bytes: int) -> None:
        self._n_bytes = n_bytes
        self._room: NDArray[np.uint8] | None = None
        self._n_lent = 0

    def take(self, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> Array:
        """Return room for a block; it may be lent again after `clear`."""
        size = int(np.prod(shape)) * dtype.itemsize
        start = -(-self._n_lent // dtype.itemsize) * dtype.itemsize
        if start + size > self._n_bytes:
            return np.empty(shape, dtype)
        if self._room is None:
            self._room = np.empty(self._n_bytes, np.uint8)
        self._n_lent = start + size
        return self._room[start : start + size].view(dtype).reshape(shape)

    def clear(self) -> None:
        """Take back all that was lent: nobody may look at it any more."""
        self._n_lent = 0

    def joined(self, blocks: Iterable[Array]) -> Iterator[Array]:
        """Yield the same rows in the same order, with neighbours in this memory as one block."""
        held: list[Array] = []
        end = -1
        for block in blocks:
            start = self._place(block)
            if held and (start < 0 or start != end):
                yield self._one(held)
                held = []
            held.append(block)
            end = -1 if start < 0 else start + block.nbytes
        if held:
            yield self._one(held)

    def _place(self, block: Array) -> int:
        """Return where a block begins in this memory; -1 if it is none of it."""
        if self._room is None or not block.nbytes or not block.flags.c_contiguous:
            return -1
        start = block.ctypes.data - self._room.ctypes.data
        return start if 0 <= start < self._n_bytes else -1

    def _one(self, blocks: list[Array]) -> Array:
        if len(blocks) == 1:
            return blocks[0]
        assert self._room is not None
        start = self._place(blocks[0])
        size = sum(block.nbytes for block in blocks)
        flat = self._room[start : start + size].view(blocks[0].dtype)
        return flat.reshape(-1, *blocks[0].shape[1:])
