"""All parts of a store made one tree, sorted by video."""

from collections.abc import Collection, Iterator

import numpy as np
import xxhash

from .backend import Backend, P, Tree, TreeWriter, read_trees
from .catalog import Catalog
from .errors import CorruptStoreError
from .index import EntryValues, StoreHead, write_index, write_rows_room
from .loss import LossMeter
from .schema import HASH_MODULUS, Array
from .versions import Entry, newest, newest_complete

_BLOCK_BYTES = 16 << 20
"""Rows are copied in blocks of about this size, however long a video is."""


def compact(
    backend: Backend[P],
    store: P,
    head: StoreHead,
    *,
    drop: Collection[str] = (),
    wait: bool = True,
    break_lock: bool = False,
) -> bool:
    """Replace the trees of a store by one; returns whether that was done.

    A complete video becomes one entry. Pieces of a newer, incomplete version are carried over as
    they are, so nothing that was written is lost. Parts that appear meanwhile stay parts.

    Args:
        backend: of the store.
        store: its path.
        head: what the new tree says of itself.
        drop: ids of videos to leave out. A kill after the new tree is in place and before the old
            parts are gone can leave them visible; dropping them again then ends it.
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
        if parts or drop:
            trees = read_trees(backend, store, map_rows=True)
            catalog = Catalog(trees)
            with backend.write_base(store) as writer:
                _write_all(writer, catalog, head, drop)
            merged = {tree.path for tree in trees}
            for part in parts:
                if part in merged:
                    backend.remove_part(part)
        backend.tidy(store)
        return True


def _write_all(
    writer: TreeWriter, catalog: Catalog, head: StoreHead, drop: Collection[str]
) -> None:
    plan: list[tuple[str, list[Entry]]] = []
    versions: dict[str, set[int]] = {}
    for video in sorted(catalog.by_video.keys() - set(drop)):
        entries = catalog.entries(video)
        whole = newest_complete(entries)
        if whole is not None:
            plan.append((video, whole))
        complete, pieces = newest(entries)
        if not complete:
            plan.extend((video, [piece]) for piece in pieces)
        versions[video] = {entry.version for entry in (*(whole or ()), *pieces)}
    n_rows = sum(catalog.n_rows(entry.tree, entry.row) for _, chain in plan for entry in chain)
    has_time = any("time" in tree.rows for tree in catalog.trees)
    write_rows_room(writer, head.spec, n_rows, has_time=has_time)
    meter = LossMeter(head.spec)
    done: list[EntryValues] = []
    start = 0
    for video, chain in plan:
        values = _copy_rows(writer, catalog, video, chain, start, meter, has_time=has_time)
        start += values.length
        done.append(values)
    report = catalog.report(versions)
    write_index(writer, head, done, report, loss=meter.loss(), has_time=has_time)


def _copy_rows(
    writer: TreeWriter,
    catalog: Catalog,
    video: str,
    chain: list[Entry],
    start: int,
    meter: LossMeter,
    *,
    has_time: bool,
) -> EntryValues:
    """Copy the rows of one entry-to-be, its pieces checked, and return its index values."""
    whole = xxhash.xxh3_64()
    frames: list[Array] = []
    times: list[Array] = []
    for entry in chain:
        tree = catalog.trees[entry.tree]
        own = xxhash.xxh3_64()
        first = int(tree.arrays["index/start"][entry.row])
        stop = first + catalog.n_rows(entry.tree, entry.row)
        for block in _blocks(tree, first, stop):
            raw = np.ascontiguousarray(block).view(np.uint8).data
            own.update(raw)
            whole.update(raw)
            writer.append_rows("embedding", block)
            meter.add(block)
        frames.append(tree.rows["frame"][first:stop])
        own.update(frames[-1].tobytes())
        if "time" in tree.rows:
            times.append(tree.rows["time"][first:stop])
            own.update(times[-1].tobytes())
        else:
            times.append(np.full(stop - first, np.nan))
        if own.intdigest() != int(tree.arrays["index/checksum"][entry.row]):
            message = (
                f"the rows of video {video!r} in {tree.path} must have the checksum "
                f"{int(tree.arrays['index/checksum'][entry.row]):016x}, but have "
                f"{own.hexdigest()}: something changed the file after it was written; remove it "
                f"and extract again"
            )
            raise CorruptStoreError(message)
    frame = np.concatenate(frames)
    if np.any(np.diff(frame) <= 0):
        message = f"the frame numbers of video {video!r} must rise, but do not; extract it again"
        raise CorruptStoreError(message)
    whole.update(frame.tobytes())
    writer.append_rows("frame", frame)
    if has_time:
        time = np.concatenate(times)
        whole.update(time.tobytes())
        writer.append_rows("time", time)
    pieces = [catalog.piece(entry) for entry in chain]
    return EntryValues(
        video=video,
        start=start,
        length=len(frame),
        version=chain[0].version,
        source_start=chain[0].source_start,
        source_length=sum(piece.source_length for piece in pieces),
        source_total=chain[0].source_total,
        input_hash=sum(piece.input_hash for piece in pieces) % HASH_MODULUS,
        stat_hash=sum(piece.stat_hash for piece in pieces) % HASH_MODULUS,
        precision="+".join(
            sorted({name for piece in pieces for name in piece.precision.split("+")})
        ),
        checksum=whole.intdigest(),
    )


def _blocks(tree: Tree, first: int, stop: int) -> Iterator[Array]:
    rows = tree.rows["embedding"]
    step = max(1, _BLOCK_BYTES // (rows.shape[1] * rows.dtype.itemsize))
    for begin in range(first, stop, step):
        yield rows[begin : min(begin + step, stop)]
