"""The folder of an ensemble, and how it predicts: like a run, from the predictions of its runs.

ensemble.json               members, weights, post-processing, scores: written last
members/…                   copies of the runs that count, see `ensemble_copy`
nested_predictions.csv      validation predictions, each by what was fitted without its recording
nested_raw_predictions.csv  the same without post-processing, as a run's val_predictions.csv are
in_sample_predictions.csv   the same by what was fitted on all of them: their score is in-sample
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..core.tasks import TASKS
from .errors import TemporalError
from .mixing import EXPRESSION_MIXES, ExpressionMix, Weights, aligned, equal_weights, mix_tables
from .postprocess import PostProcess
from .predictions import PredictionTable
from .run_folder import read_run

ENSEMBLE_FILE: Final = "ensemble.json"
NESTED_FILE: Final = "nested_predictions.csv"
NESTED_RAW_FILE: Final = "nested_raw_predictions.csv"
IN_SAMPLE_FILE: Final = "in_sample_predictions.csv"
ENSEMBLE_FORMAT: Final = 1


@dataclass(frozen=True)
class EnsembleRun:
    """A run that takes part."""

    folder: Path
    fold: int
    member: int
    """Which of the members that count it belongs to."""


@dataclass(frozen=True)
class Ensemble:
    """What mixes the predictions of several runs into one table."""

    folder: Path
    runs: tuple[EnsembleRun, ...]
    """The runs whose predictions are needed, in this order; members without weight have none."""
    weights: Weights
    """Task -> (M,) over the members that count."""
    expression: ExpressionMix
    postprocess: PostProcess
    facts: Mapping[str, Any]
    """What `ensemble.json` holds."""


def is_ensemble(folder: Path) -> bool:
    """Return whether a folder holds an ensemble (and not a run)."""
    return (folder / ENSEMBLE_FILE).is_file()


def load_ensemble(folder: Path) -> Ensemble:
    """Return the ensemble in a folder; its runs are found in it, or where they lie beside it.

    Raises:
        TemporalError: there is no ensemble, or one of its runs is missing or another one now.
        PredictionError: its post-processing cannot be read.
    """
    path = folder / ENSEMBLE_FILE
    try:
        facts = json.loads(path.read_text())
        is_one = isinstance(facts, dict) and facts.get("format") == "abaw-ensemble"
    except (OSError, ValueError) as error:
        message = f"{folder} must hold an ensemble, but {ENSEMBLE_FILE} cannot be read: {error}"
        raise TemporalError(message) from error
    if not is_one or facts.get("format_version") != ENSEMBLE_FORMAT:
        message = (
            f"{path} must be an ensemble of format {ENSEMBLE_FORMAT}, but is not; update abaw or "
            f"make it again"
        )
        raise TemporalError(message)
    try:
        used = [member for member in facts["members"] if any(member["weights"].values())]
        weights = {
            task: np.array([member["weights"][task] for member in used], np.float64)
            for task in TASKS
            if task in used[0]["weights"]
        }
        runs = tuple(
            EnsembleRun(_found(folder, run), run["fold"], place)
            for place, member in enumerate(used)
            for run in member["runs"]
        )
        expression: ExpressionMix = facts["expression"]
        if expression not in EXPRESSION_MIXES:
            raise ValueError(expression)
        postprocess = facts["postprocess"]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        message = f"{path} must hold members with weights and runs, but does not: {error!r}"
        raise TemporalError(message) from error
    process = PostProcess.from_dict(postprocess, str(path))
    return Ensemble(folder, runs, weights, expression, process, facts)


def _found(folder: Path, run: Mapping[str, Any]) -> Path:
    """Return the folder of a run, which must hold the run that was mixed."""
    place = (folder / str(run["folder"])).resolve()
    identity = read_run(place)["identity"]
    if identity != run["identity"]:
        message = (
            f"{folder} was made of the run {run['identity']}, but {place} holds {identity}; put "
            f"the run back, or make the ensemble again"
        )
        raise TemporalError(message)
    return place


def mix(
    tables: Sequence[PredictionTable], ensemble: Ensemble, *, is_raw: bool = False
) -> PredictionTable:
    """Return the ensemble's predictions from those of its runs, for any frames.

    The runs of one member over several folds count the same; members are weighed per task; then
    post-processing is applied. Frames that a run was trained on must not be scored: of several
    folds, each has seen the others' validation videos.

    Args:
        tables: raw predictions of `ensemble.runs`, in that order, all for the same frames.
        ensemble: the ensemble.
        is_raw: leave post-processing out.

    Raises:
        ValueError: there are not as many tables as runs.
        PredictionError: tables are for different frames, or have no probabilities.
    """
    if len(tables) != len(ensemble.runs):
        message = (
            f"an ensemble of {len(ensemble.runs)} runs mixes as many tables, not {len(tables)}"
        )
        raise ValueError(message)
    same = aligned(tables, [run.folder.name for run in ensemble.runs])
    members = []
    for member in range(1 + max(run.member for run in ensemble.runs)):
        own = [
            table for table, run in zip(same, ensemble.runs, strict=True) if run.member == member
        ]
        members.append(own[0] if len(own) == 1 else mix_tables(own, equal_weights(own)))
    mixed = mix_tables(members, ensemble.weights, ensemble.expression)
    return mixed if is_raw else ensemble.postprocess.apply(mixed)
