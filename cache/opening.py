"""What a writer finds when it opens a store, or makes it."""

from dataclasses import dataclass
from typing import Any

from .admission import check_same_spec
from .backend import Backend, new_part_name, read_trees
from .catalog import tree_spec
from .errors import CacheError
from .index import StoreHead, write_index, write_rows_room
from .object_path import AnyPath
from .room import room_needed
from .schema import EMBEDDINGS


@dataclass(frozen=True)
class Opened:
    """A store that is there and may be written to."""

    head: StoreHead
    """What its trees say of themselves."""
    first: list[AnyPath]
    """Of a store that was made just now: its part of no videos."""


def open_or_make(backend: Backend[Any], path: AnyPath, head: StoreHead) -> Opened:
    """Return the store at `path`, made with `head` if it is not there.

    Raises:
        FingerprintError: the store at `path` has another spec than `head`.
        CacheError: it holds labels, or there is no room.
        CorruptStoreError, FormatVersionError: it cannot be read.
    """
    backend.remove_leftovers(path)
    trees = read_trees(backend, path, map_rows=False)
    is_new = not trees
    if is_new:
        # The settings have to be known from the first moment: a part of no videos holds them.
        with room_needed(path), backend.write_part(path, new_part_name([])) as writer:
            write_rows_room(writer, head.spec, 0)
            write_index(writer, head, [], [])
        trees = read_trees(backend, path, map_rows=False)
    for tree in trees:
        if tree.attributes.get("format") != EMBEDDINGS:
            message = f"{path} must be a store of embeddings, but holds labels; rename it"
            raise CacheError(message)
        check_same_spec(path, tree_spec(tree), head.spec)
    stored = StoreHead.of_tree(trees[0], head.spec)
    return Opened(stored, [tree.path for tree in trees] if is_new else [])
