"""Reads the files of the system that won the 4th challenge: HDF5, `<video>/feature` (n, D)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import h5py
import numpy as np
import xxhash

from ..core.names import check_video_id
from .errors import InteropError
from .interop_source import (
    FrameNumbers,
    ImportedVideo,
    ImportOptions,
    Layout,
    check_dim,
    check_rows,
    finite_video,
    first_readable,
    short_list,
)
from .spec import Option

_FEATURE: Final = "feature"
_HASHED_ROWS: Final = 4_096
_DAMAGES: Final = (OSError, RuntimeError, KeyError)
"""What h5py raises for what it cannot read."""


class Abaw4Source:
    """The datasets `<video>/feature` of one file; see `ImportSource`."""

    layout: Layout = "abaw4"

    def __init__(self, source: Path, options: ImportOptions, numbers: FrameNumbers) -> None:
        if source.is_dir():
            message = (
                f"{source} must be a file features/<name>.h5, but is a folder; name a file in it"
            )
            raise InteropError(message)
        self._path = source
        self._numbers = numbers
        self.options: dict[str, Option] = {}
        with self._open() as file:
            found = _look_through(file)
            self.videos: tuple[str, ...] = tuple(
                sorted(check_video_id(name, str(source)) for name in found.videos)
            )
            self.notes: list[str] = found.notes()
            if not self.videos:
                message = (
                    f"{source} must hold datasets <video>/feature, but holds none (its first names "
                    f"are {short_list(list(file), 3) or 'none'}); name a file of features/"
                )
                raise InteropError(message)
            self.dim = first_readable(self.videos, lambda video: self._rows(file, video).shape[1])

    def content_hash(self, video: str) -> int:
        """Return the hash of the dataset and of its frame numbers."""
        digest = xxhash.xxh3_128()
        with self._open() as file:
            data = self._rows(file, video)
            digest.update(f"{data.dtype.str} {data.shape}".encode())
            for start in range(0, data.shape[0], _HASHED_ROWS):
                digest.update(np.ascontiguousarray(data[start : start + _HASHED_ROWS]).data)
            digest.update(self._numbers.of(video, data.shape[0]).astype("<i8").tobytes())
        return digest.intdigest()

    def read(self, video: str) -> ImportedVideo:
        """Return the rows of a video; those that are not finite have no features."""
        with self._open() as file:
            data = self._rows(file, video)
            check_dim(data.shape[1], self.dim, self._where(video))
            rows = data[:]

        def say(row: int, column: int, value: object) -> str:
            return f"row {row + 1}: dimension {column} is {value}"

        return finite_video(self._numbers.of(video, len(rows)), rows, None, say)

    @contextmanager
    def _open(self) -> Iterator[h5py.File]:
        try:
            with h5py.File(self._path, "r", locking=False) as file:
                yield file
        except (*_DAMAGES, ValueError) as error:
            why = error.args[0] if isinstance(error, KeyError) else error  # else it is in quotes
            message = f"{self._path} must be a whole HDF5 file, but {why}; copy it again"
            raise InteropError(message) from error

    def _where(self, video: str) -> str:
        return f"{video}/{_FEATURE} of {self._path}"

    def _rows(self, file: h5py.File, video: str) -> h5py.Dataset:
        """Return the dataset of a video, which has real numbers and two axes."""
        try:
            data = file[f"{video}/{_FEATURE}"]
        except _DAMAGES as error:
            message = f"{self._where(video)} must be whole, but {error.args[0]}; copy it again"
            raise InteropError(message) from error
        check_rows(data, self._where(video))
        if data.external or data.is_virtual:
            message = (
                f"{self._where(video)} must be in the file itself, but is kept in others; copy it "
                f"into one file"
            )
            raise InteropError(message)
        return data


@dataclass
class _Contents:
    """Names in a file."""

    videos: list[str] = field(default_factory=list)
    """Groups that hold features, and what is damaged."""
    links: list[str] = field(default_factory=list)
    """Soft and external ones: what is read is in this file, under one name."""
    bare: list[str] = field(default_factory=list)
    """Groups with neither features nor groups."""

    def notes(self) -> list[str]:
        """Return what of the file is not imported."""
        found = []
        if self.links:
            found.append(f"links are not followed: {short_list(sorted(self.links))}")
        if self.bare:
            found.append(f"groups without a dataset {_FEATURE!r}: {short_list(sorted(self.bare))}")
        return found


def _look_through(file: h5py.File) -> _Contents:
    """Return the names in a file.

    Two names of one object are two videos, which HDF5's own visit would visit once.

    Raises:
        ValueError: a name is not UTF-8.
    """
    found = _Contents()
    waiting: list[tuple[str, h5py.Group, frozenset[int]]] = [("", file, frozenset())]
    while waiting:
        name, group, above = waiting.pop()
        address: int = h5py.h5o.get_info(group.id).addr
        if address in above:  # a group that holds itself holds nothing new
            continue
        is_bare = bool(name)
        for key in group:
            if isinstance(key, bytes):  # as h5py gives names that are not UTF-8
                message = f"names must be UTF-8, but one is {key!r}"
                raise ValueError(message)
            inner = f"{name}/{key}" if name else key
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                found.links.append(inner)
                is_bare = False
                continue
            try:
                item = group[key]
            except _DAMAGES:  # told when it is read
                found.videos.append(name if key == _FEATURE and name else inner)
                is_bare = False
                continue
            if isinstance(item, h5py.Group):
                waiting.append((inner, item, above | {address}))
                is_bare = False
            elif key == _FEATURE and name:
                found.videos.append(name)
                is_bare = False
        if is_bare:
            found.bare.append(name)
    return found
