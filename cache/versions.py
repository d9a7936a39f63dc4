"""Versions of a video and the pieces they are made of: which of them count.

A version is complete when its entries tile [0, source_total). After a kill between a compaction
and the removal of its parts the same rows are there twice; every rule here gives the same answer
with and without the second copy.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .schema import HASH_MODULUS


class Failure(NamedTuple):
    """A source frame that could not be read."""

    video: str
    frame: int
    reason: str


class Piece(NamedTuple):
    """A stored range of a video's source frames."""

    source_start: int
    source_length: int
    input_hash: int
    """Sum of the frames' content hashes, modulo 2**128."""
    stat_hash: int
    """Sum of the frames' size and time hashes, modulo 2**128."""
    precision: str


class VideoState(NamedTuple):
    """What a store knows of the newest version of a video."""

    version: int
    complete: bool
    source_total: int
    pieces: tuple[Piece, ...]
    """In order, without overlap; they cover all source frames if the version is complete."""

    @property
    def missing(self) -> list[tuple[int, int]]:
        """Ranges [start, stop) of source frames that no piece covers."""
        gaps, covered = [], 0
        for piece in self.pieces:
            if piece.source_start > covered:
                gaps.append((covered, piece.source_start))
            covered = piece.source_start + piece.source_length
        return [*gaps, (covered, self.source_total)] if covered < self.source_total else gaps

    @property
    def input_hash(self) -> int:
        """Sum of the pieces' hashes, modulo 2**128: the video's own if it is complete."""
        return sum(piece.input_hash for piece in self.pieces) % HASH_MODULUS

    @property
    def stat_hash(self) -> int:
        """Like `input_hash`, of sizes and modification times."""
        return sum(piece.stat_hash for piece in self.pieces) % HASH_MODULUS


class Entry(NamedTuple):
    """One row of an index."""

    version: int
    source_total: int
    source_start: int
    source_length: int
    tree: int
    """Number of the tree; the compacted one first, then parts by name."""
    row: int
    """Row of that tree's index."""

    @property
    def source_stop(self) -> int:
        """End of the range of source frames, exclusive."""
        return self.source_start + self.source_length


def tiling(entries: Iterable[Entry], total: int) -> list[Entry] | None:
    """Return entries that tile [0, total) in order, or None if none do.

    Where several do, long entries and early trees are taken, so the answer does not depend on
    what else is there.
    """
    reached_by: dict[int, Entry] = {}
    for entry in sorted(entries, key=lambda e: (e.source_start, -e.source_length, e.tree, e.row)):
        if total == 0:
            return [entry]
        if entry.source_start in reached_by or entry.source_start == 0:
            reached_by.setdefault(entry.source_stop, entry)
    if total not in reached_by:
        return None
    chain = [reached_by[total]]
    while chain[-1].source_start:
        chain.append(reached_by[chain[-1].source_start])
    return chain[::-1]


def disjoint(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries of an incomplete version that do not overlap, in order."""
    kept: list[Entry] = []
    for entry in sorted(entries, key=lambda e: (e.source_start, -e.source_length, e.tree, e.row)):
        if not kept or entry.source_start >= kept[-1].source_stop:
            kept.append(entry)
    return kept


def newest(entries: Sequence[Entry]) -> tuple[bool, list[Entry]]:
    """Return (complete, entries in order) of the newest version among `entries`."""
    version = max(entry.version for entry in entries)
    own = [entry for entry in entries if entry.version == version]
    for total in sorted({entry.source_total for entry in own}):
        chain = tiling((entry for entry in own if entry.source_total == total), total)
        if chain is not None:
            return True, chain
    total = max(entry.source_total for entry in own)
    return False, disjoint(entry for entry in own if entry.source_total == total)


def newest_complete(entries: Sequence[Entry]) -> list[Entry] | None:
    """Return the entries, in order, of the newest version that is complete."""
    rest = list(entries)
    while rest:
        complete, chain = newest(rest)
        if complete:
            return chain
        version = max(entry.version for entry in rest)
        rest = [entry for entry in rest if entry.version < version]
    return None
