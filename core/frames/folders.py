"""Frames that are files: a tree of folders, `<video>/00001.jpg`."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import FramesError
from .source import (
    MAX_BYTES,
    UNREADABLE,
    FileNames,
    SourceFrame,
    SourceVideo,
    as_number,
    check_source_id,
    in_order,
)


@dataclass(frozen=True, eq=False, slots=True)
class FolderVideo(SourceVideo):
    """A folder of frame images."""

    def read(self, position: int) -> tuple[bytes, str]:
        """Return the bytes of the frame at `position`, or none and why; from any thread."""
        try:
            return _read_file(self.name(position), int(self.sizes[position]))
        except OSError as error:
            return b"", f"cannot be read: {error.strerror}"


def _read_file(path: str, size: int) -> tuple[bytes, str]:
    """Read a file in one call where it has the `size` that it was listed with."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        data = os.read(descriptor, min(max(size, 0), MAX_BYTES) + 1)
        if len(data) == size:
            return data, ""
        parts = [data]
        n_bytes = len(data)
        while parts[-1] and n_bytes <= MAX_BYTES:
            parts.append(os.read(descriptor, 1 << 20))
            n_bytes += len(parts[-1])
    finally:
        os.close(descriptor)
    if n_bytes > MAX_BYTES:
        return b"", f"more than {MAX_BYTES:,} bytes are too many for a frame"
    return b"".join(parts), ""


def folder_videos(tree: Path, every: int) -> Iterator[tuple[FolderVideo | None, int]]:
    """Yield, for every folder of the tree, its video if it holds frames, and its stray files.

    Raises:
        FramesError: frames lie in the tree itself, a frame number is there twice, or a folder
            cannot be listed.
        VideoIdError: a folder's path is no safe id.
    """
    for folder, images, n_other in _folders(tree):
        if not images:
            yield None, n_other
            continue
        if folder == tree:
            message = (
                f"{tree} must hold folders of frames, one a video, but holds "
                f"{min(images).file_name} itself; give the folder above it"
            )
            raise FramesError(message)
        video = check_source_id(folder.relative_to(tree).as_posix(), str(tree))
        place = str(folder)
        frames = in_order(place, images)[::every]
        yield (
            FolderVideo(
                video=video,
                place=place,
                names=FileNames([f.number for f in frames], [f.file_name for f in frames]),
                numbers=np.array([f.number for f in frames], np.int32),
                sizes=np.array([f.size for f in frames], np.int64),
                stamps=np.array([f.stamp for f in frames], np.int64),
            ),
            n_other,
        )


def _folders(tree: Path) -> Iterator[tuple[Path, list[SourceFrame], int]]:
    """Yield every folder with its frame images, unsorted, and the number of its other files."""
    waiting: list[tuple[Path, frozenset[tuple[int, int]]]] = [(tree, frozenset())]
    while waiting:
        folder, above = waiting.pop()
        images, n_other = [], 0
        try:
            status = folder.stat()
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                message = (
                    f"links must not lead to a folder that they lie in, but {folder} leads to "
                    f"{folder.resolve()}; remove it"
                )
                raise FramesError(message)
            with os.scandir(folder) as entries:
                for entry in entries:
                    if _is_folder(entry):
                        waiting.append((folder / entry.name, above | {identity}))
                    elif (frame := _as_frame(entry)) is not None:
                        images.append(frame)
                    else:
                        n_other += 1
        except OSError as error:
            message = f"{folder} must be readable, but is not: {error.strerror}; mend or remove it"
            raise FramesError(message) from error
        yield folder, images, n_other


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # of a link to itself, which is no folder
        if entry.is_symlink():
            return False
        raise


def _as_frame(entry: "os.DirEntry[str]") -> SourceFrame | None:
    """Return the frame that a file is, or None if it is none."""
    number = as_number(entry.name)
    if number is None:
        return None
    try:
        if entry.is_file():
            status = entry.stat()
            return SourceFrame(number, entry.name, status.st_size, status.st_mtime_ns)
    except OSError:
        if not entry.is_symlink():
            raise
    # A link that leads nowhere is a frame that cannot be read; a pipe or a socket is none.
    return SourceFrame(number, entry.name, UNREADABLE, 0) if entry.is_symlink() else None
