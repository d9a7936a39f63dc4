"""Stores in the layouts of other programs."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..core.errors import UsageError
from ..core.files import publish, temporary_name
from .errors import CacheError, StoreExistsError
from .interop_abaw4_out import write_abaw4
from .interop_csv import write_csv
from .interop_npy import write_npy
from .interop_parquet import write_parquet
from .interop_source import Layout, open_labels, short_list
from .room import room_needed
from .store import EmbeddingStore, open_store

_WRITE: Final[Mapping[Layout, Callable[[Path, EmbeddingStore], None]]] = {
    "npy": write_npy,
    "csv": write_csv,
    "parquet": write_parquet,
}


def export_features(
    cache: Path, names: Sequence[str], out: Path, layout: Layout, labels: str | None = None
) -> str:
    """Write embeddings in another layout to a new folder, whole or not at all; return a report.

    Args:
        cache: folder of the stores.
        names: of the embeddings.
        out: the folder; it must not be there, or be empty. Layouts of one file a video have a
            folder an embedding in it.
        layout: how to write.
        labels: name of the labels store, for `abaw4`: its frames are the rows.

    Raises:
        UsageError: labels are given to another layout, or one embedding is named twice.
        StoreMissingError: there is no such store.
        StoreExistsError: there is something at `out`.
        CacheError: the layout cannot hold the embeddings, or the folder cannot be written.
    """
    if labels is not None and layout != "abaw4":
        message = f"--labels is for the layout abaw4, not for {layout}; leave it out"
        raise UsageError(message)
    _check_place(out)
    stores = [_embeddings(cache, name) for name in names]
    name, count = Counter(store.name for store in stores).most_common(1)[0]
    if count > 1:
        message = f"each embedding must be named once, but {name!r} is there {count} times"
        raise UsageError(message)
    temporary = temporary_name(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
    except OSError as error:
        message = (
            f"{out} must be a new folder, but cannot be made: {error.strerror}; name another --out"
        )
        raise CacheError(message) from error
    try:
        with room_needed(out):
            notes = _write(temporary, stores, layout, cache, labels or "labels")
            _fsync_all(temporary)
        publish(temporary, out)
    except BaseException as error:
        with suppress(OSError):
            shutil.rmtree(temporary)
        if not isinstance(error, OSError):
            raise
        message = (
            f"{out} must be a folder that can be written, but is not: {error.strerror or error}; "
            f"mend that, or name another --out"
        )
        raise CacheError(message) from error
    return "\n".join([f"{out}: {', '.join(names)} in the layout {layout}", *notes])


def _check_place(out: Path) -> None:
    """Raise StoreExistsError unless there is nothing at `out`, or an empty folder."""
    found = ""
    if out.name in {"", ".."}:
        found = "no name of one"  # a folder that is stood in cannot be put in place whole
    elif out.is_symlink():
        found = "a link"
    elif out.is_dir():
        found = "not empty" if any(out.iterdir()) else ""
    elif out.exists():
        found = "a file"
    if found:
        message = f"an export needs a folder of its own, but {out} is {found}; name another --out"
        raise StoreExistsError(message)


def _write(
    folder: Path, stores: Sequence[EmbeddingStore], layout: Layout, cache: Path, labels: str
) -> list[str]:
    if layout == "abaw4":
        return [f"  {note}" for note in write_abaw4(folder, stores, open_labels(cache, labels))]
    notes = []
    for store in stores:
        own = folder / store.name
        own.mkdir()
        _WRITE[layout](own, store)
        notes.append(f"  {store.name}: {len(store)} videos, {store.n_frames:,} frames")
        hidden = [video for video in store if any(p.startswith(".") for p in video.split("/"))]
        if hidden:
            notes.append(
                f"  {store.name}: hidden files, which an import does not look at: "
                f"{short_list(hidden)}"
            )
    return notes


def _fsync_all(folder: Path) -> None:
    """Bring all that was written to the disk: what is published must survive a power cut."""
    for path in (*folder.rglob("*"), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _embeddings(cache: Path, name: str) -> EmbeddingStore:
    found = open_store(cache / name)
    if not isinstance(found, EmbeddingStore):
        message = f"what is exported must be embeddings, but {found.path} holds labels; name others"
        raise CacheError(message)
    return found
