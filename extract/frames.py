"""The frame source: trees of face crops, `<video>/00001.jpg`.

A video is a folder that directly holds frame images; its id is the folder's path below the tree,
with `/`. A frame's number is the number its file is called, never its place in the folder.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from ..core.names import check_video_id
from .errors import FramesError

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})
HASH_MODULUS: Final = 1 << 128
UNREADABLE: Final = -1
"""Size of a file that the system did not let be read."""

_MAX_NUMBER: Final = (1 << 31) - 1
"""Frame numbers are stored as int32."""


class SourceFrame(NamedTuple):
    """One frame image, not read yet."""

    number: int
    file_name: str
    size: int
    """Bytes; `UNREADABLE` for a link that leads nowhere."""
    mtime_ns: int


@dataclass(frozen=True)
class SourceVideo:
    """A folder of frame images."""

    video: str
    folder: Path
    frames: tuple[SourceFrame, ...]
    """Sorted by number, each number once."""

    def path(self, position: int) -> Path:
        """Return the file of the frame at `position`."""
        return self.folder / self.frames[position].file_name


@dataclass(frozen=True)
class FrameSet:
    """The videos of one or more trees."""

    videos: dict[str, SourceVideo]
    """Id -> video, sorted by id."""
    n_stray: int
    """Files that are no frames: other suffixes, or names that are no number above 0."""

    @property
    def n_frames(self) -> int:
        """Number of frame images, readable or not."""
        return sum(len(video.frames) for video in self.videos.values())

    def only(self, videos: Iterable[str]) -> "FrameSet":
        """Return the set with these videos alone, in order of id."""
        return FrameSet({video: self.videos[video] for video in sorted(videos)}, self.n_stray)


def find_videos(trees: Sequence[Path], *, every: int = 1) -> FrameSet:
    """Return the videos of all trees as one set.

    Links are followed wherever they lead (a tree is often made of links to crops kept elsewhere,
    and what is extracted is known by its bytes); a link to a folder that it lies in is refused.

    Args:
        trees: folders that hold the video folders, at any depth.
        every: take the first frame of each video and every `every`-th after it.

    Raises:
        FramesError: a tree is missing or holds no frame, trees overlap, an id is in two trees, a
            frame number is there twice, or a folder cannot be listed.
        VideoIdError: a folder's path is no safe id.
    """
    _check_trees(trees)
    found: dict[str, SourceVideo] = {}
    n_stray = 0
    for tree in trees:
        n_before = len(found)
        for folder, images, n_other in _folders(tree):
            n_stray += n_other
            if not images:
                continue
            video = folder.relative_to(tree).as_posix()
            if video == ".":
                message = (
                    f"{tree} must hold folders of frames, one a video, but holds "
                    f"{min(images).file_name} itself; give the folder above it"
                )
                raise FramesError(message)
            check_video_id(video, str(tree))
            if video in found:
                message = (
                    f"a video must be in one tree, but {video!r} is in both "
                    f"{found[video].folder} and {folder}; rename or remove one"
                )
                raise FramesError(message)
            found[video] = SourceVideo(video, folder, _in_order(folder, images)[::every])
        if len(found) == n_before:
            kinds = ", ".join(sorted(SUFFIXES))
            message = (
                f"{tree} must hold frames <video>/<number> as {kinds}, but has none; give the "
                f"folder that the video folders are in"
            )
            raise FramesError(message)
    return FrameSet(dict(sorted(found.items())), n_stray)


def _check_trees(trees: Sequence[Path]) -> None:
    for tree in trees:
        if not tree.is_dir():
            found = "is a file" if tree.exists() else "is not there"
            message = f"{tree} must be a folder of <video>/00001.jpg, but {found}"
            raise FramesError(message)
    for tree in trees:
        for other in trees:
            if other.resolve() in tree.resolve().parents:
                message = (
                    f"trees must not lie in one another, or a video would have two ids, but "
                    f"{tree} lies in {other}; leave one out"
                )
                raise FramesError(message)


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
                    if entry.is_dir():
                        waiting.append((folder / entry.name, above | {identity}))
                    elif (frame := _as_frame(entry)) is not None:
                        images.append(frame)
                    else:
                        n_other += 1
        except OSError as error:
            message = f"{folder} must be readable, but is not: {error.strerror}; mend or remove it"
            raise FramesError(message) from error
        yield folder, images, n_other


def _as_frame(entry: "os.DirEntry[str]") -> SourceFrame | None:
    """Return the frame that a file is, or None if it is none."""
    stem, suffix = os.path.splitext(entry.name)  # noqa: PTH122 - millions of names
    if suffix.lower() not in SUFFIXES or not (stem.isascii() and stem.isdecimal()):
        return None
    number = int(stem)
    if not 0 < number <= _MAX_NUMBER:
        return None
    if not entry.is_file():
        # A link that leads nowhere is a frame that cannot be read; a pipe or a socket is none.
        return SourceFrame(number, entry.name, UNREADABLE, 0) if entry.is_symlink() else None
    status = entry.stat()
    return SourceFrame(number, entry.name, status.st_size, status.st_mtime_ns)


def _in_order(folder: Path, images: Iterable[SourceFrame]) -> tuple[SourceFrame, ...]:
    frames = sorted(images)
    for one, two in pairwise(frames):
        if one.number == two.number:
            message = (
                f"a frame number must be there once, but {folder} holds {one.file_name} and "
                f"{two.file_name}; remove one"
            )
            raise FramesError(message)
    return tuple(frames)


def stat_hash(frames: Iterable[SourceFrame]) -> int:
    """Return the sum of hashes of number, size and modification time, modulo 2**128.

    A sum, so that the hashes of a video's pieces add up to that of the video.
    """
    total = 0
    for frame in frames:
        text = b"%d %d %d" % (frame.number, frame.size, frame.mtime_ns)
        total += int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "little")
    return total % HASH_MODULUS


def input_hash(number: int, data: bytes) -> int:
    """Return the hash of a frame's number and bytes, 128 bits; a video's is the sum of these."""
    digest = hashlib.blake2b(number.to_bytes(8, "little"), digest_size=16)
    digest.update(data)
    return int.from_bytes(digest.digest(), "little")
