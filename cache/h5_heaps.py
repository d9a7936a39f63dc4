"""Attributes of an HDF5 file that claim more bytes than the file has.

HDF5 keeps texts in heaps, and takes as much memory as an attribute, or a heap's header, says before
it looks whether there is as much: a single changed byte would cost gigabytes. Looked at is what
h5py writes by default (object headers of version 1); of any other form HDF5 itself is asked.
"""

import mmap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from .errors import CorruptStoreError

_HEAP: Final = b"GCOL\x01\x00\x00\x00"
"""Signature, version and three zeros of a global heap; eight bytes of its size follow."""
_ATTRIBUTE: Final = 0x0C
_CONTINUATION: Final = 0x10
_VARIABLE_LENGTH: Final = 9
_MOST_BLOCKS: Final = 64
"""Of an object header; more are a damage that leads in a circle."""


def check_heaps(mapped: mmap.mmap, root: int, data: Iterable[tuple[int, int]], where: Path) -> None:
    """Raise CorruptStoreError if a heap or a text is larger than the file.

    Args:
        mapped: the whole file.
        root: where the object header of the root group is.
        data: (first byte, byte after the last) of what holds numbers, which is not looked at.
        where: the file's name.
    """
    end = len(mapped)
    claims = [(place, size, end - place) for place, size in _heaps(mapped, data)]
    claims += [(place, size, end) for place, size in _texts(mapped, root)]
    for place, size, room in claims:
        if size > room:
            message = (
                f"{where} must hold {size} bytes of a text that it names at byte {place}, but has "
                f"{end} bytes in all; restore it from a copy"
            )
            raise CorruptStoreError(message)


def _heaps(mapped: mmap.mmap, data: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield (place, size) of what looks like a heap, outside of the data."""
    end, first = len(mapped), 0
    inside = sorted((start, stop) for start, stop in data if 0 <= start <= stop <= end)
    for start, stop in [*inside, (end, end)]:
        place = mapped.find(_HEAP, first, start)
        while place >= 0:
            yield place, _number(mapped, place + 8, 8)
            place = mapped.find(_HEAP, place + 1, start)
        first = max(first, stop)


def _texts(mapped: mmap.mmap, root: int) -> Iterator[tuple[int, int]]:
    """Yield (place, length) of each text of the root's attributes."""
    if mapped[root : root + 1] != b"\x01":
        return
    blocks = [(root + 16, _number(mapped, root + 8, 4))]
    for start, size in blocks:
        place, stop = start, min(start + size, len(mapped))
        while place + 8 <= stop and len(blocks) < _MOST_BLOCKS:
            kind, length = _number(mapped, place, 2), _number(mapped, place + 2, 2)
            message = place + 8
            if kind == _CONTINUATION:
                blocks.append((_number(mapped, message, 8), _number(mapped, message + 8, 8)))
            elif kind == _ATTRIBUTE and mapped[message : message + 1] == b"\x01":
                yield from _of_attribute(mapped, message)
            place = message + length


def _of_attribute(mapped: mmap.mmap, message: int) -> Iterator[tuple[int, int]]:
    """Yield (place, length) of the text of an attribute (version 1), if it is one."""
    name, datatype, dataspace = (_number(mapped, message + n, 2) for n in (2, 4, 6))
    at = message + 8 + _padded(name)
    if _number(mapped, at, 1) & 0x0F != _VARIABLE_LENGTH:
        return
    at += _padded(datatype) + _padded(dataspace)
    yield at, _number(mapped, at, 4)


def _padded(size: int) -> int:
    return -(-size // 8) * 8


def _number(mapped: mmap.mmap, place: int, size: int) -> int:
    return int.from_bytes(mapped[place : place + size], "little")
