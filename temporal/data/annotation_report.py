"""What is odd in a set of annotation files: counted, with examples, never repaired in silence."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...cache import SPLITS, LabelTable

_SHOWN: Final = 5
_FRAME_FILE = re.compile(r"(\d{1,9})\.(?:jpe?g|png|webp)\Z", re.IGNORECASE)

PUBLISHED: Final[dict[str, dict[str, int]]] = {
    "train": {
        "rows": 142_382, "videos": 257, "duplicate_rows": 951, "rows_without_label": 49,
        "va": 103_917, "expression": 90_645, "au": 103_316,
    },
    "val": {
        "rows": 26_876, "videos": 50, "duplicate_rows": 210, "rows_without_label": 0,
        "va": 26_876, "expression": 15_440, "au": 26_876,
    },
    "test": {"rows": 51_159, "videos": 82, "duplicate_rows": 718},
}  # fmt: skip
"""Counts of s-Aff-Wild2 (ABAW4, 7 and 11), from participants' published notebooks."""


def build_report(
    table: LabelTable, first_row: NDArray[np.intp], frames: Sequence[Path]
) -> dict[str, Any]:
    """Return the counts and oddities of a table, as JSON takes them.

    Args:
        table: the labels; its `meta` is not read.
        first_row: (R,) for each row, the first row that lists the same frame.
        frames: frame trees in which to look for the listed crops; none skips that.
    """
    row = np.arange(len(first_row))
    is_repeat = first_row != row
    differs = _differs(table, row, first_row)
    partial_au = table.row_au_is_labelled.any(axis=1) & ~table.row_au_is_labelled.all(axis=1)
    one_sided = table.row_valence_is_labelled ^ table.row_arousal_is_labelled
    has_any = (
        table.row_valence_is_labelled
        | table.row_arousal_is_labelled
        | table.row_expression_is_labelled
        | table.row_au_is_labelled.any(axis=1)
    )
    is_test = table.row_split == SPLITS.index("test")
    report: dict[str, Any] = {
        "splits": {
            name: _split_counts(table, table.row_split == code, is_repeat, has_any)
            for code, name in enumerate(SPLITS)
            if (table.row_split == code).any()
        },
        "oddities": {
            "duplicate rows": _examples(table, is_repeat),
            "duplicate rows that disagree": _examples(table, is_repeat & differs),
            "rows with one of valence and arousal": _examples(table, np.asarray(one_sided)),
            "rows with some AUs only": _examples(table, np.asarray(partial_au)),
            "rows without any label": _examples(table, ~has_any & ~is_test),
            "rows out of frame order": _examples(table, _is_out_of_order(table)),
            "frames in two splits": _examples(
                table, is_repeat & (table.row_split != table.row_split[first_row])
            ),
            "videos in two splits": _named(_shared_videos(table)),
        },
    }
    if frames:
        report["oddities"] |= _crop_oddities(table, frames)
    report["differs_from_published"] = _published_differences(report["splits"])
    return report


def report_text(report: dict[str, Any]) -> str:
    """Return the report for people to read."""
    lines = []
    for split, counts in report["splits"].items():
        cells = [f"{counts['rows']:,} rows", f"{counts['videos']} videos"]
        if split != "test":
            cells += [f"{counts[t]:,} with {t}" for t in ("va", "expression", "au")]
        lines.append(f"{split:5}  {', '.join(cells)}")
    for what, found in report["oddities"].items():
        if found["count"]:
            examples = ", ".join(found["examples"])
            more = ", …" if found["count"] > len(found["examples"]) else ""
            lines.append(f"  {found['count']:,} {what}: {examples}{more}")
    lines += [f"  {line}" for line in report["differs_from_published"]]
    return "\n".join(lines)


def _split_counts(
    table: LabelTable, is_in: NDArray[Any], is_repeat: NDArray[Any], has_any: NDArray[Any]
) -> dict[str, int]:
    both = table.row_valence_is_labelled & table.row_arousal_is_labelled
    return {
        "rows": int(is_in.sum()),
        "videos": len(np.unique(table.row_video[is_in])),
        "duplicate_rows": int((is_in & is_repeat).sum()),
        "rows_without_label": int((is_in & ~has_any).sum()),
        "va": int((is_in & both).sum()),
        "expression": int((is_in & table.row_expression_is_labelled).sum()),
        "au": int((is_in & table.row_au_is_labelled.all(axis=1)).sum()),
    }


def _differs(table: LabelTable, row: NDArray[Any], first: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which rows say something else than the first row of their frame."""
    differs = np.zeros(len(row), np.bool_)
    for task in ("valence", "arousal", "expression", "au"):
        for name in (f"row_{task}", f"row_{task}_is_labelled"):
            values = getattr(table, name)
            unequal = values[row] != values[first]
            differs |= unequal.reshape(len(row), -1).any(axis=1)
    return differs


def _is_out_of_order(table: LabelTable) -> NDArray[np.bool_]:
    """Return which rows come after a later frame of the same video in the same file."""
    same = (np.diff(table.row_video) == 0) & (np.diff(table.row_split) == 0)
    return np.concatenate([[False], same & (np.diff(table.row_frame) < 0)])


def _shared_videos(table: LabelTable) -> list[str]:
    pairs = np.unique(np.stack([table.row_video, table.row_split]), axis=1)
    videos, counts = np.unique(pairs[0], return_counts=True)
    return [table.videos[index] for index in videos[counts > 1]]


def _examples(table: LabelTable, is_odd: NDArray[Any]) -> dict[str, Any]:
    places = np.flatnonzero(is_odd)
    return {
        "count": len(places),
        "examples": [table.row_path[int(place)] for place in places[:_SHOWN]],
    }


def _named(names: Sequence[str]) -> dict[str, Any]:
    return {"count": len(names), "examples": list(names[:_SHOWN])}


def _crop_oddities(table: LabelTable, frames: Sequence[Path]) -> dict[str, Any]:
    """Compare the listed frames with the crops that are there."""
    missing: list[str] = []
    unlisted: list[str] = []
    for video, start, length in zip(table.videos, table.start, table.length, strict=True):
        listed = set(table.frame[start : start + length].tolist())
        there = {number for tree in frames for number in _crop_numbers(tree / video)}
        missing += [f"{video}/{number:05d}" for number in sorted(listed - there)]
        unlisted += [f"{video}/{number:05d}" for number in sorted(there - listed)]
    known = {video.partition("/")[0] for video in table.videos}
    folders = {entry.name for tree in frames for entry in tree.iterdir() if entry.is_dir()}
    return {
        "listed frames without a crop": _named(missing),
        "crops that no row lists": _named(unlisted),
        "folders of crops that no row names": _named(sorted(folders - known)),
    }


def _crop_numbers(folder: Path) -> set[int]:
    try:
        with os.scandir(folder) as entries:
            found = (_FRAME_FILE.match(entry.name) for entry in entries)
            return {int(match[1]) for match in found if match}
    except (FileNotFoundError, NotADirectoryError):
        return set()


def _published_differences(splits: dict[str, dict[str, int]]) -> list[str]:
    """Say where a set that looks like s-Aff-Wild2 differs from its published counts."""
    lines = []
    for split, published in PUBLISHED.items():
        counts = splits.get(split)
        if counts is None or abs(counts["rows"] - published["rows"]) > 0.02 * published["rows"]:
            continue
        lines += [
            f"{split}: {counts[key]:,} {key.replace('_', ' ')}, where s-Aff-Wild2 has {value:,}"
            for key, value in published.items()
            if counts[key] != value
        ]
    return lines
