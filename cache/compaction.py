"""All parts of a store made one tree, sorted by video."""

from collections.abc import Collection

from .backend import Backend, P, read_trees
from .catalog import Catalog
from .copying import write_merged
from .index import StoreHead
from .object_path import AnyPath


def compact(
    backend: Backend[P],
    store: P,
    head: StoreHead,
    *,
    drop: Collection[str] = (),
    damaged: Collection[tuple[AnyPath, str]] = (),
    rewrite: bool = False,
    wait: bool = True,
    break_lock: bool = False,
) -> bool:
    """Replace the trees of a store by one; returns whether that was done.

    Nothing that was written is lost, see `write_merged`. Parts that appear meanwhile stay parts.

    Args:
        backend: of the store.
        store: its path.
        head: what the new tree says of itself.
        drop: ids of videos to leave out. A kill after the new tree is in place and before the old
            parts are gone can leave them visible; dropping them again then ends it.
        damaged: (path of a tree, video) of what is left out though the video is not.
        rewrite: do it even if there are no parts.
        wait: if another process compacts the store, wait for it; else return False.
        break_lock: take the lock from whoever holds it.

    Raises:
        LockedError: a process that cannot be seen from here holds the lock.
        CorruptStoreError: rows do not have their checksum; nothing is changed.
    """
    with backend.lock(store, wait=wait, break_lock=break_lock) as is_ours:
        if not is_ours:
            return False
        parts = backend.list_parts(store)
        if parts or drop or rewrite:
            trees = read_trees(backend, store, map_rows=True)
            catalog = Catalog(trees, damaged)
            with backend.write_base(store) as writer:
                write_merged(writer, catalog, head, drop)
            merged = {tree.path for tree in trees}
            backend.remove_parts([part for part in parts if part in merged])
        backend.tidy(store)
        return True
