"""Which crops there are: the frame numbers of each video, in several trees as one."""

from collections.abc import Sequence, Set
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...core.frames import find_videos


class CropTrees:
    """The crops of one or more trees, which are one set, as `abaw extract` would read them.

    Only their numbers are kept; no image is read.

    Args:
        trees: folders or archives of `<video>/00001.jpg`.

    Raises:
        FramesError: a tree is missing, damaged or holds no frame, or a video is in two.
        VideoIdError: a folder's path is no safe id.
    """

    def __init__(self, trees: Sequence[Path]) -> None:
        found = find_videos(trees).videos
        self._numbers = {video: source.numbers for video, source in found.items()}

    @property
    def videos(self) -> Set[str]:
        """The ids of the videos that have a crop."""
        return self._numbers.keys()

    def numbers(self, video: str) -> NDArray[np.int32]:
        """Return the frame numbers of a video's crops, rising; none if it has no crop."""
        return self._numbers.get(video, np.empty(0, np.int32))
