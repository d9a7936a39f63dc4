"""Writes a store of embeddings: parts while it runs, one file or group at the end."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..core.names import check_embedding_name, check_video_id
from .admission import (
    check_frames,
    check_hashes,
    check_range,
    check_shape,
    check_time,
    to_stored,
)
from .backend import Backend, new_part_name, read_trees
from .catalog import Catalog
from .compaction import compact
from .errors import CacheError
from .index import StoreHead
from .locate import backend_of, check_free
from .loss import LossWatch
from .object_path import AnyPath, as_path
from .opening import open_or_make
from .pieces import BufferedPiece, write_pieces
from .room import room_needed
from .row_arena import RowArena
from .spec import EmbeddingSpec
from .versions import Entry, Failure, Piece, VideoState, newest

MAX_PARTS = 256
"""A writer that finds as many parts compacts: a reader keeps a file open for each."""


class StoreWriter:
    """Adds videos to a store; see `StoreWriter.open`.

    What `add` was given is safe once it is committed: after `commit_every` seconds or
    `max_part_bytes`, by `flush`, and by `close`. As a context manager it is closed at the end,
    and after an exception too, so that finished work is not lost.
    """

    def __init__(
        self,
        backend: Backend[Any],
        path: AnyPath,
        head: StoreHead,
        *,
        commit_every: float,
        max_part_bytes: int,
    ) -> None:
        self.path = path
        self._backend = backend
        self._head = head
        self._commit_every = commit_every
        self._max_part_bytes = max_part_bytes
        self._buffer: list[BufferedPiece] = []
        self._buffer_bytes = 0
        self._buffer_since = 0.0
        self._arena = RowArena(max_part_bytes)
        self._added: dict[str, list[tuple[int, int, Piece]]] = {}
        self._is_open = True
        self._first: list[AnyPath] = []
        """Of a store that this writer made: its part of no videos."""
        self._catalog = Catalog(read_trees(backend, path, map_rows=False))
        n_stored = sum(tree.rows["frame"].shape[0] for tree in self._catalog.trees)
        self._losses = LossWatch(head.spec, n_stored)

    @classmethod
    def open(
        cls,
        path: AnyPath | str,
        spec: EmbeddingSpec,
        provenance: Mapping[str, Any],
        *,
        run_settings: Mapping[str, Any] | None = None,
        commit_every: float = 60.0,
        max_part_bytes: int = 256 << 20,
    ) -> Self:
        """Return a writer of the store at `path`, which is created if it is not there.

        Args:
            path: ends in .h5 or .zarr, which chooses the backend; on object storage
                `ObjectPath(store, "features/mae.zarr")`.
            spec: identity of the embedding.
            provenance: where it comes from, JSON; kept from the creation of the store.
            run_settings: precision, batch size and the like, JSON; kept from the creation of the
                store, so that a resume can read them.
            commit_every: seconds of work after which a part is committed.
            max_part_bytes: bytes of rows after which a part is committed.

        Raises:
            FingerprintError: the store at `path` has another spec.
            StoreExistsError: the name belongs to another store.
            UsageError: the name is not one for an embedding.
            CorruptStoreError, FormatVersionError: the store at `path` cannot be read.
        """
        path = as_path(path)
        backend = backend_of(path)
        check_embedding_name(path.stem)
        check_free(path)
        head = StoreHead(spec, dict(provenance), dict(run_settings or {}))
        store = open_or_make(backend, path, head)
        opened = cls(
            backend, path, store.head, commit_every=commit_every, max_part_bytes=max_part_bytes
        )
        opened._first = store.first
        return opened

    @property
    def spec(self) -> EmbeddingSpec:
        """Identity of the embedding."""
        return self._head.spec

    @property
    def run_settings(self) -> dict[str, Any]:
        """Settings of the run that created the store."""
        return dict(self._head.run_settings)

    @property
    def provenance(self) -> dict[str, Any]:
        """Provenance that the store was created with."""
        return dict(self._head.provenance)

    @property
    def videos(self) -> list[str]:
        """Ids of all videos that `state` knows, sorted."""
        return sorted(self._catalog.by_video.keys() | self._added.keys())

    def state(self, video: str) -> VideoState | None:
        """Return the newest version of a video, complete or not, or None if there is none.

        Counted are the store as it was when this writer was opened, and what this writer added.
        """
        entries = self._catalog.entries(video)
        own = self._added.get(video, [])
        entries += [
            Entry(
                version, total, piece.source_start, piece.source_length, len(self._catalog.trees), n
            )
            for n, (version, total, piece) in enumerate(own)
        ]
        if not entries:
            return None
        complete, chain = newest(entries)
        pieces = tuple(
            own[entry.row][2]
            if entry.tree == len(self._catalog.trees)
            else self._catalog.piece(entry)
            for entry in chain
        )
        return VideoState(chain[0].version, complete, chain[0].source_total, pieces)

    def add(
        self,
        video: str,
        *,
        version: int,
        source_start: int,
        source_length: int,
        source_total: int,
        frame: NDArray[np.integer[Any]],
        embedding: NDArray[np.floating[Any]],
        failures: Sequence[Failure] = (),
        input_hash: int,
        stat_hash: int,
        precision: str,
        time: NDArray[np.float64] | None = None,
    ) -> None:
        """Add a range of a video's source frames; it is committed some time later.

        Args:
            video: id of the video.
            version: 1 for a new video; one more than that of `state` for one that has changed.
            source_start: position of the range's first frame in the video's list of source frames.
            source_length: number of source frames of the range; readable ones and failures.
            source_total: length of that list.
            frame: frame numbers of the readable frames, shape (n,), strictly rising.
            embedding: their embeddings, shape (n, dim), finite; cast to the stored type.
            failures: the frames of the range that could not be read.
            input_hash: sum of the hashes of the range's frames' contents, modulo 2**128.
            stat_hash: sum of the hashes of their sizes and times, modulo 2**128.
            precision: what it was computed in, `fp32`, `bf16` or `fp16`, or `unknown`.
            time: presentation times of the readable frames in seconds, shape (n,), where the
                source has them.

        Raises:
            CacheError: an embedding is not finite, or does not fit float16; or, when it is
                committed, float16 loses too much of a dimension, see `loss`.
            VideoIdError: the id is unsafe.
            ValueError: ranges, shapes or counts contradict each other.
        """
        check_video_id(video)
        self._check_open()
        frame = np.asarray(frame)
        embedding = np.asarray(embedding)
        check_range(
            video, version, source_start, source_length, source_total, len(frame) + len(failures)
        )
        check_frames(video, frame, failures)
        check_shape(video, embedding, len(frame), self.spec.dim)
        check_hashes(video, input_hash, stat_hash)
        check_time(video, time, len(frame))
        room = self._arena.take(embedding.shape, np.dtype(self.spec.dtype).newbyteorder("<"))
        stored = to_stored(video, frame, embedding, room)
        self._losses.add(video, embedding, stored)
        new = BufferedPiece(
            video=video,
            version=version,
            source_start=source_start,
            source_length=source_length,
            source_total=source_total,
            precision=precision,
            input_hash=input_hash,
            stat_hash=stat_hash,
            frame=[frame.astype("<i4")],
            embedding=[stored],
            failures=list(failures),
            time=[] if time is None else [np.asarray(time, "<f8")],
        )
        if not self._buffer:
            self._buffer_since = monotonic()
        added = self._added.setdefault(video, [])
        last = self._buffer[-1] if self._buffer else None
        if last is not None and last.continues_with(new):
            last.extend(new)
            added[-1] = (version, source_total, last.piece)
        else:
            self._buffer.append(new)
            added.append((version, source_total, new.piece))
        self._buffer_bytes += stored.nbytes + 4 * len(frame)
        is_late = monotonic() - self._buffer_since >= self._commit_every
        if is_late or self._buffer_bytes >= self._max_part_bytes:
            self.flush()

    def flush(self) -> None:
        """Commit what was added: it is on disk and visible to readers when this returns."""
        self._check_open()
        if not self._buffer:
            return
        self._losses.check(self.path)
        parts = self._backend.list_parts(self.path)
        with (
            room_needed(self.path),
            self._backend.write_part(self.path, new_part_name(parts)) as writer,
        ):
            write_pieces(writer, self._head, self._buffer, self._arena)
        self._buffer.clear()
        self._arena.clear()
        self._buffer_bytes = 0
        if len(parts) + 1 >= MAX_PARTS:
            with room_needed(self.path):
                compact(self._backend, self.path, self._head, wait=False)

    def compact(self, *, drop: Collection[str] = (), break_lock: bool = False) -> None:
        """Commit, then make all parts of the store, other writers' too, one file or group.

        Args:
            drop: ids of videos that are left out.
            break_lock: take the lock of compaction from whoever holds it.

        Raises:
            LockedError: a process that cannot be seen from here holds the lock of compaction.
            CorruptStoreError: rows do not have their checksum; nothing is changed.
        """
        self.flush()
        with room_needed(self.path):
            compact(self._backend, self.path, self._head, drop=drop, break_lock=break_lock)

    def close(self) -> None:
        """Commit what was added and end; a second call does nothing."""
        if self._is_open:
            self.flush()
            self._is_open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            with suppress(CacheError, OSError):  # the first error is the one to be told
                self.close()
            self._remove_if_empty()

    def _remove_if_empty(self) -> None:
        """Leave no store that nothing got into: it would refuse the run with other settings."""
        is_empty = self._first and self._backend.list_parts(self.path) == self._first
        if is_empty and self._backend.find_base(self.path) is None:
            self._backend.remove_parts(self._first)
            for folder in (self._backend.parts_folder(self.path), self.path):
                if isinstance(folder, Path):
                    with suppress(OSError):  # another writer has just begun a part there
                        folder.rmdir()

    def _check_open(self) -> None:
        if not self._is_open:
            message = f"the writer of {self.path} is closed"
            raise ValueError(message)
