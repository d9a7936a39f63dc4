"""The HDF5 backend: one file a tree.

    features/mae.h5                             the compacted tree
    features/mae.h5.parts/00000001-<uid>.h5     parts, while there are any

HDF5 is only used to lay a file out. It is written through one Python file object, read by mapping
HDF5's own descriptor, and never changed once it has its name.
"""

import io
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..core.files import WRITTEN_AT_ONCE, begin_writeback, fsync_folder, make_folder, publish
from .backend import (
    PART_NAME,
    RowArray,
    ShapeOnly,
    Tree,
    TreeWriter,
    checked_tree,
    remove_abandoned,
    remove_tree,
    temporary_path,
)
from .errors import CorruptStoreError
from .h5_elements import DAMAGES, extents, map_element
from .h5_heaps import check_heaps
from .lock import compaction_lock, lock_files
from .plain_files import plain_file
from .row_buffer import RowBuffer
from .schema import Array, elements_of

_ALIGNMENT = 4096
"""Large elements begin at a page of the file, so that their numbers are aligned when mapped."""


_BLOCK_BYTES = 1 << 20
"""Rows are handed to HDF5 in blocks of at least this size: a call for each short video costs more
than the copy."""


class WholeFile(io.FileIO):
    """An unbuffered file; `write` does not return before every byte is with the system."""

    error: OSError | None = None
    """The first that a write met: what HDF5 raises in its place says nothing of it."""

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - a buffer of any kind
        """Write all of `data` and return its number of bytes."""
        view = memoryview(data).cast("B")
        done = 0
        with self._kept():
            while done < len(view):
                start = self.tell()
                n = super().write(view[done : done + WRITTEN_AT_ONCE])
                if n == WRITTEN_AT_ONCE:
                    begin_writeback(self.fileno(), start, n)
                done += n
        return done

    def truncate(self, size: int | None = None, /) -> int:
        """Make the file `size` bytes long and return that."""
        with self._kept():
            return super().truncate(size)

    @contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = self.error or error
            raise


class _H5TreeWriter:
    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._buffers: dict[str, RowBuffer] = {}

    def create_rows(self, name: str, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> None:
        self._file.create_dataset(name, shape, dtype)
        row_bytes = int(np.prod(shape[1:])) * dtype.itemsize
        size = max(1, _BLOCK_BYTES // row_bytes)
        self._buffers[name] = RowBuffer(shape, dtype, size, is_exact=False)

    def append_rows(self, name: str, block: Array) -> None:
        for first, rows in self._buffers[name].add(block):
            self._file[name][first : first + len(rows)] = rows

    def write_array(self, name: str, array: Array) -> None:
        self._file.create_dataset(name, data=array)

    def write_attributes(self, attributes: Mapping[str, Any]) -> None:
        for name, value in attributes.items():
            self._file.attrs[name] = value

    def check_filled(self) -> None:
        for name, buffer in self._buffers.items():
            buffer.check_full(name)


@contextmanager
def write_file(path: Path) -> Iterator[TreeWriter]:
    """Write a tree that appears as the file `path` when the block ends without an exception."""
    temporary = temporary_path(path)
    try:
        with _begun(temporary) as stream:
            try:
                with h5py.File(
                    stream, "w", alignment_threshold=_ALIGNMENT, alignment_interval=_ALIGNMENT
                ) as file:
                    writer = _H5TreeWriter(file)
                    yield writer
                    writer.check_filled()
            except Exception as error:
                if stream.error is not None:
                    raise stream.error from error
                raise
            os.fsync(stream.fileno())
        publish(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise


def _begun(path: Path) -> WholeFile:
    """Make a file, and its folder: another process's compaction can just have removed that."""
    while True:
        make_folder(path.parent)
        with suppress(FileNotFoundError):
            return WholeFile(path, "w+b")


class H5Backend:
    """One HDF5 file a tree."""

    name = "hdf5"
    suffix = ".h5"

    def parts_folder(self, store: Path) -> Path:
        """Return the folder that holds the store's parts."""
        return store.with_name(store.name + ".parts")

    def list_parts(self, store: Path) -> list[Path]:
        """Return the visible parts, oldest name first."""
        try:
            paths = sorted(self.parts_folder(store).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [path for path in paths if path.suffix == ".h5" and PART_NAME.match(path.stem)]

    def find_base(self, store: Path) -> Path | None:
        """Return the compacted file, if there is one."""
        return store if store.is_file() else None

    def temporary_places(self, store: Path) -> list[tuple[Path, str]]:
        """Return (folder, beginning of the names) where this store's temporaries may lie."""
        return [(store.parent, store.name), (self.parts_folder(store), "")]

    def read(self, tree: Path, *, map_rows: bool) -> Tree:
        """Read one file; see `Backend.read`."""
        if PART_NAME.match(tree.stem):
            with plain_file(tree):
                pass
        try:
            # A lock would refuse readers while a writer runs; the file never changes.
            file = h5py.File(tree, "r", locking=False)
        except FileNotFoundError:
            raise
        except OSError as error:
            if not tree.exists():
                raise FileNotFoundError(tree) from error
            message = (
                f"{tree} must be a whole HDF5 file, but HDF5 says: {error}; restore it from a "
                f"copy, or remove it and extract again"
            )
            raise CorruptStoreError(message) from error
        with file:
            # Duplicates HDF5's descriptor: a name opened twice could be two files.
            mapped = mmap.mmap(file.id.get_vfd_handle(), 0, access=mmap.ACCESS_READ)
            try:
                root = h5py.h5o.get_info(file.id).addr
                check_heaps(mapped, root, extents(file), tree)
                attributes = {name: _plain(value) for name, value in file.attrs.items()}
            except DAMAGES as error:
                message = f"{tree} must have readable root attributes, but HDF5 says: {error}"
                raise CorruptStoreError(message) from error
            elements = elements_of(attributes, tree)
            arrays: dict[str, Array | RowArray] = {}
            for name, element in elements.items():
                array = map_element(file, mapped, name, element, tree)
                if element.is_rows:
                    arrays[name] = array if map_rows else ShapeOnly(array.shape, array.dtype)
                else:
                    arrays[name] = array.copy()
        return checked_tree(tree, attributes, elements, arrays)

    @contextmanager
    def write_part(self, store: Path, name: str) -> Iterator[TreeWriter]:
        """Write a part called `name`."""
        folder = self.parts_folder(store)
        with write_file(folder / f"{name}.h5") as writer:
            yield writer

    @contextmanager
    def write_base(self, store: Path) -> Iterator[TreeWriter]:
        """Write the new compacted file and put it in the place of the old one."""
        with write_file(store) as writer:
            yield writer

    def remove_parts(self, parts: Sequence[Path]) -> None:
        """Remove parts that the compacted file holds."""
        for part in parts:
            remove_tree(part)

    def lock(
        self, store: Path, *, wait: bool, break_lock: bool = False
    ) -> AbstractContextManager[bool]:
        """Hold the lock of compaction; see `Backend.lock`."""
        return compaction_lock(self.parts_folder(store), wait=wait, break_lock=break_lock)

    def tidy(self, store: Path) -> None:
        """Remove the parts folder if it holds nothing but the lock."""
        folder = self.parts_folder(store)
        if not folder.is_dir():
            return
        fsync_folder(folder)
        locks = list(lock_files(folder).values())
        # Of two, the higher one is another process's, which the lock is about to be given to.
        if len(locks) <= 1 and set(folder.iterdir()) <= set(locks):
            for path in locks:
                path.unlink(missing_ok=True)
            with suppress(OSError):  # another writer has just begun a part there
                folder.rmdir()

    def remove_leftovers(self, store: Path) -> None:
        """Remove what dead writers left."""
        remove_abandoned(self, store)


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever HDF5 holds
    """Return an attribute as JSON has it: NumPy's numbers and arrays become Python's."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value
