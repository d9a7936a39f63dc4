"""From the rows of annotation files to the labels of unique frames."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...cache import SPLITS, LabelTable
from ...core.names import printable_name
from .annotation_report import build_report
from .annotation_rows import SourceRows, clean
from .crops import CropTrees
from .published import Challenge


def build_table(
    parts: Sequence[SourceRows],
    challenge: Challenge,
    crops: CropTrees | None,
    oddities: Mapping[str, Sequence[str]],
) -> LabelTable:
    """Return the labels of annotation files: rows in the order of `parts`, and unique frames.

    Of rows that list one frame twice, the first gives the frame's labels; all of them are kept as
    rows. A frame listed in two splits belongs to the first of train, val, test. In the VA
    challenge a frame that lacks valence or arousal has neither, as its rules say; the rows stay as
    read.

    Args:
        parts: the rows of each file, in order of split.
        challenge: whose annotations they are.
        crops: where to look for the listed crops; None skips that.
        oddities: what the reader found besides, name -> places; goes into the report.
    """
    videos = sorted({video for part in parts for video in part.video})
    number = {video: index for index, video in enumerate(videos)}
    row_video = np.array([number[v] for part in parts for v in part.video], np.int32)
    row_frame = np.concatenate([part.frame for part in parts])
    row_split = np.concatenate(
        [np.full(len(part.path), SPLITS.index(part.split), np.int8) for part in parts]
    )
    values, masks = clean(np.concatenate([part.values for part in parts]))
    key = row_video.astype(np.int64) << 32 | row_frame
    _, first, frame_of_row = np.unique(key, return_index=True, return_inverse=True)
    length = np.bincount(row_video[first], minlength=len(videos)).astype(np.int64)
    columns: dict[str, Any] = {}
    for task, array in values.items():
        columns[f"row_{task}"], columns[f"row_{task}_is_labelled"] = array, masks[task]
        columns[task], columns[f"{task}_is_labelled"] = array[first], masks[task][first]
    if challenge == "va":
        both = columns["valence_is_labelled"] & columns["arousal_is_labelled"]
        for task in ("valence", "arousal"):
            columns[task] = np.where(both, columns[task], 0).astype(np.float32)
            columns[f"{task}_is_labelled"] = both
    table = LabelTable(
        videos=tuple(videos),
        start=np.cumsum(length) - length,
        length=length,
        frame=row_frame[first],
        split=row_split[first],
        row_path=[path for part in parts for path in part.path],
        row_video=row_video,
        row_frame=row_frame,
        row_split=row_split,
        **columns,
    )
    report = build_report(table, challenge, first, frame_of_row.ravel(), crops, oddities)
    table.meta = {"challenge": challenge, "sources": list(map(_source, parts)), "report": report}
    return table


def _source(part: SourceRows) -> dict[str, Any]:
    source: dict[str, Any] = {
        "split": part.split,
        "name": printable_name(part.source.name),
        "sha256": part.sha256,
    }
    if part.named_video:
        source["video"] = part.named_video
    if part.last_crop is not None:
        source["last_crop"] = part.last_crop
    if part.header:
        source["header"] = part.header
    return source
