"""What is odd in a set of annotation files: counted, with examples, never repaired in silence."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...cache import SPLITS, LabelTable
from ...core.tasks import EXPRESSIONS
from .crops import CropTrees
from .published import Challenge, published_differences
from .recordings import recording_of

_SHOWN: Final = 5

_COUNTED: Final[dict[Challenge, tuple[str, ...]]] = {
    "mtl": ("va", "expression", "au"),
    "va": ("va",),
    "expr": ("expression",),
    "au": ("au",),
}


def build_report(
    table: LabelTable,
    challenge: Challenge,
    first: NDArray[np.intp],
    frame_of_row: NDArray[np.intp],
    crops: CropTrees | None,
    oddities: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Return the counts and oddities of a table, as JSON takes them.

    Args:
        table: the labels; its `meta` is not read.
        challenge: whose annotations they are.
        first: (N,) the first row that lists each frame.
        frame_of_row: (R,) index of each row's frame.
        crops: where to look for the listed crops; None skips that.
        oddities: what the reader found besides, name -> places.
    """
    row = np.arange(len(frame_of_row))
    first_row = first[frame_of_row]
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
    has_crop = None if crops is None else _has_crop(table, crops)[frame_of_row]
    report: dict[str, Any] = {
        "challenge": challenge,
        "splits": {
            name: _split_counts(table, challenge, table.row_split == code, is_repeat, has_any)
            | _crop_counts(table, challenge, table.row_split == code, has_crop)
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
            "recordings whose two people are in two splits": _named(_shared_recordings(table)),
            **{what: _named(places) for what, places in oddities.items()},
        },
    }
    if crops is not None:
        report["oddities"] |= _crop_oddities(table, crops)
    report["differs_from_published"] = published_differences(challenge, report["splits"])
    return report


def report_text(report: dict[str, Any]) -> str:
    """Return the report for people to read."""
    lines = []
    for split, counts in report["splits"].items():
        cells = [f"{counts['rows']:,} rows", f"{counts['videos']} videos"]
        if split != "test":
            cells += [f"{counts[t]:,} with {t}" for t in _COUNTED[report["challenge"]]]
            if "without_crop" in counts:
                cells.append(f"{counts['without_crop']:,} of these without a crop")
        lines.append(f"{split:5}  {', '.join(cells)}")
    for what, found in report["oddities"].items():
        if found["count"]:
            examples = ", ".join(found["examples"])
            more = ", …" if found["count"] > len(found["examples"]) else ""
            lines.append(f"  {found['count']:,} {what}: {examples}{more}")
    lines += [f"  {line}" for line in report["differs_from_published"]]
    return "\n".join(lines)


def _labelled(table: LabelTable) -> dict[str, NDArray[Any]]:
    """Return which rows are wholly labelled: valence and arousal, all 12 AUs."""
    return {
        "va": table.row_valence_is_labelled & table.row_arousal_is_labelled,
        "expression": table.row_expression_is_labelled,
        "au": np.asarray(table.row_au_is_labelled.all(axis=1)),
    }


def _split_counts(
    table: LabelTable,
    challenge: Challenge,
    is_in: NDArray[Any],
    is_repeat: NDArray[Any],
    has_any: NDArray[Any],
) -> dict[str, int]:
    labelled = _labelled(table)
    return {
        "rows": int(is_in.sum()),
        "videos": len(np.unique(table.row_video[is_in])),
        "duplicate_rows": int((is_in & is_repeat).sum()),
        "rows_without_label": int((is_in & ~has_any).sum()),
        **{task: int((is_in & labelled[task]).sum()) for task in _COUNTED[challenge]},
    }


def _crop_counts(
    table: LabelTable, challenge: Challenge, is_in: NDArray[Any], has_crop: NDArray[Any] | None
) -> dict[str, int]:
    """Return how many labels of the one task have a crop; the expressions also by class."""
    if has_crop is None or challenge == "mtl":
        return {}
    is_labelled = _labelled(table)[_COUNTED[challenge][0]] & is_in
    counts = {
        "with_crop": int((is_labelled & has_crop).sum()),
        "without_crop": int((is_labelled & ~has_crop).sum()),
    }
    if challenge == "expr":
        classes = np.bincount(table.row_expression[is_labelled & has_crop], minlength=8)
        names = (f"{name}_with_crop" for name in EXPRESSIONS)
        counts |= dict(zip(names, classes.tolist(), strict=True))
    return counts


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


def _splits_of(table: LabelTable) -> list[tuple[str, int]]:
    pairs = np.unique(np.stack([table.row_video, table.row_split]), axis=1)
    return [(table.videos[video], split) for video, split in pairs.T.tolist()]


def _shared_videos(table: LabelTable) -> list[str]:
    times = Counter(video for video, _ in _splits_of(table))
    return [video for video, n in times.items() if n > 1]


def _shared_recordings(table: LabelTable) -> list[str]:
    """Return the recordings of which one person is in one split and the other in another."""
    people: dict[str, dict[str, set[int]]] = {}
    for video, split in _splits_of(table):
        people.setdefault(recording_of(video), {}).setdefault(video, set()).add(split)
    return sorted(
        recording
        for recording, splits in people.items()
        if len(set().union(*splits.values())) > 1 and len(splits) > 1
    )


def _examples(table: LabelTable, is_odd: NDArray[Any]) -> dict[str, Any]:
    places = np.flatnonzero(is_odd)
    return {
        "count": len(places),
        "examples": [table.row_path[int(place)] for place in places[:_SHOWN]],
    }


def _named(names: Sequence[str]) -> dict[str, Any]:
    return {"count": len(names), "examples": list(names[:_SHOWN])}


def _has_crop(table: LabelTable, crops: CropTrees) -> NDArray[np.bool_]:
    """Return for each frame, (N,), whether there is a crop."""
    has_crop = np.zeros(len(table.frame), np.bool_)
    for video, start, length in zip(table.videos, table.start, table.length, strict=True):
        listed = table.frame[start : start + length]
        has_crop[start : start + length] = np.isin(listed, crops.numbers(video))
    return has_crop


def _crop_oddities(table: LabelTable, crops: CropTrees) -> dict[str, Any]:
    """Compare the listed frames with the crops that are there."""
    missing, unlisted = _no_frames(), _no_frames()
    for video, start, length in zip(table.videos, table.start, table.length, strict=True):
        listed, there = table.frame[start : start + length], crops.numbers(video)
        _note_frames(missing, video, np.setdiff1d(listed, there))
        _note_frames(unlisted, video, np.setdiff1d(there, listed))
    strangers = sorted(crops.videos - set(table.videos))
    return {
        "listed frames without a crop": missing,
        "crops that no row lists": unlisted,
        "videos of crops that no row names": _named(strangers),
    }


def _no_frames() -> dict[str, Any]:
    return {"count": 0, "examples": []}


def _note_frames(found: dict[str, Any], video: str, numbers: NDArray[Any]) -> None:
    """Count frames of a video; only the first few become text, as there may be millions."""
    found["count"] += len(numbers)
    few = numbers[: _SHOWN - len(found["examples"])]
    found["examples"] += [f"{video}/{number:05d}" for number in few.tolist()]
