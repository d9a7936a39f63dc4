"""The files of an import and of an export: found, hashed, made; what the system refuses is told."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Final

import xxhash

from ..core.names import check_video_id
from .errors import InteropError

_READ_BYTES: Final = 1 << 20


def find_files(source: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    """Return the files of a folder by video id, their relative path without suffix, sorted.

    Args:
        source: the folder, looked through in depth, also where links lead; or one file.
        suffixes: those that count; hidden files do not. A link that leads nowhere is there: it is
            a video that cannot be read.

    Raises:
        InteropError: there is no such file, or two of one id, or a folder cannot be read.
        VideoIdError: a file's name cannot be a video id.
    """
    if not source.exists():
        message = f"what to import must be there, but {source} is not; check the path"
        raise InteropError(message)
    is_folder = source.is_dir()
    folder = source if is_folder else source.parent
    found: dict[str, Path] = {}
    for path in sorted(_files(source)) if is_folder else [source]:
        if path.suffix.lower() not in suffixes or path.name.startswith("."):
            continue
        if not path.is_file() and path.exists():  # a pipe would be waited for
            continue
        inside = path.relative_to(folder)
        video = check_video_id(inside.with_suffix("").as_posix(), str(folder))
        if video in found:
            message = (
                f"a video must be one file, but {found[video]} and {path} would both be {video!r}; "
                f"remove or rename one"
            )
            raise InteropError(message)
        found[video] = path
    if not found:
        message = (
            f"{source} must hold files that end in {' or '.join(suffixes)}, one a video, but holds "
            f"none; check the path and --layout"
        )
        raise InteropError(message)
    return dict(sorted(found.items()))


def _files(source: Path) -> Iterator[Path]:
    """Yield what is no folder, in folders that are not hidden; links are followed."""
    waiting: list[tuple[Path, frozenset[tuple[int, int]]]] = [(source, frozenset())]
    while waiting:
        folder, above = waiting.pop()
        try:
            status = folder.stat()
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                message = (
                    f"{folder} must not lead to a folder that it lies in, but leads to "
                    f"{folder.resolve()}; remove the link"
                )
                raise InteropError(message)
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
            for path in (folder / name for name in names):
                if path.is_dir():
                    waiting.append((path, above | {identity}))
                else:
                    yield path
        except OSError as error:
            message = f"{folder} must be readable, but is not: {error.strerror}; mend or remove it"
            raise InteropError(message) from error


def unreadable(path: Path, error: OSError) -> InteropError:
    """Return what is told of a file that the system does not read."""
    return InteropError(
        f"{path} must be a readable file, but is not: {error.strerror or error}; copy it again"
    )


def hash_file(path: Path) -> "xxhash.xxh3_128":
    """Return a running hash of a file's bytes.

    Raises:
        InteropError: the system does not read it.
    """
    digest = xxhash.xxh3_128()
    try:
        with path.open("rb") as stream:
            while block := stream.read(_READ_BYTES):
                digest.update(block)
    except OSError as error:
        raise unreadable(path, error) from error
    return digest


def new_file(folder: Path, video: str, suffix: str) -> IO[bytes]:
    """Return a new file `<video><suffix>` in a folder, open to write.

    Raises:
        FileExistsError: another video's file has the name, as `A` and `a` where capitals are alike.
        OSError: the system does not make it.
        VideoIdError: the id could leave the folder.
    """
    path = folder / f"{check_video_id(video)}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("xb")
