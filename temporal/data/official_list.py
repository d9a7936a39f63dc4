"""The rows that a challenge asks for, in its order: from the labels store, or from a list."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ...cache import SPLITS, LabelTable, Split
from ..errors import AnnotationError, TemporalError
from .annotation_rows import SourceRows, read_lines, read_rows
from .challenges import HEADERS, challenge_of, named_in
from .lists import is_frame_list, video_list_rows
from .published import Challenge


@dataclass(frozen=True)
class OfficialList:
    """R rows, duplicates as often as they are listed."""

    source: str
    """Where they are from, for people to read."""
    challenge: Challenge
    is_by_video: bool
    """Whether a file for each video is handed in (ABAW2 and 3), not one file."""
    header: str
    """First line of what is handed in."""
    path: list[str]
    """(R,) first fields, as listed."""
    video: list[str]
    frame: NDArray[np.int32]
    """(R,) frame numbers."""

    def __len__(self) -> int:
        return len(self.path)

    def frames(self) -> dict[str, NDArray[np.int32]]:
        """Return video -> its listed frame numbers, each once, rising."""
        found: dict[str, list[int]] = {}
        for video, frame in zip(self.video, self.frame.tolist(), strict=True):
            found.setdefault(video, []).append(frame)
        return {video: np.unique(np.array(numbers, np.int32)) for video, numbers in found.items()}


def stored_list(table: LabelTable, split: Split, source: str) -> OfficialList:
    """Return the rows of a split of a labels store.

    Its files tell what is handed in: if each was of one video, or the list only named videos, so is
    what is handed in.

    Args:
        table: the labels.
        split: whose rows.
        source: where the labels are from, for people to read.

    Raises:
        TemporalError: the split has no rows.
    """
    is_in = np.flatnonzero(table.row_split == SPLITS.index(split))
    if not len(is_in):
        message = f"{source} must list frames of the split {split!r}, but lists none"
        raise TemporalError(message)
    sources = [item for item in table.meta.get("sources", []) if item.get("split") == split]
    header = next((str(item["header"]) for item in sources if item.get("header")), "")
    challenge = _challenge(table)
    is_of_videos = bool(sources) and all("video" in item for item in sources)
    is_by_video = challenge != "mtl" and is_of_videos
    return OfficialList(
        source=source,
        challenge=challenge,
        is_by_video=is_by_video,
        header=_header(challenge, header, is_by_video),
        path=[table.row_path[row] for row in is_in.tolist()],
        video=[table.videos[number] for number in table.row_video[is_in].tolist()],
        frame=table.row_frame[is_in],
    )


def listed_rows(path: Path, table: LabelTable, last_frame: Callable[[str], int]) -> OfficialList:
    """Return the rows of a list in the form of a test list.

    A list of frames whose first line is that of a challenge of one task is that challenge's, also
    beside a multi-task labels store. A list of videos is of the labels store's challenge; a video
    is as long as the list says (`<video>,<number of frames>`), or else as its rows in the labels
    store, or else up to its last embedding.

    Args:
        path: the list.
        table: the labels; tell the challenge where the list does not.
        last_frame: video -> frame number of its last embedding, 0 without any.

    Raises:
        AnnotationError: the list cannot be read, is another challenge's, or names videos in a
            challenge that asks for frames.
        VideoIdError: a name could leave its folder.
    """
    challenge = _challenge(table)
    if challenge == "mtl":
        first = next((line for line in read_lines(path)[0] if line.strip()), "")
        challenge = challenge_of(named_in(first)[1:]) or challenge
    parts: list[SourceRows]
    if is_frame_list(path, challenge):
        parts = [read_rows(path, "test")]
    elif challenge == "mtl":
        message = (
            f"{path} must list frames (<video>/<number>.jpg), as the multi-task challenge does, "
            f"but lists videos; give the challenge's list, or a run on the labels of one task"
        )
        raise AnnotationError(message)
    else:
        parts = video_list_rows(path, lambda video: _last_row(table, video) or last_frame(video))
    is_by_video = bool(parts[0].named_video)
    return OfficialList(
        source=str(path),
        challenge=challenge,
        is_by_video=is_by_video,
        header=_header(challenge, parts[0].header, is_by_video),
        path=[name for part in parts for name in part.path],
        video=[video for part in parts for video in part.video],
        frame=np.concatenate([part.frame for part in parts]),
    )


def _challenge(table: LabelTable) -> Challenge:
    """Return whose labels they are; a store that does not say it is of the multi-task challenge."""
    found = table.meta.get("challenge", "mtl")
    return cast(Challenge, found) if found in HEADERS else "mtl"


def _header(challenge: Challenge, listed: str, is_by_video: bool) -> str:
    """Return the first line of what is handed in: that of the list, if it names the columns."""
    names = ",".join(HEADERS[challenge])
    if is_by_video:
        return names
    if challenge == "mtl":
        return f"image,{names}"
    return listed if challenge_of(named_in(listed)[1:]) else f"image_location,{names}"


def _last_row(table: LabelTable, video: str) -> int:
    """Return the number of a video's last frame in the labels; 0 if they do not know it."""
    if video not in table.videos:
        return 0
    number = table.videos.index(video)
    return int(table.frame[table.start[number] + table.length[number] - 1])
