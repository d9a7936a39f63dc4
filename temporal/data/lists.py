"""The lists of the test split: of every frame, or of the videos only.

A list of frames (multi-task challenge; ABAW5 and later) has `<video>/<number>.jpg` first in each
line; a sample of the file to hand in is one. A list of videos (ABAW2 and 3) has a name a line and
does not say how long they are; a line `<video>,<number of frames>` does.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from ...core.names import check_video_id
from ..errors import AnnotationError
from .annotation_rows import (
    SourceRows,
    is_frame_path,
    numbered_rows,
    read_lines,
    unlabelled_values,
)
from .challenges import challenge_of, named_in
from .crops import CropTrees
from .published import Challenge
from .task_folders import TASK_FOLDERS

PATH_COLUMNS = frozenset({"image", "image_location"})
"""What the first line of a list of frames calls their paths, in lower case."""
_SHOWN: Final = 20
MOST_FRAMES: Final = 10_000_000
"""Frames of a video beyond which a list is wrong: more than four days at 25 a second."""


def is_frame_list(path: Path, challenge: Challenge) -> bool:
    """Return whether a test list has a row for every frame, `<video>/<number>.jpg,…`.

    Raises:
        AnnotationError: the list cannot be read, or is another challenge's.
    """
    lines = [line for line in read_lines(path)[0] if line.strip()]
    first, *names = named_in(lines[0]) if lines else ("",)
    other = challenge_of(names)
    if other not in {None, challenge}:
        message = (
            f"{path} must be the test list of {_called(challenge)}, but its first line is that of "
            f"{_called(other)}; give the list of the task"
        )
        raise AnnotationError(message)
    is_path = (is_frame_path(line.partition(",")[0].strip()) for line in lines[:2])
    return first in PATH_COLUMNS or any(is_path)


def _called(challenge: Challenge | None) -> str:
    if challenge is None or challenge == "mtl":
        return "the multi-task challenge"
    return TASK_FOLDERS[challenge][0]


def listed_videos(path: Path) -> tuple[dict[str, int | None], str]:
    """Return the videos that a list names, in its order, and the SHA-256 of its bytes.

    Returns:
        Video -> number of its frames, or None where the list does not say it.

    Raises:
        AnnotationError: the list cannot be read, names nothing, or a number of frames is none, or
            of no video, or not what the list says elsewhere of the video.
        VideoIdError: a name could leave its folder.
    """
    lines, sha256 = read_lines(path)
    lengths: dict[str, int | None] = {}
    first_line: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        name, _, rest = line.partition(",")
        video, length = name.strip(), rest.partition(",")[0].strip()
        if not line.strip():
            continue
        if not video:
            message = (
                f"{path}:{number} must begin with the name of a video, but begins with a comma; "
                f"mend the line"
            )
            raise AnnotationError(message)
        check_video_id(video, f"{path}:{number}")
        is_number = length.isdecimal() and any(int(digit) for digit in length)
        if length and not is_number:
            message = (
                f"{path}:{number} must name a video, and may say behind a comma how many frames it "
                f"has, but has {length!r} there; mend the line"
            )
            raise AnnotationError(message)
        n_frames = _checked_length(length, f"{path}:{number}", video) if length else None
        if lengths.setdefault(video, n_frames) != n_frames:
            says = "does not say how long" if n_frames is None else f"has {n_frames:,} frames"
            other = lengths[video]
            said = "does not say" if other is None else f"says {other:,}"
            message = (
                f"{path}:{number} must say of a video what the list says elsewhere, but "
                f"{video!r} {says}, and line {first_line[video]} {said}; remove one of them"
            )
            raise AnnotationError(message)
        first_line.setdefault(video, number)
    if not lengths:
        message = f"{path} must list frames or videos, but lists none; give the challenge's list"
        raise AnnotationError(message)
    return lengths, sha256


def _checked_length(text: str, where: str, video: str) -> int:
    """Return a number of frames from its digits."""
    if len(text) > _SHOWN or int(text) > MOST_FRAMES:
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        message = (
            f"{where} must say at most {MOST_FRAMES:,} frames of a video, but says {shown} of "
            f"{video!r}; mend the line"
        )
        raise AnnotationError(message)
    return int(text)


def read_video_list(path: Path, crops: CropTrees | None) -> list[SourceRows]:
    """Return rows for the videos that a test list names, in its order.

    Where the list does not say how many frames a video has, they are those from 1 to its last crop.
    The true length may be greater, where no face was found at the end. A video without any crop
    gets frame 1, so that it is predicted at all.

    Args:
        path: the list, a video a line.
        crops: where to look for the videos' crops.

    Raises:
        AnnotationError: the list cannot be read or names nothing, there are no crops to tell how
            long the videos are, or none of the videos has a crop.
        VideoIdError: a name could leave its folder.
    """
    listed, sha256 = listed_videos(path)
    unsaid = [video for video, length in listed.items() if length is None]
    if unsaid and crops is None:
        message = (
            f"{path} names {len(unsaid)} videos, but not their frames, which must be known; give "
            f"the trees of their crops by --frames"
        )
        raise AnnotationError(message)
    last_crop = {video: _last_crop(crops, video) for video in unsaid} if crops else {}
    if unsaid and not any(last_crop.values()):
        message = (
            f"the videos that {path} names must have crops in the trees of --frames, but none of "
            f"the {len(unsaid)} has, the first is {unsaid[0]!r}; mend the list or --frames"
        )
        raise AnnotationError(message)
    return [
        numbered_rows(
            path,
            "test",
            video,
            unlabelled_values(length or _likely(last_crop[video], "crop", path, video)),
            sha256,
            last_crop.get(video),
        )
        for video, length in listed.items()
    ]


def video_list_rows(path: Path, n_frames: Callable[[str], int]) -> list[SourceRows]:
    """Return rows for the videos that a list names, their lengths from elsewhere where it has none.

    Args:
        path: the list, a video a line.
        n_frames: video -> frames of a video whose length the list does not say; 0 if unknown.

    Raises:
        AnnotationError: the list cannot be read or names nothing.
        VideoIdError: a name could leave its folder.
    """
    listed, sha256 = listed_videos(path)
    return [
        numbered_rows(
            path,
            "test",
            video,
            unlabelled_values(length or _likely(n_frames(video), "frame", path, video)),
            sha256,
        )
        for video, length in listed.items()
    ]


def _likely(last: int, what: str, path: Path, video: str) -> int:
    """Return how many frames a video has whose last one is known; 1 if none is."""
    if last > MOST_FRAMES:
        message = (
            f"{path} names {video!r}, whose last {what} is {last:,}, but a video has at most "
            f"{MOST_FRAMES:,} frames; say its length in the list (<video>,<number of frames>), or "
            f"remove the {what}"
        )
        raise AnnotationError(message)
    return max(1, last)


def _last_crop(crops: CropTrees, video: str) -> int:
    numbers = crops.numbers(video)
    return int(numbers[-1]) if len(numbers) else 0
