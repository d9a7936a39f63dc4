"""Mixes runs: members weighed on out-of-fold predictions, and an honest figure of what it gains.

Weights and post-processing that were fitted on the rows they are scored on promise too much. Both
are fitted again without each group of recordings (or without each fold) and scored on it: that is
the nested figure. What no ensemble can undo: each run's checkpoint was chosen on its own validation
rows, so the figures of the members, too, are a little high.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..core.errors import UsageError
from ..core.files import write_json_atomic
from ..core.provenance import git_commit, now, package_versions
from ..core.table import text_table
from ..core.tasks import TASKS
from .crossfit import Groups
from .ensemble_file import ENSEMBLE_FILE, ENSEMBLE_FORMAT, NESTED_FILE
from .ensemble_members import MemberRun, MemberSet, read_members
from .metrics import Scores, figure
from .mix_weights import WEIGHTINGS, Weighting, choose_weights
from .mixing import EXPRESSION_MIXES, ExpressionMix, Weights, equal_weights, mix_tables
from .postprocess import KINDS, PostProcess
from .postprocess_fit import fit, fit_each
from .predictions import PredictionTable, write_predictions
from .run_folder import RUN_FILE
from .score import RowLabels, score_table
from .settings.training import Smoothing

_KEYS: Final = ("CCC_V", "CCC_A", "F1_EXPR", "F1_AU", "P_MTL")
_TASK_KEYS: Final = dict(zip(TASKS, _KEYS, strict=False))


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


@dataclass(frozen=True)
class EnsembleResult:
    """An ensemble that was written."""

    folder: Path
    facts: dict[str, Any]
    """What `ensemble.json` holds."""

    def text(self) -> str:
        """Return members, weights and scores for people to read."""
        rows = [(member["name"], *_figures(member["scores"])) for member in self.facts["members"]]
        names = {
            "equal": "equal mean",
            "equal_nested": "equal mean, post-processed, nested",
            "in_sample": "ensemble, in-sample",
            "nested": "ensemble, nested",
        }
        rows += [(text, *_figures(self.facts["scores"][key])) for key, text in names.items()]
        numbers = range(1, len(_KEYS) + 1)
        lines = text_table([("", *_KEYS), *rows], numbers)
        tasks = [task for task in TASKS if task in self.facts["members"][0]["weights"]]
        shares = [
            (member["name"], *(f"{member['weights'][task]:.3f}" for task in tasks))
            for member in self.facts["members"]
        ]
        lines += ["", *text_table([("weights", *tasks), *shares], range(1, len(tasks) + 1))]
        lines += ["", self.facts["nested"]["note"]]
        if self.facts["random_weights"]:
            lines.append(
                "RANDOM WEIGHTS: some embeddings come from networks that have learnt nothing"
            )
        return "\n".join([*lines, f"wrote {self.folder / ENSEMBLE_FILE}"])


def ensemble(
    runs: Sequence[Path], out: Path, cache: Path, settings: EnsembleSettings | None = None
) -> EnsembleResult:
    """Choose weights and post-processing for runs and write them to a folder.

    An ensemble that is there already is replaced.

    Args:
        runs: folders of finished runs; those that differ only in their fold are one member.
        out: folder of the ensemble.
        cache: folder of the labels store that the runs were scored on.
        settings: how to mix; by default with fitted weights.

    Raises:
        UsageError: runs or folder cannot be used so.
        TemporalError: a run is not finished, or runs were scored on different labels or folds.
        PredictionError: predictions are for different frames, or lack annotated ones.
        CacheError: the labels store cannot be read.
    """
    settings = settings or EnsembleSettings()
    if (out / RUN_FILE).exists():
        message = f"{out} must be a folder of its own, but holds a run; give another --out"
        raise UsageError(message)
    found = read_members(runs, cache)
    groups = found.groups(settings.n_groups, settings.seed)
    everything = np.ones(len(found.rows.keys), np.bool_)
    weights, *of_groups = choose_weights(
        found.tables,
        found.rows,
        [everything, *groups.others()],
        settings.weighting,
        settings.expression,
    )
    equal = equal_weights(found.tables)
    mixed = mix_tables(found.tables, weights, settings.expression)
    process = fit(mixed, found.rows, settings.smoothing, tune_thresholds=settings.tune_thresholds)
    nested = _nested(found, groups, of_groups, settings)
    equal_nested = _nested(found, groups, [equal] * groups.n, settings)
    scored = {
        "equal": mix_tables(found.tables, equal, settings.expression),
        "equal_nested": equal_nested,
        "in_sample": process.apply(mixed),
        "nested": nested,
    }
    facts = {
        "format": "abaw-ensemble",
        "format_version": ENSEMBLE_FORMAT,
        "weighting": settings.weighting,
        "expression": settings.expression,
        "members": _member_facts(found, weights, out),
        "postprocess": process.to_dict(),
        "scores": {
            name: scores_of(table, found.rows, name).to_dict() for name, table in scored.items()
        },
        "nested": _nested_facts(found, groups, settings),
        "labels": {"name": found.labels.name, "fingerprint": found.labels.fingerprint},
        "stores": {
            name: store
            for member in found.members
            for name, store in member.runs[0].facts["stores"].items()
        },
        "random_weights": any(
            run.facts["random_weights"] for member in found.members for run in member.runs
        ),
        "made": {"date": now(), "commit": git_commit(), "versions": package_versions()},
    }
    write_predictions(out / NESTED_FILE, nested)
    write_json_atomic(out / ENSEMBLE_FILE, facts)
    return EnsembleResult(out, facts)


def _nested(
    found: MemberSet, groups: Groups, weights: Sequence[Weights], settings: EnsembleSettings
) -> PredictionTable:
    """Return predictions, each group's by weights and post-processing fitted on the others.

    With one group there are no others: the equal mean, unprocessed, which needs no label.
    """
    if groups.n < 2:
        return mix_tables(found.tables, equal_weights(found.tables), settings.expression)

    def part(weights: Weights, others: Any) -> PredictionTable:  # noqa: ANN401
        mixed = mix_tables(found.tables, weights, settings.expression)
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
        note = (
            f"nested: weights and post-processing fitted on {groups.n - 1} of {groups.n} {unit} "
            f"and scored on the one left out; in-sample: fitted on what is scored"
        )
    return {"over": over, "n_groups": groups.n, "seed": settings.seed, "note": note}


def _member_facts(found: MemberSet, weights: Weights, out: Path) -> list[dict[str, Any]]:
    return [
        {
            "name": member.name,
            "weights": {task: float(weights[task][place]) for task in TASKS if task in weights},
            "scores": scores_of(member.table, found.rows, member.name).to_dict(),
            "runs": [_run_facts(run, out) for run in member.runs],
        }
        for place, member in enumerate(found.members)
    ]


def _run_facts(run: MemberRun, out: Path) -> dict[str, Any]:
    # From the ensemble's folder, so that both can be moved together.
    folder = os.path.relpath(run.folder.resolve(), out.resolve())
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


def _figures(scores: dict[str, Any]) -> list[str]:
    return [figure(scores[key], 3) for key in _KEYS]
