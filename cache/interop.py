"""Features that another program made, as a store."""

import hashlib
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from ..core.errors import UsageError
from ..core.names import check_embedding_name
from ..core.provenance import now, package_versions
from .admission import check_same_spec
from .errors import FingerprintError, InteropError, StoredTypeError
from .interop_abaw4 import Abaw4Source
from .interop_csv import CsvFile
from .interop_npy import NpySource
from .interop_parquet import ParquetFile
from .interop_source import (
    FrameNumbers,
    ImportedVideo,
    ImportOptions,
    ImportSource,
    Layout,
    import_spec,
    open_labels,
    short_list,
)
from .interop_summary import ImportSummary
from .interop_table import TableSource
from .leftovers import remove_whole
from .locate import backend_of, exists, find_local_store, store_path
from .spec import EmbeddingSpec, StoredDtype
from .store import EmbeddingStore, open_store
from .versions import Failure
from .writer import StoreWriter

Open = Callable[[Path, ImportOptions, FrameNumbers], ImportSource]

_OPEN: Final[Mapping[Layout, Open]] = {
    "abaw4": Abaw4Source,
    "npy": NpySource,
    "csv": lambda path, options, _: TableSource("csv", ".csv", CsvFile, path, options),
    "parquet": lambda path, options, _: TableSource(
        "parquet", ".parquet", ParquetFile, path, options
    ),
}
_WITHOUT: Final[Mapping[str, Mapping[str, str]]] = {
    "columns": {"abaw4": "have no columns", "npy": "have no columns"},
    "face_id": {"abaw4": "have no columns", "npy": "have no columns"},
    "frame_offset": {"abaw4": "have no frame numbers"},
    "labels": dict.fromkeys(("csv", "parquet"), "have frame numbers of their own"),
}
"""Option -> layouts that have no use for it, and why: "whose files ..."."""
_MOST: Final = 2**31 - 1
"""Largest frame number."""


def import_features(
    cache: Path,
    name: str,
    source: Path,
    layout: Layout,
    *,
    labels: str | None = None,
    store: Literal["hdf5", "zarr"] = "hdf5",
    columns: str = "",
    face_id: int | None = None,
    frame_offset: int | None = None,
    licence: str | None = None,
    dtype: StoredDtype = "float16",
) -> ImportSummary:
    """Bring the store `name` up to date with features in another layout.

    Videos that the store holds as the source has them are left alone. A video that cannot be read
    is told in the summary, and the others are imported. A new store that would refuse what an error
    says to do is not left behind.

    Args:
        cache: folder of the stores.
        name: of the embedding.
        source: a folder, one file a video, or one file.
        layout: how it is written.
        labels: name of the labels store whose frame numbers are taken for a source that has none,
            where lengths agree.
        store: form of a new store.
        columns: patterns of columns that are features, with commas between them.
        face_id: whose rows are taken.
        frame_offset: added to frame numbers.
        licence: of the features; recorded.
        dtype: type of the stored numbers.

    Raises:
        UsageError: an option that the layout has no use for; a name that is none; frames that count
            from 0.
        InteropError: nothing of the source can be read.
        FingerprintError: the store holds other features; the message names what differs.
        StoredTypeError: float16 does not hold the numbers, or loses too much of them.
    """
    check_embedding_name(name)
    patterns = tuple(part.strip() for part in columns.split(",") if part.strip())
    options = ImportOptions(
        labels=None if labels is None else open_labels(cache, labels),
        columns=patterns,
        face_id=face_id,
        frame_offset=frame_offset,
        license=licence,
        dtype=dtype,
    )
    _check_options(layout, options)
    numbers = FrameNumbers(options.labels)
    opened = _OPEN[layout](source, options, numbers)
    path = store_path(cache, name, store)
    spec = import_spec(opened, dtype)
    _check_columns(path, spec)
    summary = ImportSummary(path, list(opened.notes))
    hashes: dict[str, int] = {}
    for video in opened.videos:
        try:
            hashes[video] = opened.content_hash(video)
        except InteropError as error:
            summary.refused[video] = str(error)
    if not hashes:
        summary.raise_for_videos()
    is_new = not exists(backend_of(path), path)
    try:
        with StoreWriter.open(path, spec, _provenance(opened, source, options, hashes)) as writer:
            _import_all(writer, opened, hashes, summary)
    except (UsageError, StoredTypeError):
        if is_new and exists(backend_of(path), path):
            remove_whole(*find_local_store(path))
        raise
    _note_empty(summary)
    if layout in {"abaw4", "npy"}:
        summary.notes += _number_notes(numbers, labels)
    return summary


def _check_options(layout: Layout, options: ImportOptions) -> None:
    """Refuse what the layout has no use for, and numbers that no frame or face has."""
    for name, without in _WITHOUT.items():
        if getattr(options, name) not in ((), None) and layout in without:
            message = (
                f"--{name.replace('_', '-')} is not for the layout {layout}, whose files "
                f"{without[layout]}; leave it out"
            )
            raise UsageError(message)
    for name in ("frame_offset", "face_id"):
        value: int = getattr(options, name) or 0
        if abs(value) > _MOST:
            message = f"--{name.replace('_', '-')} must be within +-{_MOST}, but is beyond; mend it"
            raise UsageError(message)


def _check_columns(path: Path, spec: EmbeddingSpec) -> None:
    """Raise FingerprintError naming the columns that differ: two lists of 700 tell nothing."""
    if not exists(backend_of(path), path):
        return
    with open_store(path) as found:
        if not isinstance(found, EmbeddingStore):
            return
        stored, asked = (str(s.options.get("columns", "")) for s in (found.spec, spec))
        if stored == asked or not (stored and asked):
            check_same_spec(path, found.spec, spec)
            return
    had, has = stored.split(","), asked.split(",")
    gone = [item for item in had if item not in has]
    come = [item for item in has if item not in had]
    differs = f"lacks [{short_list(gone)}] and has besides [{short_list(come)}]"
    if not gone and not come:
        differs = "has the same in another order"
    message = (
        f"{path} holds other columns: it has {len(had)} of them, and what is imported {differs}; "
        f"give it another --name, choose the same by --columns, or remove {path} to replace it"
    )
    raise FingerprintError(message)


def _provenance(
    source: ImportSource, path: Path, options: ImportOptions, hashes: Mapping[str, int]
) -> dict[str, Any]:
    digest = hashlib.sha256()
    for video, value in hashes.items():
        digest.update(f"{video}\n{value:032x}\n".encode())
    found = {
        "objective": "unknown",
        "weights_source": "import",
        "source": path.name,
        "source_videos": len(hashes),
        "source_sha256": digest.hexdigest(),
        "date": now(),
        "versions": package_versions(("abaw", "numpy", "h5py", "zarr", "pyarrow")),
    }
    return found if options.license is None else {**found, "licence": options.license}


def _import_all(
    writer: StoreWriter, source: ImportSource, hashes: Mapping[str, int], summary: ImportSummary
) -> None:
    for video, content in hashes.items():
        state = writer.state(video)
        if state is not None and state.complete and state.input_hash == content:
            summary.unchanged.append(video)
            continue
        try:
            found = source.read(video)
        except InteropError as error:
            summary.refused[video] = str(error)
            continue
        _add(writer, video, 1 if state is None else state.version + 1, content, found)
        (summary.new if state is None else summary.changed).append(video)
        numbers = found.frame[~found.is_readable].tolist()
        summary.failures += map(Failure, [video] * len(numbers), numbers, found.reasons)
        summary.n_rows += len(found.embedding)
        if not len(found.embedding):
            summary.empty.append(video)
    there = set(source.videos)
    summary.absent = [video for video in writer.videos if video not in there]
    if len(summary.refused) == len(there):
        summary.raise_for_videos()
    # An import that was killed has left parts.
    if summary.new or summary.changed or backend_of(summary.path).list_parts(summary.path):
        writer.compact()


def _note_empty(summary: ImportSummary) -> None:
    """Name the videos, too, that were without features when they were imported."""
    if not summary.unchanged:
        return
    with open_store(summary.path) as store:
        summary.empty += [video for video in summary.unchanged if video not in store]


def _add(writer: StoreWriter, video: str, version: int, content: int, found: ImportedVideo) -> None:
    """Add a video in runs of rows that have a time and of rows that have none."""
    total = len(found.frame)
    has_time = np.zeros(total, np.bool_) if found.time is None else np.isfinite(found.time)
    cuts = [0, *(np.flatnonzero(np.diff(has_time)) + 1).tolist(), total]
    n_readable = np.concatenate([[0], np.cumsum(found.is_readable)])
    for start, stop in pairwise(cuts):
        keep = found.is_readable[start:stop]
        frame = found.frame[start:stop]
        first, last = int(n_readable[start]), int(n_readable[stop])
        reasons = found.reasons[start - first : stop - last]
        time = found.time if found.time is not None and has_time[start] else None
        writer.add(
            video,
            version=version,
            source_start=start,
            source_length=stop - start,
            source_total=total,
            frame=frame[keep],
            embedding=found.embedding[first:last],
            failures=list(map(Failure, [video] * len(reasons), frame[~keep].tolist(), reasons)),
            input_hash=content if start == 0 else 0,  # a video's hash is the sum of its pieces'
            stat_hash=0,
            precision="unknown",
            time=None if time is None else time[start:stop][keep],
        )


def _number_notes(numbers: FrameNumbers, labels: str | None) -> list[str]:
    if labels is None:
        return ["frame numbers: those of the source, else 1 to n (--labels NAME takes the labels')"]
    found = [f"frame numbers of {labels}: {len(numbers.from_labels)} videos"]
    if numbers.disagreeing:
        found.append(
            f"frame numbers 1 to n, because lengths do not agree with {labels}: "
            f"{short_list(numbers.disagreeing)}"
        )
    return found
