"""The videos of several trees written as one tree, sorted by id, every row checked on the way."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import numpy as np
import xxhash

from .admission import to_stored
from .backend import Tree, TreeWriter
from .catalog import Catalog
from .errors import CorruptStoreError
from .index import EntryValues, StoreHead, write_index, write_rows_room
from .loss import LossMeter, LossWatch
from .schema import HASH_MODULUS, Array
from .versions import Entry, newest, newest_complete

_BLOCK_BYTES = 16 << 20
"""Rows are copied in blocks of about this size, however long a video is."""


def write_merged(
    writer: TreeWriter, catalog: Catalog, head: StoreHead, drop: Collection[str] = ()
) -> LossWatch:
    """Write one tree of all that a catalog holds.

    A complete video becomes one entry. Pieces of a newer, incomplete version are carried over as
    they are, so nothing that was written is lost. Rows of another type than that of `head` are
    cast.

    Args:
        writer: of the new tree.
        catalog: what there is.
        head: what the new tree says of itself.
        drop: ids of videos to leave out.

    Returns:
        What a cast lost, for the caller to check.

    Raises:
        CorruptStoreError: rows do not have their checksum.
        CacheError: a number does not fit the type it is cast to.
    """
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
    copier = _Copier(writer, catalog, head, has_time)
    for video, chain in plan:
        copier.copy(video, chain)
    report = catalog.report(versions)
    write_index(writer, head, copier.done, report, loss=copier.meter.loss(), has_time=has_time)
    return copier.watch


@dataclass
class _Copier:
    """Copies entries one after another."""

    writer: TreeWriter
    catalog: Catalog
    head: StoreHead
    has_time: bool
    done: list[EntryValues] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.meter = LossMeter(self.head.spec)
        self.watch = LossWatch(self.head.spec, 0)
        self._start = 0

    def copy(self, video: str, chain: list[Entry]) -> None:
        """Copy the rows of one entry-to-be, its pieces checked, and keep its index values."""
        whole = xxhash.xxh3_64()
        frames: list[Array] = []
        times: list[Array] = []
        for entry in chain:
            tree = self.catalog.trees[entry.tree]
            own = xxhash.xxh3_64()
            first = int(tree.arrays["index/start"][entry.row])
            stop = first + self.catalog.n_rows(entry.tree, entry.row)
            numbers = tree.rows["frame"][first:stop]
            n_before = 0
            for block in _blocks(tree, first, stop):
                own.update(np.ascontiguousarray(block).view(np.uint8).data)
                stored = self._cast(video, numbers[n_before : n_before + len(block)], block)
                n_before += len(block)
                whole.update(np.ascontiguousarray(stored).view(np.uint8).data)
                self.writer.append_rows("embedding", stored)
                self.meter.add(stored)
            frames.append(numbers)
            own.update(numbers.tobytes())
            if "time" in tree.rows:
                times.append(tree.rows["time"][first:stop])
                own.update(times[-1].tobytes())
            else:
                times.append(np.full(stop - first, np.nan))
            _check(own, tree, entry, video)
        frame = np.concatenate(frames)
        if np.any(np.diff(frame) <= 0):
            message = (
                f"the frame numbers of video {video!r} must rise, but do not; extract it again"
            )
            raise CorruptStoreError(message)
        whole.update(frame.tobytes())
        self.writer.append_rows("frame", frame)
        if self.has_time:
            time = np.concatenate(times)
            whole.update(time.tobytes())
            self.writer.append_rows("time", time)
        self._keep(video, chain, len(frame), whole.intdigest())

    def _cast(self, video: str, frame: Array, block: Array) -> Array:
        dtype = np.dtype(self.head.spec.dtype)
        if block.dtype == dtype:
            return block
        stored = to_stored(video, frame, block, np.empty(block.shape, dtype.newbyteorder("<")))
        self.watch.add(video, block, stored)
        return stored

    def _keep(self, video: str, chain: list[Entry], length: int, checksum: int) -> None:
        pieces = [self.catalog.piece(entry) for entry in chain]
        names = {name for piece in pieces for name in piece.precision.split("+")}
        self.done.append(
            EntryValues(
                video=video,
                start=self._start,
                length=length,
                version=chain[0].version,
                source_start=chain[0].source_start,
                source_length=sum(piece.source_length for piece in pieces),
                source_total=chain[0].source_total,
                input_hash=sum(piece.input_hash for piece in pieces) % HASH_MODULUS,
                stat_hash=sum(piece.stat_hash for piece in pieces) % HASH_MODULUS,
                precision="+".join(sorted(names)),
                checksum=checksum,
            )
        )
        self._start += length


def _check(found: xxhash.xxh3_64, tree: Tree, entry: Entry, video: str) -> None:
    """Raise CorruptStoreError unless the rows of an entry have their checksum."""
    expected = int(tree.arrays["index/checksum"][entry.row])
    if found.intdigest() != expected:
        message = (
            f"the rows of video {video!r} in {tree.path} must have the checksum {expected:016x}, "
            f"but have {found.hexdigest()}: something changed the file after it was written; run "
            f"`abaw cache verify --repair` and extract again"
        )
        raise CorruptStoreError(message)


def _blocks(tree: Tree, first: int, stop: int) -> Iterator[Array]:
    rows = tree.rows["embedding"]
    step = max(1, _BLOCK_BYTES // (rows.shape[1] * rows.dtype.itemsize))
    for begin in range(first, stop, step):
        yield rows[begin : min(begin + step, stop)]
