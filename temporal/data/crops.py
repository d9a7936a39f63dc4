"""Which crops there are: the frame numbers of each video, in several trees as one."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import AnnotationError

_FRAME_FILE = re.compile(r"(\d{1,9})\.(?:jpe?g|png|webp)\Z", re.IGNORECASE)


class CropTrees:
    """The crops of one or more trees, `<video>/00001.jpg`; they are one set.

    Args:
        trees: folders of videos.

    Raises:
        AnnotationError: a tree is not a folder.
    """

    def __init__(self, trees: Sequence[Path]) -> None:
        for tree in trees:
            if not tree.is_dir():
                message = f"a tree of frames must be a folder, but {tree} is none; mend --frames"
                raise AnnotationError(message)
        self.trees = tuple(trees)
        self._numbers: dict[str, NDArray[np.int32]] = {}

    def numbers(self, video: str) -> NDArray[np.int32]:
        """Return the frame numbers of a video's crops, rising; none where there is no folder."""
        if video not in self._numbers:
            found = [number for tree in self.trees for number in _crop_numbers(tree / video)]
            self._numbers[video] = np.unique(np.array(found, np.int32))
        return self._numbers[video]

    def folders(self) -> set[str]:
        """Return the names of the folders in the trees."""
        return {entry.name for tree in self.trees for entry in tree.iterdir() if entry.is_dir()}


def _crop_numbers(folder: Path) -> list[int]:
    try:
        with os.scandir(folder) as entries:
            found = (_FRAME_FILE.match(entry.name) for entry in entries)
            return [int(match[1]) for match in found if match]
    except (FileNotFoundError, NotADirectoryError):
        return []
