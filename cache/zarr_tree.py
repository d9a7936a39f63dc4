"""A tree as a Zarr v3 group of plain arrays, wherever its objects lie.

Nodes are written and read here, without zarr: a plain array is a few fields of JSON and chunks
that are nothing but its bytes.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np

from .backend import missing_element
from .errors import CorruptStoreError
from .object_path import AnyPath
from .row_buffer import RowBuffer
from .schema import Array, Element, elements_of

CHUNK_BYTES = 64 << 20
"""A chunk holds whole rows, at most this many bytes: few files to keep open, few cut videos."""

MOST_CHUNKS: Final = 1_000_000
"""Of an array: a node that claims more would have their names fill the memory."""

NODE: Final = "zarr.json"
GROUP_NAME: Final = re.compile(r"rows-\d{8}-[0-9a-f]{12}\Z")

_KEYS: Final = {"name": "default", "configuration": {"separator": "/"}}


@dataclass(frozen=True)
class ArrayNode:
    """What one array is and how it is cut into chunks."""

    shape: tuple[int, ...]
    dtype: "np.dtype[Any]"
    chunk: tuple[int, ...]
    """Shape of each chunk; only the first axis is split, and the last chunk is stored whole."""

    @classmethod
    def of(cls, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> Self:
        """Return a new array's node, its chunks of equal size."""
        n_bytes = int(np.prod(shape)) * dtype.itemsize
        rows = max(1, -(-shape[0] // max(1, -(-n_bytes // CHUNK_BYTES))))
        return cls(shape, dtype, (rows, *shape[1:]))

    @classmethod
    def parse(cls, text: str | bytes, name: str, element: Element, tree: AnyPath) -> Self:
        """Return the node that `text` describes.

        Raises:
            CorruptStoreError: it is not one that the element may have, or not plain.
        """
        node = read_node(text, "array", tree / name / NODE)
        try:
            shape = tuple(int(size) for size in node["shape"])
            dtype = np.dtype(str(node["data_type"]))
            chunk = tuple(int(n) for n in node["chunk_grid"]["configuration"]["chunk_shape"])
            codecs = [codec["name"] for codec in node["codecs"]]
            endian = node["codecs"][0].get("configuration", {}).get("endian", "little")
            keys = node["chunk_key_encoding"]
            grid = node["chunk_grid"]["name"]
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise missing_element(name, tree) from error
        is_plain = (
            codecs == ["bytes"]
            and endian == "little"
            and grid == "regular"
            and keys == _KEYS
            and len(chunk) == len(shape)
            and chunk[:1] >= (1,)
            and chunk[1:] == shape[1:]
            and all(size >= 0 for size in shape)
            and shape[0] <= chunk[0] * MOST_CHUNKS
        )
        if not is_plain:
            raise missing_element(name, tree)
        element.check(name, dtype, shape, tree / name)
        return cls(shape, dtype, chunk)

    def to_json(self, attributes: Mapping[str, Any]) -> bytes:
        """Return the node as its object holds it."""
        node = {
            "zarr_format": 3,
            "node_type": "array",
            "shape": self.shape,
            "data_type": self.dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": self.chunk}},
            "chunk_key_encoding": _KEYS,
            "fill_value": self.dtype.type(0).item(),
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
            "attributes": dict(attributes),
        }
        return _json(node)

    @property
    def chunk_bytes(self) -> int:
        """Size of each chunk."""
        return math.prod(self.chunk) * self.dtype.itemsize

    @property
    def chunk_keys(self) -> list[str]:
        """Keys of all chunks, beginning at the array."""
        return [self.chunk_key(n) for n in range(-(-self.shape[0] // self.chunk[0]))]

    def chunk_key(self, number: int) -> str:
        """Return the key of one chunk."""
        return f"c/{number}" + "/0" * (len(self.shape) - 1)

    def joined(self, chunks: Iterable[tuple[AnyPath, bytes]]) -> Array:
        """Return the whole array, read-only, of (path, bytes) of each of its chunks."""
        blocks: list[Array] = [np.empty((0, *self.shape[1:]), self.dtype)]
        for path, data in chunks:
            check_size(path, len(data), self.chunk_bytes)
            blocks.append(np.frombuffer(data, self.dtype).reshape(self.chunk))
        array = np.concatenate(blocks)[: self.shape[0]]
        array.flags.writeable = False
        return array


class ZarrTreeWriter:
    """Writes one tree as objects; the group's own node, which makes it a tree, comes last.

    Args:
        put: stores bytes under a key of the group; what it is given is its own only until it
            returns.
        stamp: attributes of every node but the group's own.
    """

    def __init__(
        self, put: Callable[[str, bytes | memoryview], None], stamp: Mapping[str, Any]
    ) -> None:
        self.attributes: dict[str, Any] = {}
        """Root attributes, once they are written."""
        self._put = put
        self._stamp = stamp
        self._groups: set[str] = set()
        self._nodes: dict[str, ArrayNode] = {}
        self._buffers: dict[str, RowBuffer] = {}

    def create_rows(self, name: str, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> None:
        """Make room for an element; see `TreeWriter`."""
        node = self._create(name, shape, dtype)
        self._buffers[name] = RowBuffer(shape, dtype, node.chunk[0], is_exact=True)

    def append_rows(self, name: str, block: Array) -> None:
        """Add rows after those already added."""
        for first, rows in self._buffers[name].add(block):
            self._put_chunk(name, first, rows)

    def write_array(self, name: str, array: Array) -> None:
        """Write a whole element."""
        rows = self._create(name, array.shape, array.dtype).chunk[0]
        for first in range(0, len(array), rows):
            self._put_chunk(name, first, array[first : first + rows])

    def write_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Take the root attributes, for `publish`."""
        self.attributes = dict(attributes)

    def check_filled(self) -> None:
        """Raise ValueError unless every row was given."""
        for name, buffer in self._buffers.items():
            buffer.check_full(name)

    def publish(self) -> None:
        """Write the group's own node."""
        self._put(NODE, group_node(self.attributes))

    def _create(self, name: str, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> ArrayNode:
        group = name.rpartition("/")[0]
        if group and group not in self._groups:
            self._groups.add(group)
            self._put(f"{group}/{NODE}", group_node(self._stamp))
        node = self._nodes[name] = ArrayNode.of(shape, np.dtype(dtype))
        self._put(f"{name}/{NODE}", node.to_json(self._stamp))
        return node

    def _put_chunk(self, name: str, first: int, rows: Array) -> None:
        node = self._nodes[name]
        data = np.ascontiguousarray(rows, node.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
        key = f"{name}/{node.chunk_key(first // node.chunk[0])}"
        is_whole = data.nbytes == node.chunk_bytes
        self._put(key, data.data if is_whole else data.tobytes().ljust(node.chunk_bytes, b"\0"))


def group_node(attributes: Mapping[str, Any]) -> bytes:
    """Return a group's node as its object holds it."""
    return _json({"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)})


def root_node(attributes: Mapping[str, Any], current: str) -> bytes:
    """Return the node of a store whose compacted group is `current` and has these attributes."""
    kept = {key: attributes[key] for key in ("format", "format_version")}
    return group_node({**kept, "current": current})


def current_group(text: str | bytes, store: AnyPath) -> str:
    """Return the name of the compacted group that a store's root node gives.

    Raises:
        CorruptStoreError: it gives none.
        FormatVersionError: a newer version wrote it.
    """
    root = store / NODE
    attributes = read_node(text, "group", root).get("attributes", {})
    elements_of(attributes, store)
    name = attributes.get("current")
    if not isinstance(name, str) or not GROUP_NAME.match(name):
        message = f"{root} must name a group rows-… as its attribute current, but has {name!r}"
        raise CorruptStoreError(message)
    return name


def new_group_name(existing: Iterable[str], unique: str) -> str:
    """Return a name for a compacted group, numbered after those among `existing`."""
    numbers = [group_number(name) for name in existing if GROUP_NAME.match(name)]
    return f"rows-{max(numbers, default=0) + 1:08d}-{unique}"


def group_number(name: str) -> int:
    """Return the number in the name of a compacted group."""
    return int(name[5:13])


def read_node(text: str | bytes, kind: str, where: AnyPath) -> dict[str, Any]:
    """Return the metadata of a Zarr v3 `group` or `array`."""
    try:
        node = json.loads(text)
    except (ValueError, RecursionError) as error:
        message = f"{where} must be JSON, but {error}; restore it from a copy"
        raise CorruptStoreError(message) from error
    if (
        not isinstance(node, dict)
        or (node.get("zarr_format"), node.get("node_type")) != (3, kind)
        or not isinstance(node.get("attributes", {}), dict)
    ):
        message = f"{where} must describe a Zarr v3 {kind}, but does not; restore it from a copy"
        raise CorruptStoreError(message)
    return node


def check_size(path: AnyPath, found: int, needed: int) -> None:
    """Raise CorruptStoreError unless a chunk has the size that it must have."""
    if found != needed:
        message = f"{path} must have {needed} bytes, but has {found}; restore it from a copy"
        raise CorruptStoreError(message)


def missing_chunk(path: object, tree: AnyPath) -> CorruptStoreError:
    """Return the error for an object of a tree that is not there."""
    message = (
        f"{path} must be there, but is missing; restore it from a copy, or remove {tree} and "
        f"extract again"
    )
    return CorruptStoreError(message)


def _json(node: Mapping[str, Any]) -> bytes:
    return (json.dumps(node, indent=2) + "\n").encode()
