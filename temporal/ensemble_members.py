"""The members of an ensemble: runs that differ only in their fold are one model."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..cache import LabelStore, LabelTable
from ..core.errors import UsageError
from .config import CARRIED_OUT
from .crossfit import Groups, groups_of_folds, recording_groups
from .errors import TemporalError
from .found_runs import find_runs
from .metrics import AffectRows, LabelMasks
from .mixing import aligned
from .prediction_table import concatenated
from .predictions import PredictionTable, read_predictions
from .run_folder import VAL_PREDICTIONS_FILE, open_labels, read_run, refuse_oracle
from .score import RowLabels, rows_of

_FOLD = re.compile(r"[0-9]{1,4}")
_COLUMNS = ("valence", "arousal", "expression", "au")


@dataclass(frozen=True)
class MemberRun:
    """One finished run."""

    folder: Path
    fold: int
    identity: str
    facts: Mapping[str, Any]
    """What its `run.json` holds."""


@dataclass(frozen=True)
class Member:
    """One model: a run, or its runs over several folds."""

    name: str
    runs: tuple[MemberRun, ...]
    """In the order of their folds."""
    table: PredictionTable
    """Out-of-fold predictions: each frame by the run that was not trained on it."""


@dataclass(frozen=True)
class MemberSet:
    """All members, with predictions of the same rows, and the annotations of these."""

    members: tuple[Member, ...]
    labels: LabelStore
    rows: RowLabels
    fold_videos: Mapping[int, Sequence[str]]
    """Fold -> the video of each of its rows, one fold after another as in the tables."""
    left_out: Mapping[str, str]
    """Folders of runs that were found, but take no part -> why."""

    @property
    def tables(self) -> list[PredictionTable]:
        """The members' predictions, of the same rows in the same order."""
        return [member.table for member in self.members]

    def groups(self, n_groups: int, seed: int) -> Groups:
        """Return groups for cross-fitting: the folds, or groups of recordings of one fold.

        Raises:
            PredictionError: folds share a recording, or an annotated video is not predicted.
        """
        videos = [video for video, _ in self.rows.keys]
        if len(self.fold_videos) > 1:
            return groups_of_folds(self.fold_videos, videos)
        return recording_groups(self.members[0].table.video, videos, n_groups, seed)


def read_members(
    folders: Sequence[Path], cache: Path, folds: Collection[int] | None = None
) -> MemberSet:
    """Read finished runs and put those together that differ only in their fold.

    Of runs that were not named one by one, but lie in a folder of runs, those that cannot take
    part (not finished, failed, trained on all data, of a model that lacks a fold) are left out.

    Args:
        folders: of runs, or of many, as a sweep's.
        cache: folder of the labels store.
        folds: those whose runs take part; None for all.

    Raises:
        UsageError: no run is given, one is given twice, or one was trained on all data.
        TemporalError: a folder holds no finished run, labels differ, or members lack folds.
        PredictionError: a run's predictions cannot be read, or are for other frames.
        CacheError: the labels store cannot be read.
    """
    if not folders:
        message = "an ensemble needs at least one run, but none is given"
        raise UsageError(message)
    found = find_runs(folders)
    left_out = dict(found.left_out)
    runs = []
    for folder in found.folders:
        facts = read_run(folder)
        if folder in found.listed and not _is_of_fold(facts):
            left_out[str(folder)] = "trained on all data, so it has no validation predictions"
        else:
            runs.append(_member_run(folder, facts))
    runs = [run for run in runs if folds is None or run.fold in folds]
    if not runs:
        which = "a fold" if folds is None else _listed(sorted(folds))
        message = f"an ensemble needs at least one run of {which}, but none is given"
        raise UsageError(message)
    labels = open_labels(cache, runs[0].facts["labels"]["name"])
    for run in runs:
        if run.facts["labels"]["fingerprint"] != labels.fingerprint:
            message = (
                f"runs of one ensemble must be scored on the same labels, but {run.folder} was on "
                f"{run.facts['labels']['fingerprint'][:12]} and {labels.path} is "
                f"{labels.fingerprint[:12]}; leave it out, or train it on these labels"
            )
            raise TemporalError(message)
    of_member: dict[str, list[MemberRun]] = {}
    for run in runs:
        of_member.setdefault(_member_key(run), []).append(run)
    groups = [sorted(some, key=lambda run: run.fold) for some in of_member.values()]
    groups = _complete(groups, found.listed, left_out)
    for some in groups:
        _check_folds(some, groups[0])
    names = _names([some[0] for some in groups])
    of_runs = [
        [read_predictions(run.folder / VAL_PREDICTIONS_FILE) for run in some] for some in groups
    ]
    tables = aligned([concatenated(some) for some in of_runs], names)
    members = tuple(
        Member(name, tuple(some), table)
        for name, some, table in zip(names, groups, tables, strict=True)
    )
    fold_videos = {run.fold: table.video for run, table in zip(groups[0], of_runs[0], strict=True)}
    rows = _annotated(labels.table, list(fold_videos), tables[0].video)
    return MemberSet(members, labels, rows, fold_videos, left_out)


def folds_from_text(text: str | None) -> frozenset[int] | None:
    """Return the folds of a text like `0`, `1,3` or `1-6`; None for None.

    Raises:
        UsageError: it names none.
    """
    if text is None:
        return None
    folds: set[int] = set()
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        is_range = _FOLD.fullmatch(first) and _FOLD.fullmatch(last if dash else first)
        if not is_range:
            message = f"--fold takes folds like 0, 1,3 or 1-6, but got {text!r}"
            raise UsageError(message)
        folds.update(range(int(first), int(last or first) + 1))
    return frozenset(folds)


def _is_of_fold(facts: Mapping[str, Any]) -> bool:
    return isinstance(facts["config"].get("fold", 0), int)


def _member_run(folder: Path, facts: dict[str, Any]) -> MemberRun:
    refuse_oracle(folder, facts, "an ensemble")
    fold = facts["config"].get("fold", 0)
    if not _is_of_fold(facts):
        message = (
            f"an ensemble is chosen on validation predictions, but {folder} was trained on all "
            f"data (fold={fold}) and has none; give runs of a fold"
        )
        raise UsageError(message)
    return MemberRun(folder, fold, facts["identity"], facts)


def _member_key(run: MemberRun) -> str:
    """Return all that makes a model what it is, but for the fold."""
    left_out = {"fold", *CARRIED_OUT}
    settings = {key: value for key, value in run.facts["config"].items() if key not in left_out}
    stores = {name: store["fingerprint"] for name, store in run.facts["stores"].items()}
    return json.dumps([settings, stores], sort_keys=True)


def _complete(
    groups: Sequence[list[MemberRun]], listed: Collection[Path], left_out: dict[str, str]
) -> list[list[MemberRun]]:
    """Return the members, but for those found in a folder of runs that lack a fold others have.

    Raises:
        TemporalError: none is left.
    """
    needed = {run.fold for some in groups for run in some}
    kept = []
    for some in groups:
        missing = sorted(needed - {run.fold for run in some})
        if missing and any(run.folder in listed for run in some):
            lacks = f"its model lacks {_listed(missing)}"
            left_out |= {str(run.folder): lacks for run in some}
        else:
            kept.append(some)
    if not kept:
        message = (
            f"a member of an ensemble must have a run of each of {_listed(sorted(needed))}, but "
            f"none has; finish the sweep, or name the runs one by one"
        )
        raise TemporalError(message)
    return kept


def _check_folds(runs: Sequence[MemberRun], first: Sequence[MemberRun]) -> None:
    for one, other in pairwise(runs):
        if one.fold == other.fold:
            message = (
                f"each run can be given once, but {one.folder} and {other.folder} are the same "
                f"run (identity {one.identity}, fold {one.fold}); leave one out"
            )
            raise UsageError(message)
    found, needed = ([run.fold for run in some] for some in (runs, first))
    if found != needed:
        message = (
            f"members of one ensemble must have the same folds, but {first[0].folder} has "
            f"{_listed(needed)} and {runs[0].folder} {_listed(found)}; train what is missing, or "
            f"leave it out"
        )
        raise TemporalError(message)


def _listed(folds: Sequence[int]) -> str:
    return f"fold{'s' if len(folds) > 1 else ''} {', '.join(map(str, folds))}"


def _names(runs: Sequence[MemberRun]) -> list[str]:
    """Return the shortest kind of name that tells all members apart."""
    configs = [run.facts["config"] for run in runs]
    features = ["+".join(config["features"]) for config in configs]
    kinds = (
        features,
        [
            f"{name} {config['encoder']} {config['framework']} s{config['seed']}"
            for name, config in zip(features, configs, strict=True)
        ],
        [run.folder.name for run in runs],
    )
    return next(
        (names for names in kinds if len(set(names)) == len(names)),
        [str(run.folder) for run in runs],
    )


def _annotated(table: LabelTable, folds: Sequence[int], videos: Sequence[str]) -> RowLabels:
    """Return the rows that count: the validation split, or all labelled rows of the folds' videos.

    Fold 0 is the official split, so its validation rows must all be predicted; the videos of other
    folds come from both splits.
    """
    val = rows_of(table, "val")
    if list(folds) == [0]:
        return val
    both = [rows_of(table, "train"), val]
    keys = [key for rows in both for key in rows.keys]
    predicted = set(videos)
    is_in = np.array([video in predicted for video, _ in keys], np.bool_)

    def together(part: str) -> dict[str, Any]:
        return {
            name: np.concatenate([getattr(getattr(rows, part), name) for rows in both])[is_in]
            for name in _COLUMNS
        }

    return RowLabels(
        keys=[key for key, is_chosen in zip(keys, is_in, strict=True) if is_chosen],
        labels=AffectRows(**together("labels")),
        is_labelled=LabelMasks(**together("is_labelled")),
    )
