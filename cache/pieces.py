"""What a writer was given and has not committed yet, and how it becomes a part."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .backend import TreeWriter
from .index import EntryValues, StoreHead, write_index, write_rows_room
from .row_arena import RowArena
from .schema import HASH_MODULUS, Array, rows_checksum
from .versions import Failure, Piece


@dataclass
class BufferedPiece:
    """Consecutive additions of one video."""

    video: str
    version: int
    source_start: int
    source_length: int
    source_total: int
    precision: str
    input_hash: int
    stat_hash: int
    frame: list[NDArray[np.int32]]
    embedding: list[Array]
    failures: list[Failure] = field(default_factory=list)
    time: list[NDArray[np.float64]] = field(default_factory=list)
    """As many blocks as `frame`, or none."""

    @property
    def piece(self) -> Piece:
        """What the index will say of it."""
        return Piece(
            self.source_start, self.source_length, self.input_hash, self.stat_hash, self.precision
        )

    def continues_with(self, other: "BufferedPiece") -> bool:
        """Return whether `other` begins where this one ends."""
        return (
            (self.video, self.version, self.source_total, self.precision, bool(self.time))
            == (
                *(other.video, other.version, other.source_total, other.precision),
                bool(other.time),
            )
            and self.source_start + self.source_length == other.source_start
        )  # fmt: skip

    def extend(self, other: "BufferedPiece") -> None:
        """Take the frames of a piece that this one continues with."""
        self.source_length += other.source_length
        self.input_hash = (self.input_hash + other.input_hash) % HASH_MODULUS
        self.stat_hash = (self.stat_hash + other.stat_hash) % HASH_MODULUS
        self.frame += other.frame
        self.embedding += other.embedding
        self.failures += other.failures
        self.time += other.time


def write_pieces(
    writer: TreeWriter, head: StoreHead, pieces: Sequence[BufferedPiece], arena: RowArena
) -> None:
    """Write pieces as a tree, in their order; frames without a time get NaN if others have one.

    Args:
        writer: of the tree.
        head: what it says of itself.
        pieces: all that it holds.
        arena: where most of their embeddings lie.
    """
    has_time = any(piece.time for piece in pieces)
    n_rows = sum(len(block) for piece in pieces for block in piece.frame)
    write_rows_room(writer, head.spec, n_rows, has_time=has_time)
    entries: list[EntryValues] = []
    for block in arena.joined(block for piece in pieces for block in piece.embedding):
        writer.append_rows("embedding", block)
    start = 0
    for piece in pieces:
        times = piece.time or [np.full(len(block), np.nan) for block in piece.frame]
        blocks = {"embedding": piece.embedding, "frame": piece.frame}
        blocks |= {"time": times} if has_time else {}
        for name in ("frame", "time") if has_time else ("frame",):
            for block in blocks[name]:
                writer.append_rows(name, block)
        length = sum(map(len, piece.frame))
        entries.append(
            EntryValues(
                video=piece.video,
                start=start,
                length=length,
                version=piece.version,
                source_start=piece.source_start,
                source_length=piece.source_length,
                source_total=piece.source_total,
                input_hash=piece.input_hash,
                stat_hash=piece.stat_hash,
                precision=piece.precision,
                checksum=rows_checksum(*blocks.values()),
            )
        )
        start += length
    report = sorted(
        (failure.video, piece.version, failure.frame, failure.reason)
        for piece in pieces
        for failure in piece.failures
    )
    write_index(writer, head, entries, report, has_time=has_time)
