"""The lock of compaction on object storage: an object that the service creates for one only.

There is no process to look at. A lock that is held is therefore refused, whoever holds it, until
its holder removes it or a user breaks it.
"""

import json
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Self

from zarr.abc.store import Store
from zarr.storage import WrapperStore

from . import objects
from .errors import LockedError
from .object_path import ObjectPath


class ObjectLock:
    """A lock that this process has taken."""

    def __init__(self, path: ObjectPath) -> None:
        self._path = path
        owner = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "token": uuid.uuid4().hex,
        }
        self._text = json.dumps(owner).encode()

    @classmethod
    def take(cls, path: ObjectPath, *, break_lock: bool) -> Self | None:
        """Return the lock, or None if it is held."""
        lock = cls(path)
        if break_lock:
            objects.write(path, lock._text)
        else:
            objects.write_if_absent(path, lock._text)
        return lock if lock.is_ours() else None

    def is_ours(self) -> bool:
        """Return whether nobody has broken the lock."""
        return objects.read(self._path) == self._text

    def check(self) -> None:
        """Raise LockedError if somebody has broken the lock."""
        if not self.is_ours():
            message = (
                f"{self._path} must be held by this process while it compacts, but "
                f"{_holder(self._path)} has broken it; nothing is changed, compact again when that "
                f"process has ended"
            )
            raise LockedError(message)

    def let_go(self) -> None:
        """Remove the lock, unless it is another's by now."""
        if self.is_ours():
            objects.remove_many([self._path])


@contextmanager
def object_lock(path: ObjectPath, *, wait: bool, break_lock: bool) -> Iterator[ObjectLock | None]:
    """Hold the lock `path`; yields None if it is held and `wait` is False.

    Args:
        path: of the lock.
        wait: whether somebody needs the lock now; there is nothing to wait by, so it is an error
            if it is held.
        break_lock: take it from whoever holds it.

    Raises:
        LockedError: with `wait`, the lock is held, or the store cannot create for one only.
    """
    if not break_lock and not creates_for_one(path.store):
        if wait:
            message = (
                f"compaction needs a store that creates an object for one writer only, but "
                f"{type(path.store).__name__} looks first and then writes ({path}); use "
                f"zarr.storage.ObjectStore, or if no other process compacts add --break-lock (the "
                f"parts are safe and readable as they are)"
            )
            raise LockedError(message)
        yield None
        return
    lock = ObjectLock.take(path, break_lock=break_lock)
    if lock is None:
        if wait:
            message = (
                f"{path.parent.parent} must be compacted by one process at a time, but "
                f"{_holder(path)} holds {path}, and on object storage nobody can tell whether it "
                f"lives; wait for it, or if it is gone add --break-lock (the parts are safe and "
                f"readable as they are)"
            )
            raise LockedError(message)
        yield None
        return
    try:
        yield lock
    finally:
        lock.let_go()


def creates_for_one(store: Store) -> bool:
    """Return whether `set_if_not_exists` of a store lets one of several writers win.

    That which every store inherits from zarr asks whether the key is there and then writes.
    """
    while isinstance(store, WrapperStore):
        store = store._store
    return type(store).set_if_not_exists is not Store.set_if_not_exists


def _holder(path: ObjectPath) -> str:
    text = objects.read(path)
    try:
        owner = json.loads(text or b"")
        return f"process {owner['pid']} of {owner['host']} (since {owner['since']})"
    except (ValueError, TypeError, KeyError):
        return f"an unknown process ({text!r})"
