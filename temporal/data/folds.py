"""The fold file: which videos each fold trains on, and which it is chosen by.

Fold 0 is the official split. Folds 1 to k deal all recordings of train and val into k validation
sets that are alike in their labels; each fold trains on the recordings of the other sets. A
recording is never in two validation sets, nor on both sides of a fold above 0. The test split
takes no part.

An expression, or an action unit, that few recordings have can be missing from a validation set:
that is allowed, and reported.
"""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from ...cache import LabelStore, LabelTable
from ...cache.spec import canonical_json
from ...core.errors import UsageError
from ...core.files import write_json_atomic
from ...core.names import folds_file_name
from ..errors import TemporalError
from .label_sums import label_sums
from .recordings import recordings
from .roles import FoldRoles, official_roles, resplit_roles, whole_roles
from .stratify import deal, quantities

FORMAT_VERSION: Final = 1
_SHOWN: Final = 3


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FoldVideos(_Stored):
    """The videos of one fold, sorted."""

    train: list[str]
    val: list[str]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the videos: equal for folds that are equal."""
        return hashlib.sha256(canonical_json([self.train, self.val]).encode()).hexdigest()


class LabelsOfFolds(_Stored):
    """The labels store that folds are of."""

    name: str
    fingerprint: str


class FoldFile(_Stored):
    """What a fold file holds."""

    format: Literal["abaw-folds"]
    format_version: int
    seed: int
    k: int
    same: str | None
    labels: LabelsOfFolds
    folds: list[FoldVideos]
    """Of fold 0 to k."""


def folds_path(cache: Path, name: str) -> Path:
    """Return where the fold file of a name is: `folds.json`, or `folds-NAME.json`.

    Raises:
        UsageError: the name cannot be one.
    """
    return cache / f"{folds_file_name(name)}.json"


def write_folds(
    labels: LabelStore, path: Path, k: int, seed: int, same: str | None = None
) -> FoldFile:
    """Make the folds of a labels store, write them to a fold file and return them.

    Args:
        labels: whose videos of train and val are dealt.
        path: the fold file, replaced if it is there.
        k: number of validation sets, at least 2.
        seed: of the deal.
        same: regular expression whose first group tells the recording of a video.

    Raises:
        UsageError: there are fewer recordings than `k`, or `same` cannot be used.
    """
    folds = FoldFile(
        format="abaw-folds",
        format_version=FORMAT_VERSION,
        seed=seed,
        k=k,
        same=same,
        labels=LabelsOfFolds(name=labels.name, fingerprint=labels.fingerprint),
        folds=[official_videos(labels.table), *resplit(labels.table, k, seed, same)],
    )
    write_json_atomic(path, folds.model_dump())
    return folds


def official_videos(table: LabelTable) -> FoldVideos:
    """Return fold 0: the videos with rows of train, and of val; one that has both is in both."""
    train, val = (
        [table.videos[i] for i in np.unique(table.row_video[official_roles(table).rows(table, s)])]
        for s in ("train", "val")
    )
    return FoldVideos(train=train, val=val)


def dealt_rows(table: LabelTable) -> NDArray[np.bool_]:
    """Return (R,) the rows of train and val."""
    return whole_roles(table).rows(table, "train")


def resplit(table: LabelTable, k: int, seed: int, same: str | None = None) -> list[FoldVideos]:
    """Return folds 1 to k, as `write_folds` says.

    Raises:
        UsageError: there are fewer recordings than `k`, or `same` cannot be used.
    """
    is_dealt = dealt_rows(table)
    places = np.unique(table.row_video[is_dealt])
    videos = [table.videos[place] for place in places]
    recording = recordings(videos, same)
    names = sorted(set(recording.values()))
    if k < 2 or len(names) < k:
        message = (
            f"--k needs at least 2 validation sets and a recording for each, but k is {k} and the "
            f"labels have {len(names)} recordings in train and val; give another --k"
        )
        raise UsageError(message)
    index = {name: place for place, name in enumerate(names)}
    group = np.full(len(table.videos), -1, np.intp)
    group[places] = [index[recording[video]] for video in videos]
    sums = label_sums(table, is_dealt).over(group, len(names))
    sets = deal(quantities(sums, k), k, seed)
    set_of = {video: int(sets[index[recording[video]]]) for video in videos}
    return [
        FoldVideos(
            train=[video for video in videos if set_of[video] != number],
            val=[video for video in videos if set_of[video] == number],
        )
        for number in range(k)
    ]


def read_folds(path: Path, labels: LabelStore) -> FoldFile:
    """Return a fold file, checked against the labels that it is used with.

    Raises:
        TemporalError: the file is missing, not a fold file, or of other labels; or a fold lacks a
            video, names one that is not there, or has a recording on both sides.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        message = (
            f"a fold above 0 needs the fold file {path}, but it cannot be read "
            f"({error.strerror}); write it with `abaw folds --name {path.stem}`"
        )
        raise TemporalError(message) from error
    try:
        found = FoldFile.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        message = (
            f"{path} must be a fold file, but {place} is wrong: {first['msg']}; write it again "
            f"with `abaw folds`"
        )
        raise TemporalError(message) from error
    if found.format_version != FORMAT_VERSION:
        message = (
            f"{path} must be a fold file of version {FORMAT_VERSION}, but is of version "
            f"{found.format_version}; update abaw, or write it again with `abaw folds`"
        )
        raise TemporalError(message)
    if found.labels.fingerprint != labels.fingerprint:
        message = (
            f"{path} must be of the labels in {labels.path} (fingerprint "
            f"{labels.fingerprint[:12]}), but is of {found.labels.name} with "
            f"{found.labels.fingerprint[:12]}; write it again with `abaw folds`, or name another "
            f"by --set folds=NAME"
        )
        raise TemporalError(message)
    if len(found.folds) != found.k + 1:
        message = (
            f"{path} must hold {found.k + 1} folds, 0 to k, but holds {len(found.folds)}; write it "
            f"again with `abaw folds`"
        )
        raise TemporalError(message)
    known = {labels.table.videos[i] for i in np.unique(labels.row_video[dealt_rows(labels.table)])}
    recording = recordings(sorted(known), found.same)
    for number, fold in enumerate(found.folds[1:], 1):
        _check_fold(fold, known, recording, f"fold {number} of {path}")
    return found


def _check_fold(fold: FoldVideos, known: set[str], recording: dict[str, str], what: str) -> None:
    listed = [*fold.train, *fold.val]
    wrong = sorted(known.symmetric_difference(listed))
    odd = wrong or sorted(video for video, n in Counter(listed).items() if n > 1)
    if odd:
        message = (
            f"{what} must name each video of train and val once, but {len(odd)} are missing, "
            f"unknown or named twice ({', '.join(odd[:_SHOWN])}); write it again with `abaw folds`"
        )
        raise TemporalError(message)
    both = {recording[v] for v in fold.train} & {recording[v] for v in fold.val}
    if both or not fold.train or not fold.val:
        why = f"recording {min(both)} is on both sides" if both else "one side is empty"
        message = (
            f"{what} must train on other recordings than it is chosen by, but {why}; write it "
            f"again with `abaw folds`"
        )
        raise TemporalError(message)


def fold_roles(labels: LabelStore, folds: FoldFile, number: int, path: Path) -> FoldRoles:
    """Return which rows a fold above 0 trains on and is chosen by.

    Raises:
        UsageError: the file has no such fold.
    """
    if number > folds.k:
        message = f"{path} has the folds 0 to {folds.k}, but fold {number} was asked for"
        raise UsageError(message)
    return resplit_roles(labels.table, number, folds.folds[number].val)
