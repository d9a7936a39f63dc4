"""A store in another form: HDF5 or Zarr, float16 or float32, under its own name or a new one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.errors import UsageError
from ..core.names import check_embedding_name
from .backend import read_trees
from .catalog import Catalog, tree_spec
from .compaction import compact
from .copying import write_merged
from .errors import CacheError, StoreExistsError, StoreMissingError
from .forms import REPLACES, replacing, without_replaced
from .index import StoreHead
from .label_files import write_labels
from .labels import LabelStore
from .leftovers import end_what_was_begun, remove_store
from .locate import BACKENDS, LocalBackend, check_free, exists, find_local_store
from .lock import compaction_lock
from .room import room_needed
from .schema import HASH_MODULUS, LABELS
from .spec import EmbeddingSpec, StoredDtype
from .store import open_store
from .versions import newest

CONVERTED = "converted_from"
"""The option of a spec whose numbers were once stored in a narrower type."""


def convert_store(
    path: Path,
    *,
    backend: str | None = None,
    dtype: StoredDtype | None = None,
    name: str | None = None,
) -> Path:
    """Write a store in another form, and return its path.

    Under its own name the new form takes the place of the old one, whole or not at all. No
    extraction may be running on the store. To float32 the numbers stay what float16 left of them,
    so the embedding becomes another one: its spec says `converted_from`. A conversion that was
    ended half-way is brought to its end by the same call; one that is done already is not done
    again.

    Args:
        path: of the store, with or without its suffix.
        backend: `hdf5` or `zarr`; by default that of the store.
        dtype: type of the stored numbers; by default that of the store. Labels have none.
        name: of the new store, in the same cache; by default the new form replaces the old one.

    Raises:
        UsageError: nothing would change, or labels are given a type.
        CacheError: float16 cannot hold the numbers, see `loss`; nothing is changed.
        StoreExistsError: `name` is that of a store that holds something else.
        StoreMissingError, CorruptStoreError: see `open_store`.
    """
    old_backend, old = find_local_store(path)
    new_backend = _backend(backend or old_backend.name)
    new = old.with_name((name or old.stem) + new_backend.suffix)
    is_replaced = new.stem == old.stem
    with room_needed(new):
        end_what_was_begun(old_backend, old)
        new_backend.remove_leftovers(new)
    attributes = read_trees(old_backend, old, map_rows=False)[0].attributes
    is_done = new == old and backend is not None and REPLACES in attributes
    with open_store(old) as store:
        if isinstance(store, LabelStore):
            if is_done and dtype is None:
                return old
            return _convert_labels(store, old_backend, old, new, dtype)
        spec = store.spec
        is_done = is_done or (new == old and dtype is not None and CONVERTED in store.provenance)
    if dtype and dtype != spec.dtype:
        spec = _cast_spec(spec, dtype)
    elif is_done:
        return old
    elif new == old:
        message = (
            f"{old} is a {old_backend.name} store of {spec.dtype} already; ask for another form by "
            f"--store or --dtype, or for a copy by --name"
        )
        raise UsageError(message)
    if not is_replaced:
        check_embedding_name(new.stem)
        check_free(new)
        if exists(new_backend, new):
            if _contents(new_backend, new) != (spec, _contents(old_backend, old)[1]):
                raise _other_store(old, new)
            return new
    with room_needed(new):
        if is_replaced:
            _merge_parts(old_backend, old)
        _write_converted(old_backend, old, new_backend, new, spec)
        if is_replaced and new != old:
            remove_store(old_backend, old)
    return new


def _write_converted(
    old_backend: LocalBackend,
    old: Path,
    new_backend: LocalBackend,
    new: Path,
    spec: EmbeddingSpec,
) -> None:
    """Write all of `old` as `new`, of another spec or under another name."""
    is_replaced = new.stem == old.stem
    with compaction_lock(old_backend.parts_folder(old), wait=True):
        trees = read_trees(old_backend, old, map_rows=True)
        if is_replaced and old_backend.list_parts(old):
            message = f"{old} must not be extended while it is converted, but it was; try again"
            raise CacheError(message)
        head = StoreHead.of_tree(trees[0], spec)
        stored = tree_spec(trees[0])
        if spec != stored:
            head = replace(head, provenance={**head.provenance, CONVERTED: stored.fingerprint})
        extra = without_replaced(head.extra)
        if is_replaced and new != old:
            extra |= replacing(old, trees[0])
        head = replace(head, extra=extra)
        with new_backend.write_base(new) as writer:
            watch = write_merged(writer, Catalog(trees), head)
            watch.check(new)
        new_backend.tidy(new)
        old_backend.tidy(old)


def _contents(
    backend: LocalBackend, store: Path
) -> tuple[EmbeddingSpec, dict[str, tuple[bool, int, int, int]]]:
    """Return the spec of a store, and what tells each video's newest version from another."""
    trees = read_trees(backend, store, map_rows=False)
    catalog = Catalog(trees)
    found = {}
    for video in catalog.by_video:
        is_complete, chain = newest(catalog.entries(video))
        pieces = [catalog.piece(entry) for entry in chain]
        length = sum(piece.source_length for piece in pieces)
        content = sum(piece.input_hash for piece in pieces) % HASH_MODULUS
        found[video] = (is_complete, chain[0].version, length, content)
    return tree_spec(trees[0]), found


def _other_store(old: Path, new: Path) -> StoreExistsError:
    message = (
        f"{new} exists and does not hold what {old} does; choose another --name, or remove it by "
        f"`abaw cache rm {new.stem}`"
    )
    return StoreExistsError(message)


def _backend(name: str) -> LocalBackend:
    found = {backend.name: backend for backend in BACKENDS}
    if name not in found:
        message = f"--store must be {' or '.join(found)}, but got {name!r}"
        raise UsageError(message)
    return found[name]


def _cast_spec(spec: EmbeddingSpec, dtype: StoredDtype) -> EmbeddingSpec:
    """Return the spec of the same embedding in another type.

    What float16 rounds is what it would have rounded at once; what it has lost is lost.
    """
    options: dict[str, Any] = dict(spec.options)
    if dtype == "float32":
        options[CONVERTED] = spec.dtype
    elif options.get(CONVERTED) == dtype:
        del options[CONVERTED]
    return replace(spec, dtype=dtype, options=options)


def _merge_parts(backend: LocalBackend, store: Path) -> None:
    """Compact: parts of the old form must not stay beside a file of the new one."""
    trees = read_trees(backend, store, map_rows=False)
    compact(backend, store, StoreHead.of_tree(trees[0], tree_spec(trees[0])))


def _convert_labels(
    store: LabelStore, old_backend: LocalBackend, old: Path, new: Path, dtype: str | None
) -> Path:
    if dtype is not None:
        message = f"{old} holds {LABELS}, whose types are fixed; leave --dtype out"
        raise UsageError(message)
    if new == old:
        message = f"{old} is a {old_backend.name} store already; choose another --store or --name"
        raise UsageError(message)
    if new.stem != old.stem:
        check_free(new)
        try:
            there = open_store(new)
        except StoreMissingError:
            write_labels(new, store.table)
        else:
            if there.fingerprint != store.fingerprint:
                raise _other_store(old, new)
        return new
    (tree,) = read_trees(old_backend, old, map_rows=False)
    write_labels(new, store.table, replaced=replacing(old, tree))
    remove_store(old_backend, old)
    return new
