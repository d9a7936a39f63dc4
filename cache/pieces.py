"""What a writer was given and has not committed yet."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .schema import HASH_MODULUS, Array
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

    @property
    def piece(self) -> Piece:
        """What the index will say of it."""
        return Piece(
            self.source_start, self.source_length, self.input_hash, self.stat_hash, self.precision
        )

    def continues_with(self, other: "BufferedPiece") -> bool:
        """Return whether `other` begins where this one ends."""
        return (
            (self.video, self.version, self.source_total, self.precision)
            == (other.video, other.version, other.source_total, other.precision)
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
