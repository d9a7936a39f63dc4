"""Mixes runs: members weighed on out-of-fold predictions, and an honest figure of what it gains.

Members that were chosen by their scores, weights and post-processing that were fitted on the rows
they are scored on promise too much. All are found again without each group of recordings (or
without each fold) and scored on it: that is the nested figure.

What no ensemble can undo: each run's checkpoint was chosen on its own validation rows, so the
figures of the members, too, are a little high.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UsageError
from ..core.files import write_json_atomic
from ..core.provenance import git_commit, now, package_versions
from ..core.tasks import TASKS
from .crossfit import Groups
from .ensemble_copy import copied_folders, copy_runs, needed_code, remove_copies
from .ensemble_file import (
    ENSEMBLE_FILE,
    ENSEMBLE_FORMAT,
    IN_SAMPLE_FILE,
    NESTED_FILE,
    NESTED_RAW_FILE,
)
from .ensemble_members import MemberRun, MemberSet, read_members
from .ensemble_result import EnsembleResult
from .member_choice import choose_members
from .metrics import Scores
from .mix_weights import WEIGHTINGS, Weighting
from .mixing import EXPRESSION_MIXES, ExpressionMix, Weights, equal_weights, mix_tables
from .postprocess import KINDS, PostProcess
from .postprocess_fit import fit, fit_each
from .predictions import PredictionTable, write_predictions
from .run_folder import RUN_FILE
from .score import RowLabels, score_table
from .settings.training import Smoothing

Mask = NDArray[np.bool_]

_TASK_KEYS: Final = dict(zip(TASKS, ("CCC_V", "CCC_A", "F1_EXPR", "F1_AU"), strict=True))


@dataclass(frozen=True)
class EnsembleSettings:
    """How members are mixed, and what becomes of the mixture.

    Raises:
        UsageError: a setting is not one of its choices.
    """

    weighting: Weighting = "fitted"
    expression: ExpressionMix = "mean"
    smoothing: Smoothing = "box"
    tune_thresholds: bool = True
    n_groups: int = 5
    """Groups of recordings for the nested figure, where there is one fold."""
    seed: int = 0
    """Draws these groups."""
    best: int | None = None
    """Members that take part, the best by their mean P_MTL over folds; None: all."""
    folds: frozenset[int] | None = None
    """Folds whose runs take part; None: all."""

    def __post_init__(self) -> None:
        for name, value, known in (
            ("weights", self.weighting, WEIGHTINGS),
            ("expression", self.expression, EXPRESSION_MIXES),
            ("smoothing", self.smoothing, KINDS),
        ):
            if value not in known:
                message = f"{name} of an ensemble must be {', '.join(known)}, but got {value!r}"
                raise UsageError(message)
        if self.n_groups < 2:
            message = f"n_groups of an ensemble must be at least 2, but got {self.n_groups}"
            raise UsageError(message)
        if self.best is not None and self.best < 1:
            message = f"best of an ensemble must be at least 1, but got {self.best}"
            raise UsageError(message)


def ensemble(
    runs: Sequence[Path],
    out: Path,
    cache: Path,
    settings: EnsembleSettings | None = None,
    *,
    copy: bool = True,
) -> EnsembleResult:
    """Choose weights and post-processing for runs and write them to a folder.

    An ensemble that is there already is replaced.

    Args:
        runs: folders of finished runs, or of many, as a sweep's; runs that differ only in their
            fold are one member.
        out: folder of the ensemble.
        cache: folder of the labels store that the runs were scored on.
        settings: which to take, and how to mix; by default all, with fitted weights.
        copy: copy what prediction needs of the runs that count, so that the folder predicts alone;
            else it refers to them where they are.

    Raises:
        UsageError: runs or folder cannot be used so.
        TemporalError: a run is not finished, or runs were scored on different labels or folds, or
            a run lacks what is copied.
        PredictionError: predictions are for different frames, or lack annotated ones.
        CacheError: the labels store cannot be read.
    """
    settings = settings or EnsembleSettings()
    if (out / RUN_FILE).exists():
        message = f"{out} must be a folder of its own, but holds a run; give another --out"
        raise UsageError(message)
    found = read_members(runs, cache, settings.folds)
    groups = found.groups(settings.n_groups, settings.seed)
    everything = np.ones(len(found.rows.keys), np.bool_)
    splits = [everything, *groups.others()]
    choice = choose_members(found, splits, settings.best)
    weights, *of_groups = choice.weights(splits, settings.weighting, settings.expression)
    equal_of_groups = choice.equal_weights()[1:]
    mixed = mix_tables(found.tables, weights, settings.expression)
    process = fit(mixed, found.rows, settings.smoothing, tune_thresholds=settings.tune_thresholds)
    scored = {
        "equal": mix_tables(found.tables, equal_weights(found.tables), settings.expression),
        "equal_nested": _nested(found, groups, equal_of_groups, settings),
        "in_sample": process.apply(mixed),
        "nested": _nested(found, groups, of_groups, settings),
        "nested_raw": _nested(found, groups, of_groups, settings, is_processed=False),
    }
    taken = choice.places[0].tolist()
    counting = [
        run
        for place in taken
        if any(shares[place] for shares in weights.values())
        for run in found.members[place].runs
    ]
    before = copied_folders(out / ENSEMBLE_FILE)
    folders = copy_runs(counting, out) if copy else None
    facts = {
        "format": "abaw-ensemble",
        "format_version": ENSEMBLE_FORMAT,
        "weighting": settings.weighting,
        "expression": settings.expression,
        "members": [
            {
                "name": found.members[place].name,
                "weights": {task: float(weights[task][place]) for task in TASKS if task in weights},
                "scores": scores_of(found.tables[place], found.rows, "a member").to_dict(),
                "runs": [_run_facts(run, out, folders) for run in found.members[place].runs],
            }
            for place in taken
        ],
        "copied": copy,
        "best": choice.facts(),
        "postprocess": process.to_dict(),
        "scores": {
            name: scores_of(table, found.rows, name).to_dict() for name, table in scored.items()
        },
        "nested": _nested_facts(found, groups, settings),
        "labels": {"name": found.labels.name, "fingerprint": found.labels.fingerprint},
        "stores": {
            name: store
            for place in taken
            for name, store in found.members[place].runs[0].facts["stores"].items()
        },
        "random_weights": any(
            run.facts["random_weights"] for place in taken for run in found.members[place].runs
        ),
        "made": {"date": now(), "commit": git_commit(), "versions": package_versions()},
    }
    write_predictions(out / NESTED_FILE, scored["nested"])
    write_predictions(out / NESTED_RAW_FILE, scored["nested_raw"])
    write_predictions(out / IN_SAMPLE_FILE, scored["in_sample"])
    write_json_atomic(out / ENSEMBLE_FILE, facts)
    remove_copies(out, before - set((folders or {}).values()))
    code = needed_code(counting) if copy else {}
    return EnsembleResult(out, facts, dict(found.left_out), code)


def _nested(
    found: MemberSet,
    groups: Groups,
    weights: Sequence[Weights],
    settings: EnsembleSettings,
    *,
    is_processed: bool = True,
) -> PredictionTable:
    """Return predictions, each group's by weights and post-processing fitted on the others.

    With one group there are no others: the equal mean, unprocessed, which needs no label.
    """
    if groups.n < 2:
        return mix_tables(found.tables, equal_weights(found.tables), settings.expression)

    def part(weights: Weights, others: Mask) -> PredictionTable:
        mixed = mix_tables(found.tables, weights, settings.expression)
        if not is_processed:
            return mixed
        process: PostProcess = fit_each(
            mixed,
            found.rows,
            [others],
            settings.smoothing,
            tune_thresholds=settings.tune_thresholds,
        )[0]
        return process.apply(mixed)

    return groups.together(map(part, weights, groups.others()))


def _nested_facts(found: MemberSet, groups: Groups, settings: EnsembleSettings) -> dict[str, Any]:
    over = "folds" if len(found.fold_videos) > 1 else "recordings"
    if groups.n < 2:
        note = (
            "nested: one recording has annotated rows, so nothing could be fitted on others; the "
            "nested figures are those of the equal mean"
        )
    else:
        unit = "folds" if over == "folds" else "groups of recordings"
        what = "weights" if settings.best is None else "members, weights"
        note = (
            f"nested: {what} and post-processing fitted on {groups.n - 1} of {groups.n} {unit} "
            f"and scored on the one left out; in-sample: fitted on what is scored"
        )
    return {"over": over, "n_groups": groups.n, "seed": settings.seed, "note": note}


def _run_facts(run: MemberRun, out: Path, copied: Mapping[str, str] | None) -> dict[str, Any]:
    """Return where a run is, seen from the ensemble's folder, so that both can be moved together.

    Of copied runs, None for one without weight: it is not needed.
    """
    folder: str | None
    if copied is None:
        folder = os.path.relpath(run.folder.resolve(), out.resolve())
    else:
        folder = copied.get(run.identity)
    return {"folder": folder, "fold": run.fold, "identity": run.identity}


def scores_of(table: PredictionTable, rows: RowLabels, source: str) -> Scores:
    """Return the official measure, without the figures of tasks that are not predicted.

    Raises:
        PredictionError: an annotated row has no prediction.
    """
    scores = score_table(table, rows, source)
    absent: dict[str, Any] = {_TASK_KEYS[task]: None for task in TASKS if task not in table.tasks}
    if "expression" not in table.tasks:
        absent["per_expression"] = {}
    if "au" not in table.tasks:
        absent["per_au"] = {}
    return replace(scores, **absent)
