"""What the two backends have in common: a tree of arrays that is whole or not there.

A *tree* is one part, one compacted store or one labels store. A backend writes a tree and then
publishes it at once (files by a rename, object storage by an object written last), lists the trees
of a store, and reads one.
"""

import errno
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from ..core.files import TEMPORARY_MARK, fsync_folder
from .errors import CacheError, CorruptStoreError
from .object_path import AnyPath
from .schema import Array, Element, check_index_checksum

P = TypeVar("P", bound=AnyPath)

PART_NAME = re.compile(r"\d{8}-[0-9a-f]{12}\Z")
_TEMPORARY = re.compile(re.escape(TEMPORARY_MARK) + r"(?P<host>[^/]*)-(?P<pid>\d+)-[0-9a-f]{12}\Z")
_READ_ATTEMPTS = 50
_ABANDONED_S = 24 * 3600.0
"""Age after which a temporary of another machine is taken for abandoned."""


class RowArray(Protocol):
    """An array with one row a frame that is cut, not loaded: mapped files, or objects."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows first."""

    @property
    def dtype(self) -> "np.dtype[Any]":
        """Type of the numbers."""

    def __getitem__(self, cut: slice, /) -> Array: ...


@dataclass(frozen=True)
class Tree:
    """One part or compacted store, read and checked element by element."""

    path: AnyPath
    """For messages."""
    attributes: Mapping[str, Any]
    arrays: Mapping[str, Array]
    """Elements that were loaded: all but those with one row a frame."""
    rows: Mapping[str, RowArray]
    """Elements with one row a frame; read-only."""


class TreeWriter(Protocol):
    """Writes one tree; nothing of it is visible until its `with` block ends."""

    def create_rows(self, name: str, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> None:
        """Make room for an element that `append_rows` then fills to the last row."""

    def append_rows(self, name: str, block: Array) -> None:
        """Add rows after those already added."""

    def write_array(self, name: str, array: Array) -> None:
        """Write a whole element."""

    def write_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Write the root attributes: texts and whole numbers."""


class Backend(Protocol[P]):
    """Where the trees of a store lie and how one is read and written."""

    name: str
    suffix: str

    def parts_folder(self, store: P) -> P:
        """Return the folder that holds the store's parts."""

    def list_parts(self, store: P) -> list[P]:
        """Return the visible parts, oldest name first."""

    def find_base(self, store: P) -> P | None:
        """Return the compacted tree, if there is one."""

    def read(self, tree: P, *, map_rows: bool) -> Tree:
        """Read one tree; without `map_rows`, `Tree.rows` can tell shapes and types only.

        Raises:
            FileNotFoundError: the tree is gone (compacted meanwhile).
            CorruptStoreError: an element is not what the format says.
            FormatVersionError: a newer version wrote it.
        """

    def write_part(self, store: P, name: str) -> AbstractContextManager[TreeWriter]:
        """Write a part called `name`."""

    def write_base(self, store: P) -> AbstractContextManager[TreeWriter]:
        """Write a new compacted tree that replaces the old one."""

    def remove_parts(self, parts: Sequence[P]) -> None:
        """Remove parts that the compacted tree holds; a reader sees one whole or not at all."""

    def lock(
        self, store: P, *, wait: bool, break_lock: bool = False
    ) -> AbstractContextManager[bool]:
        """Hold the store's lock of compaction; yields False if it is held and `wait` is False.

        Raises:
            LockedError: with `wait`, it is held by a process that cannot be seen from here.
        """

    def tidy(self, store: P) -> None:
        """Make removals last, and remove what a finished compaction leaves behind.

        Called under the store's lock.
        """

    def remove_leftovers(self, store: P) -> None:
        """Remove what dead writers have left, and nothing of a living one."""


class _HasTemporaries(Protocol):
    def temporary_places(self, store: Path) -> list[tuple[Path, str]]:
        """Return (folder, beginning of the names) where a store's temporaries may lie."""


class ShapeOnly:
    """Stands for rows that are not mapped."""

    def __init__(self, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> None:
        self.shape = shape
        self.dtype = dtype

    def __getitem__(self, cut: slice, /) -> Array:
        message = "these rows were not mapped"
        raise RuntimeError(message)


def checked_tree(
    path: AnyPath,
    attributes: Mapping[str, Any],
    elements: Mapping[str, Element],
    arrays: Mapping[str, Array | RowArray],
) -> Tree:
    """Return the tree, its index checksum verified."""
    loaded = {
        name: array
        for name, array in arrays.items()
        if not elements[name].is_rows and isinstance(array, np.ndarray)
    }
    rows = {name: array for name, array in arrays.items() if elements[name].is_rows}
    check_index_checksum(attributes, loaded, path)
    return Tree(path, attributes, loaded, rows)


def new_part_name(existing: Sequence[AnyPath]) -> str:
    """Return a fresh part name that sorts after the existing ones."""
    last = max((int(part.name[:8]) for part in existing), default=0)
    return f"{last + 1:08d}-{uuid.uuid4().hex[:12]}"


def temporary_path(path: Path) -> Path:
    """Return a fresh sibling name that tells which process on which machine is writing it."""
    host = re.sub(r"[^A-Za-z0-9.]", "", socket.gethostname())
    own = f"{TEMPORARY_MARK}{host}-{os.getpid()}-{uuid.uuid4().hex[:12]}"
    return path.with_name(path.name + own)


def remove_abandoned(backend: _HasTemporaries, store: Path) -> list[Path]:
    """Remove the temporaries of writers that are dead, and return their paths.

    A temporary of this machine is removed when its process is gone; one of another machine when
    nothing touched it for a day. One of a living process is never removed.
    """
    removed: list[Path] = []
    for folder, beginning in backend.temporary_places(store):
        if not folder.is_dir():
            continue
        left = [path for path in sorted(folder.iterdir()) if path.name.startswith(beginning)]
        left = [path for path in left if _is_abandoned(path)]
        if left:
            fsync_folder(folder)  # one can be a part whose new name is not on the disk yet
        for path in left:
            remove_tree(path)
        removed += left
    return removed


def remove_tree(path: Path) -> None:
    """Remove a file, or a folder with all in it; gone already is fine."""
    with suppress(FileNotFoundError):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _is_abandoned(path: Path) -> bool:
    found = _TEMPORARY.search(path.name)
    if found is None:
        return False
    if found["host"] == re.sub(r"[^A-Za-z0-9.]", "", socket.gethostname()):
        return not _is_alive(int(found["pid"]))
    try:
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return False
    return age > _ABANDONED_S


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def missing_element(name: str, where: AnyPath) -> CorruptStoreError:
    """Return the error for an element that is not there or is not plain."""
    message = (
        f"{where} must hold the array {name} as plain, uncompressed data of its own, but it does "
        f"not; restore it from a copy, or remove it and extract again"
    )
    return CorruptStoreError(message)


def read_trees(backend: Backend[P], store: P, *, map_rows: bool) -> list[Tree]:
    """Return all trees of a store: the compacted one, if any, then the parts by name.

    The parts are read first. A compaction that ends meanwhile removes parts only after it has put
    its tree in place, so the compacted tree that is found afterwards holds what is missed here.
    """
    for attempt in range(_READ_ATTEMPTS):
        try:
            parts = [backend.read(part, map_rows=map_rows) for part in backend.list_parts(store)]
            base = backend.find_base(store)
            return ([backend.read(base, map_rows=map_rows)] if base else []) + parts
        except FileNotFoundError:
            time.sleep(0.002 * attempt)  # compacted under our hands: look again
        except OSError as error:
            if error.errno not in {errno.EMFILE, errno.ENFILE}:
                raise
            message = (
                f"{store} needs one open file a part, but the system allows no more "
                f"({error.strerror}); raise `ulimit -n`, or end the extraction, which compacts it"
            )
            raise CacheError(message) from error
    message = f"{store} changed {_READ_ATTEMPTS} times while it was being opened; try again"
    raise CacheError(message)
