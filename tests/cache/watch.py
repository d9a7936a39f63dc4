"""Tells which files of a folder any process opened, as Linux sees it (inotify)."""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OPENED = 0x20
_READ = 0x01
_EVENT = struct.Struct("iIII")


class Watch:
    """The names that were opened or read in some folders since the last look."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def seen(self) -> set[str]:
        """Return the names, and forget them."""
        found = set()
        while True:
            try:
                data = os.read(self._descriptor, 1 << 16)
            except BlockingIOError:
                return found
            place = 0
            while place < len(data):
                _, _, _, length = _EVENT.unpack_from(data, place)
                place += _EVENT.size
                found.add(data[place : place + length].rstrip(b"\0").decode() or ".")
                place += length


def can_watch() -> bool:
    """Return whether the system tells who opens what."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "inotify_init1"):
        return False
    descriptor = libc.inotify_init1(os.O_CLOEXEC)
    if descriptor >= 0:
        os.close(descriptor)
    return descriptor >= 0


@contextmanager
def watching(folder: Path) -> Iterator[Watch]:
    """Watch a folder and those in it."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert descriptor >= 0, os.strerror(ctypes.get_errno())
    try:
        for path in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
            added = libc.inotify_add_watch(descriptor, os.fsencode(path), _OPENED | _READ)
            assert added >= 0, os.strerror(ctypes.get_errno())
        yield Watch(descriptor)
    finally:
        os.close(descriptor)
