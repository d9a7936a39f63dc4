"""From a path that a user typed to a store and its backend."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..core.files import TEMPORARY_MARK
from ..core.names import near_misses
from .backend import Backend, P
from .errors import CacheError, CorruptStoreError, StoreExistsError, StoreMissingError
from .forms import is_replaced
from .h5_store import H5Backend
from .object_path import AnyPath, ObjectPath
from .zarr_store import ZarrBackend

LocalBackend = H5Backend | ZarrBackend
BACKENDS: tuple[LocalBackend, ...] = (H5Backend(), ZarrBackend())


def backends_of(path: AnyPath) -> Sequence[Any]:
    """Return the backends that a store at `path` may have."""
    if isinstance(path, ObjectPath):
        from .object_store import ObjectBackend  # loads zarr, which files do not need

        return (ObjectBackend(),)
    return BACKENDS


def backend_of(path: AnyPath) -> Backend[Any]:
    """Return the backend whose suffix `path` has.

    Raises:
        CacheError: it has none of them.
    """
    backend: Backend[Any]
    for backend in backends_of(path):
        if path.suffix == backend.suffix:
            return backend
    if isinstance(path, ObjectPath):
        message = f"on object storage the key of a store ends in .zarr, but got {path}; add it"
        raise CacheError(message)
    message = f"the path of a store ends in .h5 or .zarr, but got {path}; add one of them"
    raise CacheError(message)


def store_path(folder: Path, name: str, backend: str) -> Path:
    """Return the path of a store in a cache: that which is there, else of the backend named.

    Raises:
        StoreExistsError: there are two of the name.
    """
    try:
        return find_local_store(folder / name)[1]
    except StoreMissingError:
        return folder / f"{name}{next(b.suffix for b in BACKENDS if b.name == backend)}"


def exists(backend: Backend[P], store: P) -> bool:
    """Return whether there is a store of this backend at `store`, compacted or in parts.

    One whose root is damaged is there: it can be named, verified, repaired and removed.
    """
    # In this order: a compaction that ends in between removes parts after its tree is in place.
    if backend.list_parts(store):
        return True
    try:
        return backend.find_base(store) is not None
    except CorruptStoreError:
        return True


def find_store(path: AnyPath) -> tuple[Backend[Any], AnyPath]:
    """Return the backend and full path of the store at `path`, with or without its suffix.

    Raises:
        StoreMissingError: there is none.
        StoreExistsError: there are two of the name.
    """
    backends = backends_of(path)
    stem = path.with_suffix("") if path.suffix in {item.suffix for item in backends} else path
    found = [
        (backend, stem.with_name(stem.name + backend.suffix))
        for backend in backends
        if exists(backend, stem.with_name(stem.name + backend.suffix))
    ]
    if len(found) > 1:
        found = [one for one in found if not any(is_replaced(*one, *other) for other in found)]
    if len(found) > 1:
        message = (
            f"a name must belong to one store, but both {found[0][1]} and {found[1][1]} exist; "
            f"remove one of them"
        )
        raise StoreExistsError(message)
    if not found or (path != stem and found[0][1] != path):
        names = list_stores(stem.parent)
        message = f"there is no store {path}; in {stem.parent}, {near_misses(stem.name, names)}"
        raise StoreMissingError(message)
    return found[0]


def find_local_store(path: Path) -> tuple[LocalBackend, Path]:
    """Return what `find_store` returns, for what is done to files and folders only.

    Raises:
        CacheError: the path is one on object storage.
        StoreMissingError, StoreExistsError: see `find_store`.
    """
    backend, store = find_store(path)
    if not (isinstance(backend, H5Backend | ZarrBackend) and isinstance(store, Path)):
        message = (
            f"stores are verified, converted, merged and removed as files and folders, but {path} "
            f"is on object storage; copy it to a folder"
        )
        raise CacheError(message)
    return backend, store


def list_stores(folder: AnyPath) -> list[str]:
    """Return the names of the stores in a cache folder, sorted."""
    return sorted({name for name, _ in _stores(folder)})


def named_or_all(folder: AnyPath, names: Sequence[str]) -> list[str]:
    """Return the names given, or those of all stores of a cache folder.

    Raises:
        StoreMissingError: none is given and the folder holds none.
    """
    found = list(names) or list_stores(folder)
    if not found:
        message = f"{folder} must hold stores to look at, but holds none; give another --cache"
        raise StoreMissingError(message)
    return found


def check_free(store: AnyPath) -> None:
    """Raise StoreExistsError if another store in the folder has the name of `store`.

    The other backend and other capital letters count: names must be safe on any file system.
    """
    for name, path in _stores(store.parent):
        if name.lower() == store.stem.lower() and path != store:
            if name == store.stem and is_replaced(backend_of(path), path, backend_of(store), store):
                continue
            message = (
                f"{store} needs a name that no other store has, but {path} exists; use that one, "
                f"choose another name, or remove it"
            )
            raise StoreExistsError(message)


@contextmanager
def _no_folder_is_empty() -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        return


def _children(folder: AnyPath) -> Sequence[AnyPath]:
    """Return what lies in a folder, sorted by name."""
    if isinstance(folder, ObjectPath):
        from .objects import names_in

        return [folder / name for name in names_in(folder)]
    return sorted(folder.iterdir())


def _stores(folder: AnyPath) -> Iterator[tuple[str, AnyPath]]:
    """Yield (name, path) of the stores in `folder`."""
    with _no_folder_is_empty():
        for path in _children(folder):
            if TEMPORARY_MARK in path.name:
                continue
            store = path.with_suffix("") if path.suffix == ".parts" else path
            for backend in backends_of(folder):
                if store.suffix == backend.suffix and exists(backend, store):
                    yield store.stem, store
