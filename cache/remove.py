"""Stores and videos removed, and what everything takes on the disk."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import UsageError
from ..core.files import TEMPORARY_MARK
from ..core.table import text_table
from .backend import read_trees
from .catalog import tree_spec
from .compaction import compact
from .errors import CacheError, StoreMissingError, VideoMissingError
from .index import StoreHead
from .labels import LabelStore
from .leftovers import end_what_was_begun, remove_unfinished, remove_whole
from .locate import find_local_store, list_stores
from .room import room_needed
from .store import open_store


def remove_videos(path: Path, videos: Collection[str]) -> int:
    """Drop videos of a store of embeddings, compact it, and return how many rows are left.

    Raises:
        VideoMissingError: the store holds no such video; nothing is changed.
        CacheError: it is a store of labels.
    """
    backend, store = find_local_store(path)
    with room_needed(store):
        end_what_was_begun(backend, store)
    with open_store(store) as opened:
        if isinstance(opened, LabelStore):
            message = f"{store} holds labels, of which no single videos are removed; import again"
            raise CacheError(message)
        known = set(opened.videos) | {failure.video for failure in opened.failures}
    for video in sorted(videos):
        if video not in known:
            message = f"{store} holds no video {video!r}; `abaw cache info` lists none of it"
            raise VideoMissingError(message)
    trees = read_trees(backend, store, map_rows=False)
    head = StoreHead.of_tree(trees[0], tree_spec(trees[0]))
    with room_needed(store):
        compact(backend, store, head, drop=videos)
    with open_store(store) as opened:
        return opened.n_frames if not isinstance(opened, LabelStore) else 0


def remove_named(folder: Path, names: Sequence[str], videos: Collection[str] = ()) -> str:
    """Remove stores of a cache, or videos of one of them, and return what was done in words.

    Args:
        folder: the cache.
        names: of the stores; all are looked up before the first is removed.
        videos: ids; with them only those are removed.

    Raises:
        UsageError: videos of several stores.
        StoreMissingError, VideoMissingError: something is not there; nothing is removed.
    """
    if videos and len(names) > 1:
        message = f"--video is of one store, but got {len(names)} stores: {', '.join(names)}"
        raise UsageError(message)
    if videos:
        n_frames = remove_videos(folder / names[0], videos)
        return f"removed {len(set(videos))} videos, {n_frames:,} frames are left in {names[0]}"
    try:
        found = [find_local_store(folder / name) for name in names]
    except StoreMissingError:
        for name in names:
            remove_unfinished(folder / name)  # a removal that was ended can have left it
        raise
    for backend, store in found:
        remove_whole(backend, store)
    return "\n".join(f"removed {store}" for _, store in found)


@dataclass(frozen=True)
class Usage:
    """What a store takes on the disk, bytes."""

    name: str
    files: int
    """Of the compacted file or group."""
    parts: int
    n_parts: int
    leftovers: int
    """Of writers that ended, or are still at it: files with a temporary name."""

    @property
    def total(self) -> int:
        """Sum of all."""
        return self.files + self.parts + self.leftovers


def disk_usage(folder: Path) -> list[Usage]:
    """Return what each store of a cache takes, in order of name."""
    found = []
    for name in list_stores(folder):
        backend, store = find_local_store(folder / name)
        parts = backend.list_parts(store)
        leftovers = [
            path
            for place, beginning in backend.temporary_places(store)
            if place.is_dir()
            for path in place.iterdir()
            if path.name.startswith(beginning) and TEMPORARY_MARK in path.name
        ]
        base = backend.find_base(store)
        found.append(
            Usage(
                name,
                _size(base) if base else 0,
                sum(map(_size, parts)),
                len(parts),
                sum(map(_size, leftovers)),
            )
        )
    return found


def usage_text(folder: Path) -> str:
    """Return what `disk_usage` found, as a table with the sum."""
    found = disk_usage(folder)
    if not found:
        return f"{folder} holds no store"
    rows = [("store", "rows and index", "parts", "", "leftovers", "sum")]
    for one in found:
        sizes = (_text(one.files), _text(one.parts), f"in {one.n_parts}", _text(one.leftovers))
        rows.append((one.name, *sizes, _text(one.total)))
    rows.append(("all", "", "", "", "", _text(sum(one.total for one in found))))
    return "\n".join(text_table(rows, range(1, 6)))


def _text(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB"


def _size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(item.stat().st_size for item in path.rglob("*") if item.is_file())
