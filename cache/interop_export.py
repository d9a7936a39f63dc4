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
from .interop_abaw4 import write_abaw4
from .interop_csv import write_csv
from .interop_npy import write_npy
from .interop_parquet import write_parquet
from .interop_source import Layout
from .labels import LabelStore
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
        UsageError: labels are given to another layout.
        StoreMissingError: there is no such store.
        StoreExistsError: there is something at `out`.
        CacheError: the layout cannot hold the embeddings.
    """
    if labels is not None and layout != "abaw4":
        message = f"--labels is for the layout abaw4, not for {layout}; leave it out"
        raise UsageError(message)
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        message = (
            f"each embedding must be named once, but {twice[0]!r} is there {names.count(twice[0])} "
            f"times; leave out the others"
        )
        raise UsageError(message)
    if found := _what_is_there(out):
        message = f"an export needs a folder of its own, but {out} is {found}; name another --out"
        raise StoreExistsError(message)
    stores = [_embeddings(cache, name) for name in names]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{out} must be a new folder, but cannot be made: {error.strerror}; name another"
        raise CacheError(message) from error
    temporary = temporary_name(out)
    temporary.mkdir()
    try:
        with room_needed(out):
            notes = _write(temporary, stores, layout, cache / (labels or "labels"))
            _fsync_all(temporary)
        publish(temporary, out)
    except BaseException:
        with suppress(OSError):
            shutil.rmtree(temporary)
        raise
    return "\n".join([f"{out}: {', '.join(names)} in the layout {layout}", *notes])


def _write(
    folder: Path, stores: Sequence[EmbeddingStore], layout: Layout, labels: Path
) -> list[str]:
    if layout == "abaw4":
        found = open_store(labels)
        if not isinstance(found, LabelStore):
            message = f"--labels must name a labels store, but {found.path} holds embeddings"
            raise UsageError(message)
        return [f"  {note}" for note in write_abaw4(folder, stores, found)]
    for store in stores:
        own = folder / store.name
        own.mkdir()
        _WRITE[layout](own, store)
    return [f"  {store.name}: {len(store)} videos, {store.n_frames:,} frames" for store in stores]


def _what_is_there(out: Path) -> str:
    """Return what keeps a folder from being made at `out`; nothing if it is new or empty."""
    if out.is_symlink():
        return "a link"
    if out.is_dir():
        return "not empty" if any(out.iterdir()) else ""
    return "a file" if out.exists() else ""


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
