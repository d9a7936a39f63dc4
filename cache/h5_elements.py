"""The arrays of an HDF5 file, mapped: what is not plain data of the file itself is refused."""

import math
import mmap
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from .backend import missing_element
from .errors import CorruptStoreError
from .schema import ELEMENTS, Array, Element

DAMAGES: Final = (OSError, RuntimeError, LookupError, ValueError, TypeError, ArithmeticError)
"""What h5py raises, of all kinds, where bytes of a file are not as HDF5 wrote them."""


def _dataset(file: h5py.File, name: str) -> h5py.Dataset | None:
    """Return a dataset of the file itself: no link on the way to it is followed out of it."""
    found: Any = file
    for part in name.split("/"):
        if not isinstance(found, h5py.Group):
            return None
        if not isinstance(found.get(part, getlink=True), h5py.HardLink):
            return None
        found = found[part]
    return found if isinstance(found, h5py.Dataset) else None


def extents(file: h5py.File) -> list[tuple[int, int]]:
    """Return (first byte, byte after the last) of what seem to be elements, of any kind of tree."""
    found = []
    for name in {name for elements in ELEMENTS.values() for name in elements}:
        with suppress(*DAMAGES):
            dataset = _dataset(file, name)
            if dataset is not None and (offset := dataset.id.get_offset()) is not None:
                found.append((offset, offset + dataset.id.get_storage_size()))
    return found


def map_element(
    file: h5py.File, mapped: mmap.mmap, name: str, element: Element, where: Path
) -> Array:
    """Return the element as a read-only view of the mapped file."""
    try:
        dataset = _dataset(file, name)
        if (
            dataset is None
            or dataset.id.get_create_plist().get_layout() != h5py.h5d.CONTIGUOUS
            or dataset.external
        ):
            raise missing_element(name, where)
        dtype, shape, offset = dataset.dtype, dataset.shape, dataset.id.get_offset()
    except DAMAGES as error:
        raise missing_element(name, where) from error
    element.check(name, dtype, shape, where)
    size = math.prod(shape) * dtype.itemsize
    if size == 0:
        array: Array = np.empty(shape, dtype)
        array.flags.writeable = False
        return array
    if offset is None or offset + size > len(mapped):
        message = (
            f"{where} must hold {size} bytes of {name} at byte {offset}, but has "
            f"{len(mapped)} bytes: it is cut short; restore it from a copy"
        )
        raise CorruptStoreError(message)
    return np.ndarray(shape, dtype, buffer=mapped, offset=offset)
