"""A table of labels written as a tree, and read from one."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backend import Tree
from .errors import CacheError, CorruptStoreError
from .label_table import LabelTable
from .locate import backend_of, check_free
from .object_path import AnyPath, as_path
from .room import room_needed
from .schema import FORMAT_VERSION, LABEL_ELEMENTS, LABELS, index_checksum, pack, unpack
from .spec import canonical_json


def write_labels(
    path: AnyPath | str, table: LabelTable, *, replaced: Mapping[str, str] | None = None
) -> AnyPath:
    """Write the labels store at `path`, whole or not at all, in place of an older one.

    Args:
        path: ends in .h5 or .zarr; the name starts with `labels`.
        table: what to store.
        replaced: of a store whose other form is about to be removed, what `replacing` says of it.

    Raises:
        CacheError: the name does not start with `labels`.
        CorruptStoreError: the table contradicts itself.
        StoreExistsError: a store of the other backend has the name.
    """
    path = as_path(path)
    backend = backend_of(path)
    if not path.stem.startswith("labels"):
        message = f"the name of a labels store starts with 'labels', but got {path}; rename it"
        raise CacheError(message)
    if replaced is None:
        check_free(path)
    table.check(path)
    arrays: dict[str, NDArray[Any]] = {}
    for name, element in LABEL_ELEMENTS.items():
        if name.endswith(("_bytes", "_offset")):
            continue
        attribute = name.replace("rows/", "row_").replace("index/", "")
        arrays[name] = np.asarray(getattr(table, attribute), element.dtypes[0])
    arrays["index/id_bytes"], arrays["index/id_offset"] = pack(table.videos)
    arrays["rows/path_bytes"], arrays["rows/path_offset"] = pack(table.row_path)
    attributes = {
        "format": LABELS,
        "format_version": FORMAT_VERSION[LABELS],
        "fingerprint": table.fingerprint,
        "meta": canonical_json(table.meta),
        **(replaced or {}),
    }
    attributes["checksum"] = index_checksum(attributes, arrays)
    with room_needed(path):
        backend.remove_leftovers(path)
        with backend.write_base(path) as writer:
            for name, array in arrays.items():
                writer.write_array(name, array)
            writer.write_attributes(attributes)
        backend.tidy(path)
    return path


def read_table(tree: Tree) -> LabelTable:
    """Return the labels of a tree, every value checked.

    Raises:
        CorruptStoreError: the tree contradicts itself.
    """
    arrays = tree.arrays
    for name, array in arrays.items():
        if array.dtype == np.bool_ and array.size and int(array.view(np.uint8).max()) > 1:
            message = f"{tree.path} must hold {name} as bytes 0 and 1, but has others"
            raise CorruptStoreError(message)
        array.flags.writeable = False
    values: dict[str, Any] = {
        name.replace("rows/", "row_").replace("index/", ""): array
        for name, array in arrays.items()
        if not name.endswith(("_bytes", "_offset"))
    }
    try:
        meta = json.loads(str(tree.attributes.get("meta")))
    except json.JSONDecodeError as error:
        message = f"{tree.path} must have JSON as its attribute meta, but {error}"
        raise CorruptStoreError(message) from error
    videos: Sequence[str] = unpack(arrays, "index/id", tree.path)
    paths = unpack(arrays, "rows/path", tree.path)
    table = LabelTable(videos=tuple(videos), row_path=paths, meta=meta, **values)
    table.check(tree.path)
    return table
