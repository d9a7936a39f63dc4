"""Where a store lies: a path of the file system, or a key of an object store."""

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # who has such a store has loaded zarr; nobody else need
    from zarr.abc.store import Store


class ObjectPath:
    """A key in a zarr store: `ObjectPath(store, "features/mae.zarr")`.

    Goes wherever this package takes the path of a store. Two are equal if their keys are and they
    are of one store object. It is pickled with its store, as data loaders do; a store that is a
    client of a service must not be used on in a forked process, so give loaders `spawn`.

    Args:
        store: any `zarr.abc.store.Store` that can list: `zarr.storage.ObjectStore` (S3, GCS and
            Azure through obstore), `FsspecStore`, `MemoryStore`.
        key: parts joined by `/`; empty for the root of the store.

    Raises:
        ValueError: a part of the key is empty, `.` or `..`.
    """

    __slots__ = ("key", "store")

    def __init__(self, store: "Store", key: str) -> None:
        if key and not {"", ".", ".."}.isdisjoint(key.split("/")):
            message = f"a key must have no part that is empty, '.' or '..', but got {key!r}"
            raise ValueError(message)
        self.store = store
        self.key = key

    @property
    def name(self) -> str:
        """The last part of the key."""
        return PurePosixPath(self.key).name

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return PurePosixPath(self.key).stem

    @property
    def suffix(self) -> str:
        """The end of the name from its last dot on."""
        return PurePosixPath(self.key).suffix

    @property
    def parent(self) -> "ObjectPath":
        """What the last part lies in."""
        return ObjectPath(self.store, self.key.rpartition("/")[0])

    def with_name(self, name: str) -> "ObjectPath":
        """Return a neighbour called `name`."""
        return self.parent / name

    def with_suffix(self, suffix: str) -> "ObjectPath":
        """Return the neighbour with another suffix."""
        return self.with_name(self.stem + suffix)

    def __truediv__(self, key: str) -> "ObjectPath":
        return ObjectPath(self.store, f"{self.key}/{key}" if self.key else key)

    def __eq__(self, other: object) -> bool:
        # Stores compare their contents, or not at all.
        return isinstance(other, ObjectPath) and (
            self.store is other.store and self.key == other.key
        )

    def __hash__(self) -> int:
        return hash((id(self.store), self.key))

    def __str__(self) -> str:
        return f"{str(self.store).rstrip('/')}/{self.key}"

    def __repr__(self) -> str:
        return f"ObjectPath({self.store!r}, {self.key!r})"


AnyPath = Path | ObjectPath
"""Where a store or one of its trees lies."""


def as_path(path: AnyPath | str) -> AnyPath:
    """Return `path`, a text as a path of the file system."""
    return path if isinstance(path, ObjectPath) else Path(path)
