"""The Zarr v3 backend: one group of uncompressed arrays a tree.

    features/mae.zarr/zarr.json                 its attribute `current` names the compacted group
    features/mae.zarr/rows-00000001-<uid>/      the compacted group
    features/mae.zarr/parts/00000002-<uid>/     parts, while there are any

Written with zarr, read by mapping the chunk files: zarr's own reader takes a missing chunk for
zeros, and decodes whole chunks where a view would do.
"""

import json
import mmap
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..core.files import fsync_folder, make_folder, publish
from .backend import (
    PART_NAME,
    RowArray,
    RowBuffer,
    ShapeOnly,
    Tree,
    TreeWriter,
    checked_tree,
    missing_element,
    remove_tree,
    temporary_path,
)
from .errors import CorruptStoreError
from .schema import Array, Element, elements_of

CHUNK_BYTES = 64 << 20
"""A chunk holds whole rows, at most this many bytes: few files to keep open, few cut videos."""

_GROUP_NAME = re.compile(r"rows-\d{8}-[0-9a-f]{12}\Z")


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


class _ZarrTreeWriter:
    def __init__(self, folder: Path) -> None:
        import zarr  # writing only: readers need not load it

        self._create_array = zarr.create_array
        self._store = zarr.storage.LocalStore(folder)
        self._group = zarr.create_group(self._store, zarr_format=3, overwrite=False)
        self._rows: dict[str, Any] = {}
        self._buffers: dict[str, RowBuffer] = {}

    def _create(self, name: str, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> Any:  # noqa: ANN401
        from zarr.codecs import BytesCodec

        # Chunks of equal size: a last chunk is stored whole, however few of its rows are used.
        n_bytes = int(np.prod(shape)) * dtype.itemsize
        rows = max(1, -(-shape[0] // max(1, -(-n_bytes // CHUNK_BYTES))))
        return self._create_array(
            self._store,
            name=name,
            shape=shape,
            dtype=dtype,
            chunks=(rows, *shape[1:]),
            compressors=None,
            filters=None,
            serializer=BytesCodec(endian="little"),
            # Else a chunk of zeros is left out, which readers could not tell from a lost one.
            config={"write_empty_chunks": True},
        )

    def create_rows(self, name: str, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> None:
        array = self._rows[name] = self._create(name, shape, dtype)
        self._buffers[name] = RowBuffer(shape, dtype, array.chunks[0])

    def append_rows(self, name: str, block: Array) -> None:
        for first, rows in self._buffers[name].add(block):
            self._rows[name][first : first + len(rows)] = rows

    def write_array(self, name: str, array: Array) -> None:
        target = self._create(name, array.shape, array.dtype)
        if array.size:
            target[...] = array

    def write_attributes(self, attributes: Mapping[str, Any]) -> None:
        self._group.attrs.put(dict(attributes))

    def check_filled(self) -> None:
        for name, buffer in self._buffers.items():
            buffer.check_full(name)


@contextmanager
def write_group(path: Path) -> Iterator[TreeWriter]:
    """Write a tree that appears as the folder `path` when the block ends without an exception."""
    temporary = temporary_path(path)
    try:
        writer = _ZarrTreeWriter(temporary)
        yield writer
        writer.check_filled()
        fsync_tree(temporary)  # zarr's local store never does
        publish(temporary, path)
    except BaseException:
        remove_tree(temporary)
        raise


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
        root = store / "zarr.json"
        try:
            text = root.read_text()
        except (FileNotFoundError, NotADirectoryError):
            return None
        attributes = _read_node(text, "group", root).get("attributes", {})
        elements_of(attributes, store)
        name = attributes.get("current")
        if not isinstance(name, str) or not _GROUP_NAME.match(name):
            message = f"{root} must name a group rows-… as its attribute current, but has {name!r}"
            raise CorruptStoreError(message)
        return store / name

    def temporary_places(self, store: Path) -> list[tuple[Path, str]]:
        """Return (folder, beginning of the names) where this store's temporaries may lie."""
        return [(store, ""), (self.parts_folder(store), "")]

    def read(self, tree: Path, *, map_rows: bool) -> Tree:
        """Read one group; see `Backend.read`."""
        try:
            return _read_group(tree, map_rows=map_rows)
        except FileNotFoundError as error:
            if not tree.is_dir():
                raise
            message = (
                f"{error.filename} must be there, but is missing; restore it from a copy, or "
                f"remove {tree} and extract again"
            )
            raise CorruptStoreError(message) from error

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
        before = [int(path.name[5:13]) for path in store.iterdir() if _GROUP_NAME.match(path.name)]
        name = f"rows-{max(before, default=0) + 1:08d}-{os.urandom(6).hex()}"
        with write_group(store / name) as writer:
            yield writer
        node = json.loads((store / name / "zarr.json").read_text())
        kept = {key: node["attributes"][key] for key in ("format", "format_version")}
        node["attributes"] = {**kept, "current": name}
        temporary = temporary_path(store / "zarr.json")
        with temporary.open("wb") as stream:
            stream.write((json.dumps(node, indent=2) + "\n").encode())
            stream.flush()
            os.fsync(stream.fileno())
        publish(temporary, store / "zarr.json")

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

    def tidy(self, store: Path) -> None:
        """Remove compacted groups that the root no longer names."""
        current = self.find_base(store)
        groups = [path for path in sorted(store.iterdir()) if _GROUP_NAME.match(path.name)]
        self.remove_parts([path for path in groups if path != current])


def _read_node(text: str, kind: str, where: Path) -> dict[str, Any]:
    """Return the metadata of a Zarr v3 group or array."""
    try:
        node = json.loads(text)
    except json.JSONDecodeError as error:
        message = f"{where} must be JSON, but {error}; restore it from a copy"
        raise CorruptStoreError(message) from error
    if not isinstance(node, dict) or (node.get("zarr_format"), node.get("node_type")) != (3, kind):
        message = f"{where} must describe a Zarr v3 {kind}, but does not; restore it from a copy"
        raise CorruptStoreError(message)
    return node


def _read_group(tree: Path, *, map_rows: bool) -> Tree:
    node = _read_node((tree / "zarr.json").read_text(), "group", tree / "zarr.json")
    attributes = node.get("attributes", {})
    elements = elements_of(attributes, tree)
    arrays: dict[str, Array | RowArray] = {}
    for name, element in elements.items():
        is_mapped = element.is_rows and map_rows
        arrays[name] = _read_array(tree, name, element, is_mapped=is_mapped)
    return checked_tree(tree, attributes, elements, arrays)


def _read_array(tree: Path, name: str, element: Element, *, is_mapped: bool) -> Array | RowArray:
    folder = tree / name
    node = _read_node((folder / "zarr.json").read_text(), "array", folder / "zarr.json")
    try:
        shape = tuple(int(size) for size in node["shape"])
        dtype = np.dtype(str(node["data_type"]))
        chunk = tuple(int(n) for n in node["chunk_grid"]["configuration"]["chunk_shape"])
        codecs = [codec["name"] for codec in node["codecs"]]
        endian = node["codecs"][0].get("configuration", {}).get("endian", "little")
        separator = node["chunk_key_encoding"]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise missing_element(name, tree) from error
    is_plain = (
        codecs == ["bytes"]
        and endian == "little"
        and node["chunk_grid"]["name"] == "regular"
        and separator == {"name": "default", "configuration": {"separator": "/"}}
        and len(chunk) == len(shape)
        and chunk[0] >= 1
        and chunk[1:] == shape[1:]
    )
    if not is_plain:
        raise missing_element(name, tree)
    element.check(name, dtype, shape, folder)
    n_chunks = -(-shape[0] // chunk[0])
    rest = "/0" * (len(shape) - 1)
    files = [folder / f"c/{n}{rest}" for n in range(n_chunks)]
    size = int(np.prod(chunk)) * dtype.itemsize
    if element.is_rows and not is_mapped:
        for path in files:
            _check_size(path, path.stat().st_size, size)
        return ShapeOnly(shape, dtype)
    if not element.is_rows or name == "frame":
        # Frame numbers are few bytes; a map of them would cost an open file each.
        array = np.concatenate(
            [np.empty((0, *shape[1:]), dtype), *(_load(path, size, chunk, dtype) for path in files)]
        )[: shape[0]]
        array.flags.writeable = False
        return array
    chunks = [_map(path, size, chunk, dtype) for path in files]
    return ChunkedRows(chunks, shape, dtype)


def _load(path: Path, size: int, chunk: tuple[int, ...], dtype: "np.dtype[Any]") -> Array:
    data = path.read_bytes()
    _check_size(path, len(data), size)
    return np.frombuffer(data, dtype).reshape(chunk)


def _map(path: Path, size: int, chunk: tuple[int, ...], dtype: "np.dtype[Any]") -> Array:
    with path.open("rb") as stream:
        _check_size(path, os.fstat(stream.fileno()).st_size, size)
        return np.ndarray(chunk, dtype, mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_READ))


def _check_size(path: Path, found: int, needed: int) -> None:
    if found != needed:
        message = f"{path} must have {needed} bytes, but has {found}; restore it from a copy"
        raise CorruptStoreError(message)
