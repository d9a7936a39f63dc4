"""Ways to damage any store: bytes at random, and files that are lost or something else."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

HUGE = 10**12
Damage = Callable[["Place"], None]


class Place:
    """A copy of a sound store, about to be damaged.

    Args:
        store: the file or folder.
        outside: a folder beside it that no reader may look into: the same store, and `rows`.
        rng: draws what is damaged.
    """

    def __init__(self, store: Path, outside: Path, rng: np.random.Generator) -> None:
        self.store = store
        self.outside = outside
        self.rng = rng

    @property
    def files(self) -> list[Path]:
        """All files of the store."""
        found = [path for path in self.store.parent.rglob("*") if path.is_file()]
        return sorted(path for path in found if "lock" not in path.name)

    def file(self, pattern: str = "") -> Path:
        """Return a file, by chance, whose path holds a pattern."""
        found = [path for path in self.files if pattern in str(path)]
        return found[self.rng.integers(len(found))]

    def edit(self, change: Callable[[bytearray], bytes | bytearray], pattern: str = "") -> None:
        """Change the bytes of a file."""
        path = self.file(pattern)
        path.write_bytes(change(bytearray(path.read_bytes())))

    def number(self, below: int) -> int:
        """Return a number from 0 to below `below`, 0 if there is none."""
        return int(self.rng.integers(max(below, 1)))


def cut_short(place: Place) -> None:
    place.edit(lambda data: data[: place.number(len(data))])


def some_bits(place: Place) -> None:
    def change(data: bytearray) -> bytearray:
        for _ in range(1 + place.number(32)):
            if data:
                data[place.number(len(data))] ^= 1 << place.number(8)
        return data

    place.edit(change)


def _block(place: Place, make: Callable[[bytearray, int], bytes]) -> None:
    def change(data: bytearray) -> bytearray:
        size = min(len(data), 1 << place.number(13))
        at = place.number(len(data) - size)
        data[at : at + size] = make(data, size)
        return data

    place.edit(change)


def noise(place: Place) -> None:
    _block(place, lambda _, size: place.rng.bytes(size))


def zeros(place: Place) -> None:
    _block(place, lambda _, size: bytes(size))


def ones(place: Place) -> None:
    _block(place, lambda _, size: b"\xff" * size)


def spliced(place: Place) -> None:
    def other(data: bytearray, size: int) -> bytes:
        at = place.number(len(data) - size)
        return bytes(data[at : at + size])

    _block(place, other)


def bytes_more(place: Place) -> None:
    place.edit(lambda data: data + place.rng.bytes(1 + place.number(5000)))


def bytes_lost(place: Place) -> None:
    def change(data: bytearray) -> bytearray:
        at = place.number(len(data))
        del data[at : at + 1 + place.number(64)]
        return data

    place.edit(change)


def exchanged(place: Place) -> None:
    one, other = place.file(), place.file()
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)


def file_lost(place: Place) -> None:
    place.file().unlink()


def folder_in_its_place(place: Place) -> None:
    path = place.file()
    path.unlink()
    path.mkdir()


def pipe_in_its_place(place: Place) -> None:
    """Whoever opens it waits for a writer that never comes."""
    path = place.file()
    path.unlink()
    os.mkfifo(path)


def link_to_itself(place: Place) -> None:
    path = place.file()
    path.unlink()
    path.symlink_to(path)


BYTES: list[Damage] = [
    *(cut_short, some_bits, some_bits, noise, zeros, ones, spliced, bytes_more, bytes_lost),
    *(exchanged, file_lost, folder_in_its_place, pipe_in_its_place, link_to_itself),
]
