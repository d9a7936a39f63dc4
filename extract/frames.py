"""The frame source: trees of face crops, `<video>/00001.jpg`.

A video is a folder that directly holds frame images; its id is the folder's path below the tree,
with `/`. A frame's number is the number its file is called, never its place in the folder.
"""

import hashlib
import io
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ..core.names import check_video_id
from .errors import FramesError

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})
HASH_MODULUS: Final = 1 << 128

_NUMBER = re.compile(r"\d{1,9}\Z")


class SourceFrame(NamedTuple):
    """One frame image, not read yet."""

    number: int
    file_name: str
    size: int
    """Bytes."""
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
    """Files that are no frames: other suffixes, or names that are no number."""

    @property
    def n_frames(self) -> int:
        """Number of frame images, readable or not."""
        return sum(len(video.frames) for video in self.videos.values())


class DecodedFrame(NamedTuple):
    """A frame image that was read: its pixels, or why there are none."""

    pixels: NDArray[np.uint8] | None
    """(H, W, 3), red first."""
    reason: str
    """Why it could not be decoded; empty if it could."""
    input_hash: int
    """Hash of number and bytes, 128 bits."""


def find_videos(trees: Sequence[Path]) -> FrameSet:
    """Return the videos of all trees as one set.

    Links to files are followed while they stay inside their tree; links to folders are refused.

    Raises:
        FramesError: a tree is missing or holds no frame, an id is in two trees, a frame number
            is there twice, or a link leads out of the tree.
        VideoIdError: a folder's path is no safe id.
    """
    found: dict[str, SourceVideo] = {}
    n_stray = 0
    for tree in trees:
        if not tree.is_dir():
            message = f"{tree} must be a folder of <video>/00001.jpg, but is not there"
            raise FramesError(message)
        n_before = len(found)
        for folder, images, stray in _folders(tree):
            n_stray += stray
            if not images:
                continue
            video = folder.relative_to(tree).as_posix()
            if video == ".":
                message = (
                    f"{tree} must hold folders of frames, one a video, but holds "
                    f"{images[0].file_name} itself; give the folder above it"
                )
                raise FramesError(message)
            check_video_id(video, str(tree))
            if video in found:
                message = (
                    f"a video must be in one tree, but {video!r} is in both "
                    f"{found[video].folder} and {folder}; rename or remove one"
                )
                raise FramesError(message)
            found[video] = SourceVideo(video, folder, _in_order(folder, images))
        if len(found) == n_before:
            kinds = ", ".join(sorted(SUFFIXES))
            message = (
                f"{tree} must hold frames <video>/<number> as {kinds}, but has none; give the "
                f"folder that the video folders are in"
            )
            raise FramesError(message)
    return FrameSet(dict(sorted(found.items())), n_stray)


def _folders(tree: Path) -> Iterator[tuple[Path, list[SourceFrame], int]]:
    """Yield every folder with its frame images, unsorted, and the number of its other files."""
    root = tree.resolve()
    waiting = [tree]
    while waiting:
        folder = waiting.pop()
        images, stray = [], 0
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_symlink():
                    _check_link(Path(entry.path), root)
                if entry.is_dir():
                    waiting.append(Path(entry.path))
                    continue
                stem, suffix = os.path.splitext(entry.name)  # noqa: PTH122 - millions of names
                is_frame = suffix.lower() in SUFFIXES and _NUMBER.match(stem) and int(stem) > 0
                if not is_frame:
                    stray += 1
                    continue
                stat = entry.stat()
                images.append(SourceFrame(int(stem), entry.name, stat.st_size, stat.st_mtime_ns))
        yield folder, images, stray


def _check_link(path: Path, root: Path) -> None:
    target = path.resolve()
    if target.is_dir() or not target.is_relative_to(root):
        message = (
            f"links must stay inside the tree {root} and lead to files, but {path} leads to "
            f"{target}; give that folder as a tree of its own, or copy it"
        )
        raise FramesError(message)


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
        text = f"{frame.number} {frame.size} {frame.mtime_ns}".encode()
        total += int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "little")
    return total % HASH_MODULUS


def input_hash(number: int, data: bytes) -> int:
    """Return the hash of a frame's number and bytes, 128 bits."""
    digest = hashlib.blake2b(number.to_bytes(8, "little"), digest_size=16)
    digest.update(data)
    return int.from_bytes(digest.digest(), "little")


def read_frame(path: Path, number: int) -> DecodedFrame:
    """Read one frame image once: hash its bytes and decode them.

    Whatever is wrong with the file is told in the result; nothing is raised for it.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        return DecodedFrame(None, f"cannot be read: {error.strerror}", input_hash(number, b""))
    pixels, reason = _decode(data)
    return DecodedFrame(pixels, reason, input_hash(number, data))


def _decode(data: bytes) -> tuple[NDArray[np.uint8] | None, str]:
    if not data:
        return None, "the file is empty"
    try:
        with warnings.catch_warnings():
            # Pillow only warns of an image of a hundred megapixels; no face crop is one.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                return np.asarray(image.convert("RGB")), ""
    except UnidentifiedImageError:
        return None, "not an image"
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        return None, "too many pixels for a face crop"
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        return None, f"damaged image: {error}"
