"""The labels of videos as arrays: clean ones per unique frame, and every annotated row."""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..core.tasks import N_EXPRESSIONS, TASKS
from .errors import CorruptStoreError
from .object_path import AnyPath
from .schema import LABEL_ELEMENTS, check_video_ids
from .spec import canonical_json

Split = Literal["train", "val", "test"]
SPLITS: Final[tuple[Split, ...]] = get_args(Split)
"""Index = number in the split arrays."""


@dataclass(kw_only=True)
class LabelTable:
    """Labels of V videos with N unique frames, and the R source rows they come from.

    Unlabelled values are 0 where `…_is_labelled` is False; the markers of the annotation files
    are not in here. Frames are sorted by video and frame number.
    """

    videos: tuple[str, ...]
    """(V,) ids, sorted."""
    start: NDArray[np.int64]
    """(V,) first frame of each video."""
    length: NDArray[np.int64]
    """(V,) frames of each video."""
    frame: NDArray[np.int32]
    """(N,) frame numbers, strictly rising inside a video."""
    split: NDArray[np.int8]
    """(N,) index in `SPLITS`."""
    valence: NDArray[np.float32]
    """(N,) in [-1, 1]."""
    valence_is_labelled: NDArray[np.bool_]
    arousal: NDArray[np.float32]
    """(N,) in [-1, 1]."""
    arousal_is_labelled: NDArray[np.bool_]
    expression: NDArray[np.int8]
    """(N,) index in `core.tasks.EXPRESSIONS`."""
    expression_is_labelled: NDArray[np.bool_]
    au: NDArray[np.int8]
    """(N, 12) 0 or 1, columns as in `core.tasks.AUS`."""
    au_is_labelled: NDArray[np.bool_]
    row_path: list[str]
    """(R,) the rows' first field as read, in file order: train, val, test."""
    row_video: NDArray[np.int32]
    """(R,) index in `videos`."""
    row_frame: NDArray[np.int32]
    """(R,) frame numbers."""
    row_split: NDArray[np.int8]
    row_valence: NDArray[np.float32]
    row_valence_is_labelled: NDArray[np.bool_]
    row_arousal: NDArray[np.float32]
    row_arousal_is_labelled: NDArray[np.bool_]
    row_expression: NDArray[np.int8]
    row_expression_is_labelled: NDArray[np.bool_]
    row_au: NDArray[np.int8]
    row_au_is_labelled: NDArray[np.bool_]
    meta: dict[str, Any] = field(default_factory=dict)
    """JSON; `sources` is a list of {"split", "name", "sha256"} of the annotation files; of a file
    whose rows do not name their video also "video", and "last_crop" if crops gave its length; of a
    test list "header", its first line. `challenge` is mtl, va, expr or au."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the annotation files: split, content and what else their rows come from."""
        content = sorted(
            [
                str(item.get("split")),
                str(item["sha256"]),
                *(str(item[key]) for key in ("video", "last_crop") if key in item),
            ]
            for item in self.meta.get("sources", [])
        )
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()

    def check(self, where: AnyPath) -> None:
        """Raise CorruptStoreError unless lengths, order and ranges are as documented."""
        n_videos, n_frames, n_rows = len(self.videos), len(self.frame), len(self.row_path)
        for name, element in LABEL_ELEMENTS.items():
            attribute = name.replace("rows/", "row_").replace("index/", "")
            if name.endswith(("_bytes", "_offset")):
                continue
            array = getattr(self, attribute)
            element.check(attribute, array.dtype, array.shape, where)
            n = n_rows if name.startswith("rows/") else n_frames
            needed = n_videos if name.startswith("index/") else n
            if len(array) != needed:
                message = f"{where} must hold {needed} of {attribute}, but holds {len(array)}"
                raise CorruptStoreError(message)
        check_video_ids(self.videos, where)
        if any(a >= b for a, b in zip(self.videos[:-1], self.videos[1:], strict=True)):
            message = f"{where} must hold each video once, sorted by id, but does not"
            raise CorruptStoreError(message)
        ends = np.cumsum(self.length)
        is_cut = n_videos == 0 or (
            bool(np.all(self.length >= 1))
            and int(ends[-1]) == n_frames
            and np.array_equal(self.start, ends - self.length)
        )
        if not is_cut or (n_videos == 0 and n_frames):
            message = f"{where} must cut its {n_frames} frames into {n_videos} videos, but does not"
            raise CorruptStoreError(message)
        rises = np.diff(self.frame.astype(np.int64)) > 0
        rises[ends[:-1] - 1] = True
        if not rises.all():
            place = int(np.flatnonzero(~rises)[0])
            video = self.videos[int(np.searchsorted(ends, place, side="right"))]
            message = (
                f"frame numbers of {video!r} in {where} must rise, but {self.frame[place + 1]} "
                f"follows {self.frame[place]}"
            )
            raise CorruptStoreError(message)
        if n_rows and not (self.row_video.min() >= 0 and self.row_video.max() < n_videos):
            message = f"row_video of {where} must be in [0, {n_videos}), but is not"
            raise CorruptStoreError(message)
        for prefix in ("", "row_"):
            self._check_values(prefix, where)

    def _check_values(self, prefix: str, where: AnyPath) -> None:
        limits = {
            "split": (0, len(SPLITS) - 1),
            "valence": (-1, 1),
            "arousal": (-1, 1),
            "expression": (0, N_EXPRESSIONS - 1),
            "au": (0, 1),
        }
        for name, (low, high) in limits.items():
            values = getattr(self, prefix + name)
            if values.size and not bool(((values >= low) & (values <= high)).all()):
                found = values[~((values >= low) & (values <= high))][0]
                message = f"{prefix}{name} in {where} must be in [{low}, {high}], but has {found}"
                raise CorruptStoreError(message)
        for task in TASKS:
            values = getattr(self, prefix + task)
            if np.any(values[~getattr(self, f"{prefix}{task}_is_labelled")]):
                message = f"unlabelled values of {prefix}{task} in {where} must be 0, but are not"
                raise CorruptStoreError(message)
