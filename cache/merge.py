"""Stores of one embedding, made on several machines, brought together in one."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from ..core.files import fsync_folder
from ..core.names import check_embedding_name
from .admission import check_same_spec
from .backend import Tree, read_trees
from .catalog import Catalog, tree_spec
from .copying import write_merged
from .errors import CacheError
from .forms import without_replaced
from .index import StoreHead
from .leftovers import end_what_was_begun
from .locate import BACKENDS, check_free, exists, find_local_store
from .lock import compaction_lock
from .room import room_needed
from .schema import EMBEDDINGS

_SHOWN = 3


def merge_stores(sources: Sequence[Path], out: Path) -> int:
    """Write one store of all videos of several, and return how many videos it holds.

    A store that is at `out` already is one of them and is replaced, whole or not at all; the
    others stay as they are. A video may be in several if its source frames were the same: the
    newest complete version counts, as within one store.

    Args:
        sources: stores of embeddings with equal specs, with or without their suffixes.
        out: ends in .h5 or .zarr.

    Raises:
        FingerprintError: two stores hold different embeddings; the message names the fields.
        CacheError: a video was made from different frames in two stores, or one holds labels.
        StoreMissingError, CorruptStoreError: see `open_store`.
    """
    backend = next((b for b in BACKENDS if b.suffix == out.suffix), None)
    if backend is None:
        message = f"the path of a store ends in .h5 or .zarr, but got {out}; add one of them"
        raise CacheError(message)
    check_embedding_name(out.stem)
    check_free(out)
    places = [find_local_store(path) for path in sources]
    with ExitStack() as stack:
        stack.enter_context(room_needed(out))
        backend.remove_leftovers(out)
        if exists(backend, out):
            end_what_was_begun(backend, out)
            stack.enter_context(compaction_lock(backend.parts_folder(out), wait=True))
            places = [(backend, out), *(item for item in places if item[1] != out)]
        found = {store: read_trees(kind, store, map_rows=True) for kind, store in places}
        _check_mergeable(found)
        trees = [tree for one in found.values() for tree in one]
        head = StoreHead.of_tree(trees[0], tree_spec(trees[0]))
        merged = [*head.provenance.get("merged", []), *(path.name for path in found if path != out)]
        extra = head.extra if out in found else without_replaced(head.extra)
        head = replace(head, provenance={**head.provenance, "merged": merged}, extra=extra)
        catalog = Catalog(trees)
        own = [tree.path for tree in found.get(out, ())]
        with backend.write_base(out) as writer:
            write_merged(writer, catalog, head)
        backend.remove_parts([part for part in backend.list_parts(out) if part in own])
        if own:
            fsync_folder(backend.parts_folder(out))
        backend.tidy(out)
    return len(catalog.complete())


def _check_mergeable(found: dict[Path, list[Tree]]) -> None:
    """Refuse stores of different embeddings, and videos made from different frames."""
    first = next(iter(found))
    inputs: dict[str, tuple[Path, int]] = {}
    differing: list[str] = []
    for store, trees in found.items():
        if trees[0].attributes.get("format") != EMBEDDINGS:
            message = f"{store} must be a store of embeddings to be merged, but holds labels"
            raise CacheError(message)
        check_same_spec(first, tree_spec(found[first][0]), tree_spec(trees[0]), store)
        catalog = Catalog(trees)
        for video, places in catalog.complete().items():
            entries = {(entry.tree, entry.row): entry for entry in catalog.entries(video)}
            content = sum(catalog.piece(entries[place]).input_hash for place in places)
            other, known = inputs.setdefault(video, (store, content))
            if known != content:
                differing.append(f"{video!r} in {other} and {store}")
    if differing:
        more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
        message = (
            f"a video of several stores must have been made from the same frames, but "
            f"{', '.join(differing[:_SHOWN])}{more} was not; remove the wrong one by "
            f"`abaw cache rm NAME --video ID`"
        )
        raise CacheError(message)
