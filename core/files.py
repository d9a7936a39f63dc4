"""Files that are whole or not there: temporary name, fsync, rename, fsync of the folder."""

import json
import os
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

TEMPORARY_MARK = ".tmp-"
"""In the name of every temporary file or folder; a killed writer's leftovers are known by it."""

WRITTEN_AT_ONCE: Final = 4 << 20
"""Bytes of a large file after which the disk is set to work on them."""


def temporary_name(path: Path) -> Path:
    """Return a fresh sibling name of `path` that no reader takes for finished."""
    return path.with_name(f"{path.name}{TEMPORARY_MARK}{uuid.uuid4().hex[:12]}")


def fsync_folder(folder: Path) -> None:
    """Make renames and new entries in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, so that they survive a power cut.

    The entry of a folder that is there already is brought to the disk too: whoever made it may have
    been killed before he did so, or be about to.
    """
    if folder.is_dir():
        with suppress(PermissionError):  # what may not be read was not made by a process like this
            fsync_folder(folder.absolute().parent)
        return
    make_folder(folder.absolute().parent)
    make_one_folder(folder)
    fsync_folder(folder.absolute().parent)


def make_one_folder(folder: Path) -> None:
    """Make a folder whose parent is there, unless it is there itself.

    Unlike `Path.mkdir(exist_ok=True)` it bears another process that removes it just then.
    """
    while True:
        try:
            folder.mkdir()
        except FileExistsError:
            # One look: it can be removed and made again between two.
            found = _mode(folder)
            if found is not None and stat.S_ISDIR(found):
                return
            if found is not None or folder.is_symlink():  # a file, or a link to nothing
                raise
        else:
            return


def _mode(path: Path) -> int | None:
    """Return what `path` is, links followed; None if it is not there."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def publish(temporary: Path, path: Path) -> None:
    """Give a finished, fsynced `temporary` file its real name, durably."""
    temporary.replace(path)
    fsync_folder(path.parent)


@contextmanager
def errors_of(path: Path) -> Iterator[None]:
    """Have an `OSError` of a block say that it was `path` that could not be written.

    The system names no file where one that is open has no room, and a temporary one is no name that
    a user knows.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None or TEMPORARY_MARK in os.fsdecode(error.filename):
            error.filename = str(path)
        raise


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a binary file that appears as `path` only if the block ends without an exception.

    A reader sees the old file or the new one, never a part; so does one after a power cut.
    """
    make_folder(path.parent)
    temporary = temporary_name(path)
    try:
        with errors_of(path):
            with temporary.open("wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            publish(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise


def write_text_atomic(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all."""
    with atomic_write(path) as stream:
        stream.write(text.encode())


def write_json_atomic(
    path: Path,
    value: object,
    default: Callable[[Any], object] | None = None,
) -> None:
    """Write `value` as indented JSON to `path`, whole or not at all; NaN is refused."""
    write_text_atomic(path, json.dumps(value, indent=2, allow_nan=False, default=default) + "\n")


def begin_writeback(descriptor: int, start: int, length: int) -> None:
    """Ask the system to begin bringing a range of a file to the disk while more is written.

    An fsync later then waits for less. It is advice: nothing is safe before the fsync, and nothing
    is done where there is no such call.
    """
    if hasattr(os, "posix_fadvise"):
        # Linux writes dirty pages out on this advice, without waiting, and keeps them.
        with suppress(OSError):
            os.posix_fadvise(descriptor, start, length, os.POSIX_FADV_DONTNEED)
