"""Which videos are of one recording: two faces of one film must never be apart in folds."""

import re
from collections.abc import Iterable
from typing import Final

from ...core.errors import UsageError

_SUFFIX: Final = re.compile(r"_(?:left|right)\Z")
_SHOWN: Final = 3


def recording_of(video: str) -> str:
    """Return the id of the recording that a video is a face of.

    The challenge marks a second face, or both, by `_left` and `_right` at the end of the id; an
    id without either is the first face of the same recording.

    >>> recording_of("video59_right"), recording_of("left_turn/3_left_1")
    ('video59', 'left_turn/3_left_1')
    """
    return _SUFFIX.sub("", video)


def recordings(videos: Iterable[str], same: str | None = None) -> dict[str, str]:
    """Return video -> id of its recording; videos of one recording have equal ids.

    Args:
        videos: ids.
        same: regular expression that is searched in each id; its first group is the recording's
            id too, so that videos with equal groups are of one recording. Videos that it does not
            match keep their own.

    Raises:
        UsageError: `same` is no regular expression, has no group, or matches no video.

    >>> recordings(["7_left", "7", "film-7", "film-8"], r"^film-(\\d+)")
    {'7_left': '7', '7': '7', 'film-7': '7', 'film-8': '8'}
    """
    videos = list(videos)
    if same is None:
        return {video: recording_of(video) for video in videos}
    named = _named_by(same, videos)
    leader: dict[str, str] = {}  # id -> an id of the same recording; a root is its own

    def root(name: str) -> str:
        leader.setdefault(name, name)
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    for video, name in named.items():
        first, second = sorted((root(recording_of(video)), root(name)))
        leader[second] = first
    return {video: root(recording_of(video)) for video in videos}


def _named_by(same: str, videos: list[str]) -> dict[str, str]:
    """Return video -> what the first group of the expression matches, where it does."""
    try:
        pattern = re.compile(same)
    except re.error as error:
        message = f"--same takes a regular expression, but {same!r} is not one: {error}"
        raise UsageError(message) from error
    if not pattern.groups:
        message = (
            f"--same needs a group that is the recording's id, like '^(\\d+)-', but {same!r} has "
            f"none; put the id in parentheses"
        )
        raise UsageError(message)
    found = {video: match.group(1) for video in videos if (match := pattern.search(video))}
    named = {video: name for video, name in found.items() if name}
    if not named:
        message = (
            f"--same must match a video, but {same!r} matches none of the {len(videos)} "
            f"({', '.join(videos[:_SHOWN])}, …)"
        )
        raise UsageError(message)
    return named
