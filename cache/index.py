"""Builds the index and report of one tree, and writes a tree's rows with them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np

from .backend import Tree, TreeWriter
from .loss import DtypeLoss
from .schema import (
    EMBEDDING_ELEMENTS,
    EMBEDDINGS,
    FORMAT_VERSION,
    Array,
    index_checksum,
    pack,
    split_hash,
)
from .spec import EmbeddingSpec, canonical_json

_KNOWN: Final = frozenset(
    {
        "format",
        "format_version",
        "embedding_spec",
        "fingerprint",
        "provenance",
        "run_settings",
        "precisions",
        "optional",
        "loss",
        "checksum",
    }
)
"""Root attributes of a tree of embeddings."""


@dataclass(frozen=True, kw_only=True)
class EntryValues:
    """One row of an index that is being written."""

    video: str
    start: int
    length: int
    version: int
    source_start: int
    source_length: int
    source_total: int
    input_hash: int
    stat_hash: int
    precision: str
    checksum: int


@dataclass(frozen=True)
class StoreHead:
    """What every tree of a store repeats, so that each is complete by itself."""

    spec: EmbeddingSpec
    provenance: Mapping[str, Any]
    run_settings: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Root attributes that this version does not know; they are kept."""

    @classmethod
    def of_tree(cls, tree: Tree, spec: EmbeddingSpec) -> Self:
        """Return what a tree that was read says, its spec already parsed."""
        attributes = tree.attributes
        return cls(
            spec,
            json.loads(attributes["provenance"]),
            json.loads(attributes["run_settings"]),
            {name: value for name, value in attributes.items() if name not in _KNOWN},
        )


def write_rows_room(
    writer: TreeWriter, spec: EmbeddingSpec, n_rows: int, *, has_time: bool = False
) -> None:
    """Make room for the rows of a tree."""
    writer.create_rows("embedding", (n_rows, spec.dim), np.dtype(spec.dtype))
    writer.create_rows("frame", (n_rows,), np.dtype("<i4"))
    if has_time:
        writer.create_rows("time", (n_rows,), np.dtype("<f8"))


def write_index(
    writer: TreeWriter,
    head: StoreHead,
    entries: Sequence[EntryValues],
    report: Iterable[tuple[str, int, int, str]],
    *,
    loss: DtypeLoss | None = None,
    has_time: bool = False,
) -> None:
    """Write everything of a tree but its rows; the attributes come last.

    Args:
        entries: in the order of their rows.
        report: (video, version, frame, reason) of frames that could not be read.
        loss: what the stored type can have lost of the rows; of a compacted tree.
        has_time: whether the rows have presentation times.
    """
    precisions = sorted({entry.precision for entry in entries})
    attributes: dict[str, Any] = {
        **head.extra,
        "format": EMBEDDINGS,
        "format_version": FORMAT_VERSION[EMBEDDINGS],
        "embedding_spec": head.spec.to_json(),
        "fingerprint": head.spec.fingerprint,
        "provenance": canonical_json(head.provenance),
        "run_settings": canonical_json(head.run_settings),
        "precisions": canonical_json(precisions),
        "optional": canonical_json(["time"] if has_time else []),
    }
    if loss is not None:
        attributes["loss"] = canonical_json(loss.to_json())
    arrays = {**_index_arrays(entries, precisions), **_report_arrays(list(report))}
    attributes["checksum"] = index_checksum(attributes, arrays)
    for name, array in arrays.items():
        writer.write_array(name, array)
    writer.write_attributes(attributes)


def _index_arrays(entries: Sequence[EntryValues], precisions: Sequence[str]) -> dict[str, Array]:
    columns: dict[str, list[Any]] = {
        name: [getattr(entry, name) for entry in entries]
        for name in ("start", "length", "version", "source_start", "source_length")
    }
    columns["source_total"] = [entry.source_total for entry in entries]
    columns["input_hash"] = [split_hash(entry.input_hash) for entry in entries]
    columns["stat_hash"] = [split_hash(entry.stat_hash) for entry in entries]
    columns["precision"] = [precisions.index(entry.precision) for entry in entries]
    columns["checksum"] = [entry.checksum for entry in entries]
    arrays = {f"index/{name}": _typed(f"index/{name}", values) for name, values in columns.items()}
    arrays["index/id_bytes"], arrays["index/id_offset"] = pack(entry.video for entry in entries)
    return arrays


def _report_arrays(report: Sequence[tuple[str, int, int, str]]) -> dict[str, Array]:
    videos, versions, frames, reasons = zip(*report, strict=True) if report else ((), (), (), ())
    arrays = {
        "report/version": _typed("report/version", versions),
        "report/frame": _typed("report/frame", frames),
    }
    arrays["report/video_bytes"], arrays["report/video_offset"] = pack(videos)
    arrays["report/reason_bytes"], arrays["report/reason_offset"] = pack(reasons)
    return arrays


def _typed(name: str, values: Sequence[Any]) -> Array:
    element = EMBEDDING_ELEMENTS[name]
    array = np.array(values, element.dtypes[0])
    return array if element.columns is None else array.reshape(len(values), element.columns)
