"""Which videos are of one recording: two faces of one film must never be apart in folds."""

import re
from typing import Final

_SUFFIX: Final = re.compile(r"_(?:left|right)\Z")


def recording_of(video: str) -> str:
    """Return the id of the recording that a video is a face of.

    The challenge marks a second face, or both, by `_left` and `_right` at the end of the id; an
    id without either is the first face of the same recording.

    >>> recording_of("video59_right"), recording_of("left_turn/3_left_1")
    ('video59', 'left_turn/3_left_1')
    """
    return _SUFFIX.sub("", video)
