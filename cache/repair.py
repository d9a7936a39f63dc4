"""What is corrupt in a store dropped, and what is sound kept."""

from collections.abc import Collection, Sequence
from pathlib import Path

from ..core.files import fsync_folder
from .backend import Tree
from .catalog import Catalog, tree_spec
from .compaction import compact
from .errors import CacheError, CorruptStoreError, FormatVersionError
from .index import StoreHead
from .leftovers import remove_leftovers
from .locate import LocalBackend, find_local_store
from .object_path import AnyPath
from .room import room_needed
from .schema import LABELS
from .verify import Problem, Verification, readable_trees, tree_problems
from .versions import newest_complete
from .zarr_store import ZarrBackend
from .zarr_tree import NODE


def repair_store(path: Path, found: Verification) -> list[str]:
    """Drop what is corrupt, and return the names of the videos that an extraction makes anew.

    A file whose index cannot be read is set aside under a name that ends in `.broken`. A Zarr
    store whose root names no group that can be read is made to name the newest that can. Rows
    that are damaged are left out of a compaction, and with them their video, unless its newest
    version is whole without them. What is sound stays. Of a store that is sound it removes what
    an ended command has left; so it is run again after one that was ended.

    Args:
        path: of the store.
        found: what `verify_store` said of it.

    Raises:
        CacheError: it is a store of labels, which `abaw labels` writes again; or there is no room.
    """
    backend, store = find_local_store(path)
    corrupt = [problem for problem in found.problems if problem.kind == "corrupt"]
    with room_needed(store):
        if not corrupt:
            remove_leftovers(backend, store)
            return []
        backend.remove_leftovers(store)
        corrupt += _set_aside_unreadable(backend, store, corrupt)
        trees = readable_trees(backend, store, Verification(store))
        places = {tree.path for tree in trees}
        left = [problem for problem in corrupt if problem.place in places]
        if store.stem.startswith("labels") and (left or not trees):
            message = f"{store} holds labels and cannot be repaired; run `abaw labels` again"
            raise CacheError(message)
        if not left:
            return []
        damaged = {(problem.place, problem.video) for problem in left if problem.video}
        videos = _not_whole_without(trees, damaged)
        head = StoreHead.of_tree(trees[0], tree_spec(trees[0]))
        compact(backend, store, head, drop=videos, damaged=damaged, rewrite=True)
    return videos


def _set_aside_unreadable(
    backend: LocalBackend, store: Path, corrupt: Sequence[Problem]
) -> list[Problem]:
    """Give trees that cannot be read names that no reader looks at; a root gets a tree that can.

    Returns:
        What is wrong with the rows of a group that the root did not name before.
    """
    trees = readable_trees(backend, store, Verification(store))
    readable = {tree.path for tree in trees}
    root = store / NODE
    unreadable = {Path(str(p.place)) for p in corrupt if not p.video and p.place not in readable}
    if not store.stem.startswith("labels"):
        for place in unreadable - {root}:
            if place.exists():
                place.replace(place.with_name(f"{place.name}.broken"))
                fsync_folder(place.parent)
    is_lost = any(place == root or place.parent == store for place in unreadable)
    if not (isinstance(backend, ZarrBackend) and is_lost):
        return []
    group, problems = _newest_group(backend, store, trees)
    with backend.lock(store, wait=True):
        if group is not None:
            backend.name_base(group)
        elif root.is_file() and not store.stem.startswith("labels"):
            root.replace(root.with_name(f"{NODE}.broken"))
            fsync_folder(store)
    return problems


def _newest_group(
    backend: ZarrBackend, store: Path, parts: Sequence[Tree]
) -> tuple[Path | None, list[Problem]]:
    """Return the newest group that is whole, every checksum right, and that fits the parts.

    Where none is whole, it is the newest whose index can be read, with what is wrong with its
    rows. A newer group holds all that an older one does: only a whole tree gets its name, and what
    it was made of is removed later.
    """
    first: tuple[Path | None, list[Problem]] = None, []
    for group in reversed(backend.groups(store)):
        try:
            tree = backend.read(group, map_rows=True)
            if tree.attributes["format"] != LABELS:
                Catalog([*parts[:1], tree])
            problems = [p for p in tree_problems([tree]) if p.kind == "corrupt"]
        except (CorruptStoreError, FormatVersionError, FileNotFoundError):
            continue
        if not problems:
            return group, []
        if first[0] is None:
            first = group, problems
    return first


def _not_whole_without(
    trees: Sequence[Tree], damaged: Collection[tuple[AnyPath, str]]
) -> list[str]:
    """Return the videos whose newest version is not whole without what is damaged, sorted."""
    every, sound = Catalog(trees), Catalog(trees, damaged)
    videos = []
    for video in sorted({video for _, video in damaged}):
        newest = newest_complete(every.entries(video))
        left = newest_complete(sound.entries(video))
        if newest is None or left is None or left[0].version != newest[0].version:
            videos.append(video)
    return videos
