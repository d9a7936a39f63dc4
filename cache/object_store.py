"""The Zarr v3 backend on object storage, where nothing can be renamed.

    features/mae.zarr/zarr.json                 its attribute `current` names the compacted group
    features/mae.zarr/rows-00000001-<uid>/      the compacted group
    features/mae.zarr/parts/00000002-<uid>/     parts, while there are any
    features/mae.zarr/parts/lock                while a compaction runs

A group without its own `zarr.json` is not there: that object is the last to be written and the
first to be removed.
"""

import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np

from . import objects
from .backend import PART_NAME, RowArray, ShapeOnly, Tree, TreeWriter, checked_tree
from .errors import CacheError, CorruptStoreError
from .object_lock import ObjectLock, object_lock
from .object_path import ObjectPath
from .schema import Array, elements_of
from .zarr_tree import (
    GROUP_NAME,
    NODE,
    ArrayNode,
    ZarrTreeWriter,
    check_size,
    current_group,
    group_number,
    missing_chunk,
    new_group_name,
    read_node,
    root_node,
)

ABANDONED: Final = timedelta(days=1)
"""Age after which a group that is not there is taken for a dead writer's."""
_BEGUN: Final = "begun"
_BATCH_BYTES: Final = 8 << 20
"""Objects are put together once they are as many bytes: one by one, a part would take seconds."""


class FetchedRows:
    """Rows in chunk objects; a cut fetches the bytes that it needs, and nothing is kept."""

    def __init__(self, tree: ObjectPath, name: str, node: ArrayNode) -> None:
        self._tree = tree
        self._name = name
        self._node = node
        self.shape = node.shape
        self.dtype = node.dtype

    def __getitem__(self, cut: slice, /) -> Array:
        first, last, _ = cut.indices(self.shape[0])
        rows = self._node.chunk[0]
        row_bytes = self._node.chunk_bytes // rows
        ranges = [
            (
                self._tree / self._name / self._node.chunk_key(n),
                max(first - n * rows, 0) * row_bytes,
                min(last - n * rows, rows) * row_bytes,
            )
            for n in range(first // rows, -(-last // rows))
            if first < last
        ]
        found = []
        for (path, start, stop), data in zip(ranges, objects.read_ranges(ranges), strict=True):
            if data is None:
                raise self._lost(path)
            check_size(path, start + len(data), stop)
            found.append(data)
        data = found[0] if len(found) == 1 else b"".join(found)
        return np.frombuffer(data, self.dtype).reshape(-1, *self.shape[1:])

    def _lost(self, path: ObjectPath) -> CacheError:
        error = _missing(path, self._tree)
        if isinstance(error, CorruptStoreError):
            return error
        message = (
            f"{path} must be there while the store is open, but {self._tree} was compacted and "
            f"removed since; open the store again"
        )
        return CacheError(message)


class ObjectBackend:
    """One Zarr v3 group a tree, under one key a store."""

    name = "zarr"
    suffix = ".zarr"

    def __init__(self) -> None:
        self._lock: ObjectLock | None = None

    def parts_folder(self, store: ObjectPath) -> ObjectPath:
        """Return what the keys of the store's parts begin with."""
        return store / "parts"

    def list_parts(self, store: ObjectPath) -> list[ObjectPath]:
        """Return the visible parts, oldest name first."""
        folder = self.parts_folder(store)
        parts = [folder / name for name in objects.names_in(folder) if PART_NAME.match(name)]
        there = objects.are_there([part / NODE for part in parts])
        return [part for part, is_there in zip(parts, there, strict=True) if is_there]

    def find_base(self, store: ObjectPath) -> ObjectPath | None:
        """Return the group that the root names, if there is one."""
        text = objects.read(store / NODE)
        return None if text is None else store / current_group(text, store)

    def read(self, tree: ObjectPath, *, map_rows: bool) -> Tree:
        """Read one group, its rows left where they are; see `Backend.read`."""
        text = objects.read(tree / NODE)
        if text is None:
            raise FileNotFoundError(str(tree / NODE))
        attributes = read_node(text, "group", tree / NODE).get("attributes", {})
        elements = elements_of(attributes, tree)
        texts = _read_all([tree / name / NODE for name in elements], tree)
        nodes = {
            name: ArrayNode.parse(text, name, element, tree)
            for (name, element), text in zip(elements.items(), texts, strict=True)
        }
        # A request for each of many chunks would take long; a listing has a thousand keys.
        keys = objects.keys_under(tree)
        for name, node in nodes.items():
            for key in node.chunk_keys:
                if f"{name}/{key}" not in keys:
                    raise _missing(tree / name / key, tree)
        arrays: dict[str, Array | RowArray] = {}
        for name, node in nodes.items():
            if elements[name].is_rows and not map_rows:
                arrays[name] = ShapeOnly(node.shape, node.dtype)
            elif elements[name].is_rows and name != "frame":
                arrays[name] = FetchedRows(tree, name, node)
        rest = [name for name in nodes if name not in arrays]
        paths = {name: [tree / name / key for key in nodes[name].chunk_keys] for name in rest}
        chunks = iter(_read_all([path for name in rest for path in paths[name]], tree))
        for name in rest:
            arrays[name] = nodes[name].joined((path, next(chunks)) for path in paths[name])
        return checked_tree(tree, attributes, elements, arrays)

    @contextmanager
    def write_part(self, store: ObjectPath, name: str) -> Iterator[TreeWriter]:
        """Write a part called `name`."""
        with write_group(self.parts_folder(store) / name) as writer:
            yield writer

    @contextmanager
    def write_base(self, store: ObjectPath) -> Iterator[TreeWriter]:
        """Write a new compacted group and let the root name it.

        Raises:
            LockedError: the lock was broken meanwhile; the root is as it was.
        """
        name = new_group_name(objects.names_in(store), uuid.uuid4().hex[:12])
        with write_group(store / name) as writer:
            yield writer
        if self._lock is not None:
            self._lock.check()
        objects.write(store / NODE, root_node(writer.attributes, name))

    def remove_parts(self, parts: Sequence[ObjectPath]) -> None:
        """Remove parts that the compacted group holds."""
        for part in parts:
            _remove_group(part)

    @contextmanager
    def lock(self, store: ObjectPath, *, wait: bool, break_lock: bool = False) -> Iterator[bool]:
        """Hold the lock of compaction; see `Backend.lock`."""
        path = self.parts_folder(store) / "lock"
        with object_lock(path, wait=wait, break_lock=break_lock) as self._lock:
            try:
                yield self._lock is not None
            finally:
                self._lock = None

    def tidy(self, store: ObjectPath) -> None:
        """Remove compacted groups that were current once, or that nobody finished for a day."""
        current = self.find_base(store)
        if current is None:
            return
        for group in self._groups(store):
            is_there = objects.are_there([group / NODE])[0]
            is_superseded = is_there and group_number(group.name) < group_number(current.name)
            if group != current and (is_superseded or _is_abandoned(group)):
                _remove_group(group)

    def remove_leftovers(self, store: ObjectPath) -> None:
        """Remove groups without a node of their own that were begun more than a day ago."""
        folder = self.parts_folder(store)
        parts = [folder / name for name in objects.names_in(folder) if PART_NAME.match(name)]
        groups = [*parts, *self._groups(store)]
        there = objects.are_there([group / NODE for group in groups])
        for group, is_there in zip(groups, there, strict=True):
            if not is_there and _is_abandoned(group):
                _remove_group(group)

    def _groups(self, store: ObjectPath) -> list[ObjectPath]:
        return [store / name for name in objects.names_in(store) if GROUP_NAME.match(name)]


class _Batch:
    """Puts the objects of a group in batches, in each its nodes first: they tell its age."""

    def __init__(self, group: ObjectPath) -> None:
        self._group = group
        self._nodes: list[tuple[ObjectPath, bytes]] = []
        self._chunks: list[tuple[ObjectPath, bytes]] = []
        self._n_bytes = 0

    def put(self, key: str, data: bytes | memoryview) -> None:
        """Take an object; it is there after the next `flush`."""
        items = self._nodes if key.endswith(NODE) else self._chunks
        items.append((self._group / key, bytes(data)))
        self._n_bytes += len(data)
        if self._n_bytes >= _BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Put what was taken."""
        for items in (self._nodes, self._chunks):
            objects.write_many(items)
            items.clear()
        self._n_bytes = 0


@contextmanager
def write_group(path: ObjectPath) -> Iterator[ZarrTreeWriter]:
    """Write a tree that is there when the block ends without an exception."""
    begun = _now()
    stamp = {_BEGUN: begun.isoformat(timespec="seconds")}
    batch = _Batch(path)
    try:
        writer = ZarrTreeWriter(batch.put, stamp)
        yield writer
        writer.check_filled()
        batch.flush()
        if _now() - begun > ABANDONED / 2:
            message = (
                f"{path} must be written within {ABANDONED / 2}, but took {_now() - begun}: other "
                f"writers may take it for abandoned; run the same command again"
            )
            raise CacheError(message)
    except BaseException:
        with suppress(Exception):  # else a later writer does it
            _remove_group(path)
        raise
    # Not in the block above: if this fails, nobody can say whether the object is there.
    writer.publish()
    batch.flush()


def _now() -> datetime:
    return datetime.now(UTC)


def _is_abandoned(group: ObjectPath) -> bool:
    """Return whether a group was begun longer ago than a writer may take; False if none can say."""
    for text in objects.read_many([group / key for key in _nodes_of(objects.keys_under(group))]):
        with suppress(CorruptStoreError, ValueError, TypeError, KeyError):
            begun = datetime.fromisoformat(_attributes(text)[_BEGUN])
            return _now() - begun > ABANDONED
    return False


def _attributes(node: bytes | None) -> dict[str, Any]:
    return dict(json.loads(node or b"{}")["attributes"])


def _nodes_of(keys: set[str]) -> list[str]:
    """Return the keys of the nodes inside a group, its own left out."""
    return sorted(key for key in keys if key.endswith(f"/{NODE}"))


def _remove_group(group: ObjectPath) -> None:
    """Remove a group: its own node first, so no reader finds half; those that tell its age last."""
    keys = objects.keys_under(group)
    nodes = _nodes_of(keys)
    for stage in ({NODE} & keys, keys - {NODE} - set(nodes), nodes):
        objects.remove_many([group / key for key in sorted(stage)])


def _read_all(paths: list[ObjectPath], tree: ObjectPath) -> list[bytes]:
    """Return the bytes of objects that must all be there."""
    found = []
    for path, data in zip(paths, objects.read_many(paths), strict=True):
        if data is None:
            raise _missing(path, tree)
        found.append(data)
    return found


def _missing(path: ObjectPath, tree: ObjectPath) -> FileNotFoundError | CorruptStoreError:
    """Return the error for an object that is not there: damage, unless its tree was removed."""
    if objects.read(tree / NODE) is None:
        return FileNotFoundError(str(path))
    return missing_chunk(path, tree)
