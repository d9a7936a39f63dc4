"""Frames that are members of a zip or tar, read in place.

Every read is one `pread` (two at most) from one descriptor, without a lock or a position that
threads would share, and without opening the archive again.
"""

import os
import struct
import weakref
import zlib
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..errors import FramesError
from .source import MAX_BYTES, SourceVideo

_LOCAL_HEADER: Final = struct.Struct("<4s22xHH")
"""Of a zip: its mark, and the lengths of the name and of the extra field that follow it."""
_LOCAL_MARK: Final = b"PK\x03\x04"
_HEADER_GUESS: Final = 512
"""Bytes read for a header with its name and extra field; a longer one costs a second read."""


class Packing(IntEnum):
    """How a member lies in its archive."""

    TAR = 0
    """As it is; the offset is that of its bytes."""
    STORED = 1
    """As it is, in a zip; the offset is that of its local header."""
    DEFLATED = 2
    ENCRYPTED = 3
    OTHER_METHOD = 4
    LINK = 5
    SPARSE = 6


_CANNOT: Final = {
    Packing.ENCRYPTED: "encrypted in its archive; unpack the archive and give the folder",
    Packing.OTHER_METHOD: "compressed in its archive by another method than deflate; unpack the "
    "archive and give the folder",
    Packing.LINK: "a link in an archive, which is not followed; unpack the archive and give the "
    "folder",
    Packing.SPARSE: "a sparse file in an archive; unpack the archive and give the folder",
}


class ArchiveFile:
    """An archive open for reading at any place, from any thread; closed when nobody holds it.

    A copy in another process opens the file again.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            message = f"{path} must be readable, but is not: {error.strerror}; mend or remove it"
            raise FramesError(message) from error
        weakref.finalize(self, os.close, self.descriptor)

    def __reduce__(self) -> tuple[type["ArchiveFile"], tuple[Path]]:
        return ArchiveFile, (self.path,)


@dataclass(frozen=True, eq=False, slots=True)
class ArchiveVideo(SourceVideo):
    """The frame images in one folder of an archive."""

    archive: ArchiveFile
    offsets: NDArray[np.int64]
    """(n_frames,) places in the archive, see `Packing`."""
    lengths: NDArray[np.int64]
    """(n_frames,) bytes in the archive."""
    packings: NDArray[np.uint8]
    """(n_frames,) of `Packing`."""

    def read(self, position: int) -> tuple[bytes, str]:
        """Return the bytes of the frame at `position`, or none and why; from any thread."""
        packing = Packing(self.packings[position])
        if packing in _CANNOT:
            return b"", _CANNOT[packing]
        size, length = int(self.sizes[position]), int(self.lengths[position])
        if max(size, length) > MAX_BYTES:
            return b"", f"{max(size, length):,} bytes are too many for a frame"
        descriptor, offset = self.archive.descriptor, int(self.offsets[position])
        data: bytes | None
        try:
            if packing is Packing.TAR:
                data = os.pread(descriptor, length, offset)
            else:
                data = _zip_data(descriptor, offset, length)
        except OSError as error:
            return b"", f"cannot be read: {error.strerror}"
        if data is None or len(data) != length:
            return b"", "damaged archive: its bytes are not all there"
        if packing is Packing.TAR:
            return data, ""
        return _unpacked(data, packing, size, int(self.stamps[position]))


def _zip_data(descriptor: int, offset: int, length: int) -> bytes | None:
    """Return a member's packed bytes, fewer than `length` at the archive's end; None if the
    offset is not that of a member."""
    block = os.pread(descriptor, length + _HEADER_GUESS, offset)
    if len(block) < _LOCAL_HEADER.size:
        return None
    mark, name_length, extra_length = _LOCAL_HEADER.unpack_from(block)
    if mark != _LOCAL_MARK:
        return None
    start = _LOCAL_HEADER.size + name_length + extra_length
    if start + length <= len(block):
        return block[start : start + length]
    return os.pread(descriptor, length, offset + start)


def _unpacked(data: bytes, packing: Packing, size: int, crc: int) -> tuple[bytes, str]:
    if packing is Packing.DEFLATED:
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            # One byte more than claimed, so that a member that inflates to more is seen.
            data = inflate.decompress(data, size + 1)
        except zlib.error:
            return b"", "damaged archive: its bytes cannot be inflated"
    if len(data) != size:
        return b"", f"damaged archive: it must have {size:,} bytes, but has another number"
    if zlib.crc32(data) != crc:
        return b"", "damaged archive: its bytes do not fit their checksum"
    return data, ""
