"""What a video is before stage 1: numbered frame images that can be read, wherever they lie.

Data sets have millions of frames, so a video holds arrays of 20 bytes a frame (37 in an archive)
and the pattern of its file names, not an object for each.
"""

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import FramesError
from ..names import VideoIdError, check_video_id

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})
UNREADABLE: Final = -1
"""Size of a frame whose bytes the system did not give."""
MAX_BYTES: Final = 1 << 26
"""More than the file of any face crop has; a file or a member of an archive can have any number."""

_MAX_NUMBER: Final = (1 << 31) - 1
"""Frame numbers are stored as int32."""


class SourceFrame(NamedTuple):
    """One frame image, not read yet."""

    number: int
    file_name: str
    size: int
    """Bytes; `UNREADABLE` for a link that leads nowhere."""
    stamp: int
    """What changes with the bytes: the modification time of a file in ns, the CRC-32 of a member
    of a zip, the modification time of the tar that it is a member of."""


class _Listed(Protocol):
    """A frame as a folder or an archive lists it."""

    @property
    def number(self) -> int: ...
    @property
    def file_name(self) -> str: ...


ListedT = TypeVar("ListedT", bound=_Listed)


class FileNames:
    """The file names of a video's frames: a pattern, and the names that do not follow it.

    Args:
        numbers: of the frames.
        names: of their files, in the same order.
    """

    __slots__ = ("_others", "_suffix", "_width")

    def __init__(self, numbers: Sequence[int], names: Sequence[str]) -> None:
        stems = [os.path.splitext(name) for name in names]  # noqa: PTH122 - millions of names
        suffixes = Counter(suffix for _, suffix in stems)
        widths = Counter(len(stem) for stem, _ in stems if stem.startswith("0"))
        self._suffix = suffixes.most_common(1)[0][0] if suffixes else ""
        self._width = widths.most_common(1)[0][0] if widths else 1
        self._others = {
            position: name
            for position, (number, name) in enumerate(zip(numbers, names, strict=True))
            if name != self._by_pattern(number)
        } or None

    def at(self, position: int, number: int) -> str:
        """Return the name of the file at `position`, which has frame `number`."""
        if self._others is not None and position in self._others:
            return self._others[position]
        return self._by_pattern(number)

    def _by_pattern(self, number: int) -> str:
        return f"{number:0{self._width}d}{self._suffix}"


@dataclass(frozen=True, eq=False, slots=True)
class SourceVideo(ABC):
    """The frame images of one video, sorted by number, each number once."""

    video: str
    place: str
    """The folder they lie in, for messages: a path, or `archive.zip/folder`."""
    names: FileNames
    numbers: NDArray[np.int32]
    """(n_frames,), strictly rising."""
    sizes: NDArray[np.int64]
    """(n_frames,) bytes; `UNREADABLE` for a link that leads nowhere."""
    stamps: NDArray[np.int64]
    """(n_frames,), see `SourceFrame.stamp`."""

    @property
    def n_frames(self) -> int:
        """Number of frame images, readable or not."""
        return len(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def name(self, position: int) -> str:
        """Return where the frame at `position` is, for messages: its path, or that in an archive.

        Positions count from 0, as everywhere.
        """
        return f"{self.place}/{self.names.at(position, int(self.numbers[position]))}"

    def frame(self, position: int) -> SourceFrame:
        """Return what is known of the frame at `position` without reading it."""
        number = int(self.numbers[position])
        name = self.names.at(position, number)
        return SourceFrame(number, name, int(self.sizes[position]), int(self.stamps[position]))

    @abstractmethod
    def read(self, position: int) -> tuple[bytes, str]:
        """Return the bytes of the frame at `position`, or none and why; from any thread."""


def as_number(name: str) -> int | None:
    """Return the frame number of a file of this name, or None if it is no frame's.

    >>> as_number("00012.jpg"), as_number("cover.jpg"), as_number("00012.txt")
    (12, None, None)
    """
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - millions of names
    if suffix.lower() not in SUFFIXES or not (stem.isascii() and stem.isdecimal()):
        return None
    # Python refuses to read numbers of thousands of digits, which a member's name may have.
    number = int(stem) if len(stem) < 1000 else 0
    return number if 0 < number <= _MAX_NUMBER else None


def in_order(place: str, frames: Iterable[ListedT]) -> list[ListedT]:
    """Return the frames of the folder `place` sorted by number.

    Raises:
        FramesError: a number is there twice.
    """
    ordered = sorted(frames, key=lambda frame: (frame.number, frame.file_name))
    for one, two in pairwise(ordered):
        if one.number == two.number:
            message = (
                f"a frame number must be there once, but {place} holds {one.file_name} and "
                f"{two.file_name}; remove one"
            )
            raise FramesError(message)
    return ordered


def check_source_id(video: str, tree: str) -> str:
    """Return the id of a video found in `tree` if it is safe.

    Raises:
        VideoIdError: it is not, or is not UTF-8, as every id in a store is.
    """
    if not video.isascii():
        try:
            video.encode()
        except UnicodeEncodeError:
            message = (
                f"a video's folder must have a name in UTF-8, but {os.fsencode(video)!r} in {tree} "
                f"has not; rename it"
            )
            raise VideoIdError(message) from None
    return check_video_id(video, tree)
