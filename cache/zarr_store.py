"""The Zarr v3 backend in a local folder: one group of uncompressed arrays a tree.

    features/mae.zarr/zarr.json                 its attribute `current` names the compacted group
    features/mae.zarr/rows-00000001-<uid>/      the compacted group
    features/mae.zarr/parts/00000002-<uid>/     parts, while there are any

Read by mapping the chunk files: zarr's own reader takes a missing chunk for zeros, and decodes
whole chunks where a view would do.
"""

import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

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
from .lock import compaction_lock
from .plain_files import check_no_link, plain_file, read_plain
from .schema import Array, Element, elements_of
from .zarr_tree import (
    GROUP_NAME,
    NODE,
    ArrayNode,
    ZarrTreeWriter,
    check_size,
    current_group,
    missing_chunk,
    new_group_name,
    read_node,
    root_node,
)


class ChunkedRows:
    """Rows that lie in mapped chunk files; a cut inside one chunk is a view, others are copied."""

    def __init__(self, chunks: list[Array], shape: tuple[int, ...], dtype: "np.dtype[Any]") -> None:
        self._chunks = chunks
        self.shape = shape
        self.dtype = dtype

    def __getitem__(self, cut: slice, /) -> Array:
        first, last, _ = cut.indices(self.shape[0])
        if first >= last:
            empty: Array = np.empty((0, *self.shape[1:]), self.dtype)
            empty.flags.writeable = False
            return empty
        rows = len(self._chunks[0])
        blocks = [
            self._chunks[n][max(first - n * rows, 0) : last - n * rows]
            for n in range(first // rows, (last - 1) // rows + 1)
        ]
        if len(blocks) == 1:
            return blocks[0]
        joined = np.concatenate(blocks)
        joined.flags.writeable = False
        return joined


@contextmanager
def write_group(path: Path) -> Iterator[TreeWriter]:
    """Write a tree that appears as the folder `path` when the block ends without an exception."""
    temporary = temporary_path(path)
    try:
        writer = ZarrTreeWriter(lambda key, data: _put(temporary / key, data), {})
        yield writer
        writer.check_filled()
        writer.publish()
        fsync_tree(temporary)
        publish(temporary, path)
    except BaseException:
        remove_tree(temporary)
        raise


def _put(path: Path, data: bytes | memoryview) -> None:
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True)
    view = memoryview(data).cast("B")
    with path.open("wb", buffering=0) as file:
        done = 0
        while done < len(view):
            n = file.write(view[done : done + WRITTEN_AT_ONCE])
            begin_writeback(file.fileno(), done, n)
            done += n


def fsync_tree(folder: Path) -> None:
    """Bring every file and folder under `folder` to the disk."""
    for path, _, names in os.walk(folder, topdown=False):
        for name in names:
            descriptor = os.open(Path(path) / name, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        fsync_folder(Path(path))


class ZarrBackend:
    """One Zarr v3 group a tree, in one folder a store."""

    name = "zarr"
    suffix = ".zarr"

    def parts_folder(self, store: Path) -> Path:
        """Return the folder that holds the store's parts."""
        return store / "parts"

    def list_parts(self, store: Path) -> list[Path]:
        """Return the visible parts, oldest name first."""
        try:
            paths = sorted(self.parts_folder(store).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [path for path in paths if PART_NAME.match(path.name)]

    def find_base(self, store: Path) -> Path | None:
        """Return the group that the root names, if there is one."""
        try:
            return store / current_group(read_plain(store / NODE), store)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def temporary_places(self, store: Path) -> list[tuple[Path, str]]:
        """Return (folder, beginning of the names) where this store's temporaries may lie."""
        return [(store.parent, store.name), (store, ""), (self.parts_folder(store), "")]

    def read(self, tree: Path, *, map_rows: bool) -> Tree:
        """Read one group; see `Backend.read`."""
        try:
            return _read_group(tree, map_rows=map_rows)
        except FileNotFoundError as error:
            if not tree.is_dir():
                raise
            raise missing_chunk(error.filename, tree) from error

    @contextmanager
    def write_part(self, store: Path, name: str) -> Iterator[TreeWriter]:
        """Write a part called `name`."""
        folder = self.parts_folder(store)
        make_folder(folder)
        with write_group(folder / name) as writer:
            yield writer

    @contextmanager
    def write_base(self, store: Path) -> Iterator[TreeWriter]:
        """Write a new compacted group and let the root name it."""
        make_folder(store)
        name = new_group_name((path.name for path in store.iterdir()), os.urandom(6).hex())
        with write_group(store / name) as writer:
            yield writer
        self.name_base(store / name)

    def name_base(self, group: Path) -> None:
        """Let the root name a group that is whole."""
        store, name = group.parent, group.name
        attributes = read_node(read_plain(group / NODE), "group", group / NODE)
        temporary = temporary_path(store / NODE)
        with temporary.open("wb") as stream:
            stream.write(root_node(attributes["attributes"], name))
            stream.flush()
            os.fsync(stream.fileno())
        publish(temporary, store / NODE)

    def remove_parts(self, parts: Sequence[Path]) -> None:
        """Remove parts: first their names, so that no reader finds half of one.

        Nor does one after a power cut: the names are gone from the disk before the first file is.
        """
        doomed = []
        for part in parts:
            new = temporary_path(part)
            with suppress(FileNotFoundError):
                part.replace(new)
                doomed.append(new)
        for folder in {path.parent for path in doomed}:
            fsync_folder(folder)
        for path in doomed:
            remove_tree(path)

    def lock(
        self, store: Path, *, wait: bool, break_lock: bool = False
    ) -> AbstractContextManager[bool]:
        """Hold the lock of compaction; see `Backend.lock`."""
        return compaction_lock(self.parts_folder(store), wait=wait, break_lock=break_lock)

    def tidy(self, store: Path) -> None:
        """Remove compacted groups that the root no longer names."""
        if self.parts_folder(store).is_dir():
            fsync_folder(self.parts_folder(store))
        current = self.find_base(store)
        if current is not None:
            self.remove_parts([path for path in self.groups(store) if path != current])

    def groups(self, store: Path) -> list[Path]:
        """Return the compacted groups that are there, named by the root or not, oldest first."""
        return [path for path in sorted(store.iterdir()) if GROUP_NAME.match(path.name)]

    def remove_unnamed(self, store: Path) -> None:
        """Remove, where the root names no group, all groups, and the folders if they are empty."""
        self.remove_parts(self.groups(store))
        for folder in (self.parts_folder(store), store):
            with suppress(OSError):  # something else is in it
                folder.rmdir()

    def remove_leftovers(self, store: Path) -> None:
        """Remove what dead writers left."""
        remove_abandoned(self, store)


def _read_group(tree: Path, *, map_rows: bool) -> Tree:
    check_no_link(tree, *([tree.parent] if tree.parent.name == "parts" else []))
    node = read_node(read_plain(tree / NODE), "group", tree / NODE)
    attributes = node.get("attributes", {})
    elements = elements_of(attributes, tree)
    check_no_link(*{(tree / name).parent for name in elements if "/" in name})
    arrays: dict[str, Array | RowArray] = {}
    for name, element in elements.items():
        is_mapped = element.is_rows and map_rows
        arrays[name] = _read_array(tree, name, element, is_mapped=is_mapped)
    return checked_tree(tree, attributes, elements, arrays)


def _read_array(tree: Path, name: str, element: Element, *, is_mapped: bool) -> Array | RowArray:
    folder = tree / name
    check_no_link(folder)
    node = ArrayNode.parse(read_plain(folder / NODE), name, element, tree)
    files = [folder / key for key in node.chunk_keys]
    check_no_link(*(files[0].parents[: len(node.shape)] if files else ()))
    if element.is_rows and not is_mapped:
        for path in files:
            with plain_file(path) as stream:
                check_size(path, os.fstat(stream.fileno()).st_size, node.chunk_bytes)
        return ShapeOnly(node.shape, node.dtype)
    if not element.is_rows or name == "frame":
        # Frame numbers are few bytes; a map of them would cost an open file each.
        return node.joined((path, read_plain(path)) for path in files)
    return ChunkedRows([_map(path, node) for path in files], node.shape, node.dtype)


def _map(path: Path, node: ArrayNode) -> Array:
    size = node.chunk_bytes
    with plain_file(path) as stream:
        check_size(path, os.fstat(stream.fileno()).st_size, size)
        mapped = mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_READ)
        return np.ndarray(node.chunk, node.dtype, mapped)
