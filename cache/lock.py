"""The one lock there is: two compactions of a store follow each other."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import CacheError


@contextmanager
def compaction_lock(folder: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the file `folder`/lock; yields False if it is taken and `wait` is False.

    The system lets go of the lock of a process that ends. The holder may remove the file, so a
    lock counts only if the file still has its name.

    Raises:
        CacheError: the file system has no locks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "lock"
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            folder.mkdir(parents=True, exist_ok=True)
            continue
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            except OSError as error:
                message = (
                    f"compaction needs a file system with locks, but {path} cannot be locked "
                    f"({error.strerror}); the parts are safe and readable as they are"
                )
                raise CacheError(message) from error
            try:
                is_current = os.path.samestat(os.fstat(descriptor), path.stat())
            except FileNotFoundError:
                is_current = False
            if is_current:
                yield True
                return
        finally:
            os.close(descriptor)
