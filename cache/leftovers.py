"""What an ended command has left of a store, removed by the next one; and a store removed."""

from collections.abc import Iterator
from pathlib import Path

from ..core.files import fsync_folder
from .backend import remove_tree, temporary_path
from .forms import is_replaced
from .locate import BACKENDS, LocalBackend, exists
from .zarr_store import ZarrBackend


def remove_store(backend: LocalBackend, store: Path) -> None:
    """Remove a store with its parts; whatever ends it, what is left opens or is not there.

    One folder goes at once; of a file and a folder of parts, the parts go first, so that ended in
    between it leaves what the file holds. Readers that have it open keep what they have.
    """
    parts = backend.parts_folder(store)
    for path in (store,) if parts.parent == store else (parts, store):
        if path.exists():
            doomed = temporary_path(path)
            path.replace(doomed)
            fsync_folder(path.parent)
            remove_tree(doomed)


def remove_whole(backend: LocalBackend, store: Path) -> None:
    """Remove a store, and what is left of it under its name."""
    remove_replaced(backend, store)  # first: alone it would be the store again
    remove_store(backend, store)
    remove_unfinished(store)


def end_what_was_begun(backend: LocalBackend, store: Path) -> None:
    """Remove what an ended command left beside a store: another form of it, trees, temporaries.

    Raises:
        LockedError: a process that cannot be seen from here holds the lock of compaction.
    """
    remove_replaced(backend, store)
    remove_leftovers(backend, store)


def remove_leftovers(backend: LocalBackend, store: Path) -> None:
    """Remove the temporaries of dead processes, trees that a compaction has replaced, and what a
    conversion has left of another form that is no store.
    """
    for one, path in ((backend, store), *other_forms(store)):
        one.remove_leftovers(path)
    others = [(one, path) for one, path in other_forms(store) if path.is_dir()]
    if others or backend.parts_folder(store).is_dir():  # of labels there are no parts
        with backend.lock(store, wait=True):  # held by a conversion too
            backend.tidy(store)
            for other_backend, other in others:
                _remove_unnamed(other_backend, other)


def remove_replaced(backend: LocalBackend, store: Path) -> None:
    """Remove the form of a store that this one took the place of, if it is still there."""
    for other_backend, other in other_forms(store):
        if exists(other_backend, other) and is_replaced(other_backend, other, backend, store):
            remove_store(other_backend, other)


def remove_unfinished(store: Path) -> None:
    """Remove what dead processes left under the name of a store, where there is no store."""
    stem = store.with_suffix("") if store.suffix in {one.suffix for one in BACKENDS} else store
    for backend in BACKENDS:
        path = stem.with_name(stem.name + backend.suffix)
        backend.remove_leftovers(path)
        _remove_unnamed(backend, path)


def _remove_unnamed(backend: LocalBackend, store: Path) -> None:
    if isinstance(backend, ZarrBackend) and store.is_dir() and not exists(backend, store):
        backend.remove_unnamed(store)


def other_forms(store: Path) -> Iterator[tuple[LocalBackend, Path]]:
    """Yield (backend, path) where a store could be in another form."""
    for backend in BACKENDS:
        if backend.suffix != store.suffix:
            yield backend, store.with_suffix(backend.suffix)
