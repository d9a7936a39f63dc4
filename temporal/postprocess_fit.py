"""Fits post-processing on labelled predictions, and says honestly what it gains.

Parameters that were fitted on the labels they are then scored on promise too much. `nested` gives
each group of recordings the parameters that were fitted on the other groups, so no label takes
part in the prediction that it scores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..core.tasks import N_AUS, TASKS, Task
from .crossfit import Groups, groups_of_folds, recording_groups
from .postprocess import PostProcess, smoothed_column
from .prediction_places import places_of
from .prediction_table import concatenated
from .predictions import PredictionTable
from .score import RowLabels, score_table
from .settings.training import Smoothing, TrainingSettings
from .smoothing import VideoSmoother
from .task_measure import counting_rows, task_measure
from .thresholds import DEFAULT_THRESHOLD, best_threshold

Array = NDArray[Any]
Mask = NDArray[np.bool_]

WIDTHS: Final = (0, 2, 5, 10, 15, 25, 50, 100)
"""Widths that are tried, in frame numbers; the published ones are 0, 5, 10 and 15."""


@dataclass(frozen=True)
class CrossFitted:
    """A table whose rows were processed by what was fitted without their own labels."""

    table: PredictionTable
    processes: tuple[PostProcess, ...]
    """One a group or fold, fitted on the others."""
    reason: str | None = None
    """Why nothing could be fitted, so that the table is unchanged; None where it could."""


def fit(
    table: PredictionTable,
    rows: RowLabels,
    kind: Smoothing = "box",
    *,
    tune_thresholds: bool = True,
) -> PostProcess:
    """Return the parameters that score best on these rows, each task by its own measure.

    Only labelled rows count, as often as they are listed. Of widths that score the same the
    smallest is taken; a task that is not predicted or has no label is left alone. What the result
    scores on the same rows is an in-sample figure.

    Args:
        table: raw predictions of at least the annotated rows.
        rows: the rows that count.
        kind: how to smooth; `none` fits no width.
        tune_thresholds: fit each AU's threshold too; the AUs' width is then the best with them.

    Raises:
        PredictionError: a row has no prediction, or the table no probabilities.
    """
    everything = np.ones(len(rows.keys), np.bool_)
    return fit_each(table, rows, [everything], kind, tune_thresholds=tune_thresholds)[0]


def nested(
    table: PredictionTable,
    rows: RowLabels,
    kind: Smoothing = "box",
    *,
    tune_thresholds: bool = True,
    n_groups: int = 5,
    seed: int = 0,
) -> CrossFitted:
    """Return the table, each group of recordings processed by what was fitted on the others.

    Its score is the honest figure beside that of `fit`. With one recording there is nothing to fit
    on: the table stays as it is, and the reason is given.

    Args:
        table: raw predictions of at least the annotated rows.
        rows: the rows that count.
        kind: how to smooth.
        tune_thresholds: fit each AU's threshold too.
        n_groups: groups of recordings, at most one a recording.
        seed: draws which recordings are together.

    Raises:
        PredictionError: a row has no prediction, or the table no probabilities.
        ValueError: there are fewer than 2 groups to be made.
    """
    groups = recording_groups(table.video, [video for video, _ in rows.keys], n_groups, seed)
    if groups.n < 2:
        reason = (
            f"{groups.n} recording with annotated rows: parameters cannot be fitted on others, so "
            f"predictions are left as they are"
        )
        return CrossFitted(table, (), reason)
    return fit_on_others(table, rows, groups, kind, tune_thresholds=tune_thresholds)


def fit_over_folds(
    tables: Mapping[int, PredictionTable],
    rows: RowLabels,
    kind: Smoothing = "box",
    *,
    tune_thresholds: bool = True,
) -> CrossFitted:
    """Return the out-of-fold tables as one, each processed by what was fitted on the others.

    `processes` are in the order of the folds' numbers, and so are the rows.

    Args:
        tables: fold -> raw predictions of its validation videos.
        rows: the rows that count, of all folds.
        kind: how to smooth.
        tune_thresholds: fit each AU's threshold too.

    Raises:
        PredictionError: a row has no prediction, a recording is in two folds, a table has no
            probabilities, or there are no tables.
    """
    folds = sorted(tables)
    table = concatenated([tables[fold] for fold in folds])
    if len(folds) < 2:
        reason = f"predictions of fold {folds[0]} only: there is no other to fit parameters on"
        return CrossFitted(table, (), reason)
    groups = groups_of_folds(
        {fold: tables[fold].video for fold in folds}, [video for video, _ in rows.keys]
    )
    return fit_on_others(table, rows, groups, kind, tune_thresholds=tune_thresholds)


def fit_on_others(
    table: PredictionTable,
    rows: RowLabels,
    groups: Groups,
    kind: Smoothing,
    *,
    tune_thresholds: bool,
) -> CrossFitted:
    """Return the table, each group's rows processed by what was fitted on all other groups.

    Raises:
        PredictionError: a row has no prediction, or the table no probabilities.
    """
    processes = fit_each(table, rows, groups.others(), kind, tune_thresholds=tune_thresholds)
    parts = (process.apply(table) for process in processes)
    return CrossFitted(groups.together(parts), tuple(processes))


def postprocessed(
    settings: TrainingSettings, table: PredictionTable, rows: RowLabels
) -> dict[str, Any]:
    """Return what a run keeps of post-processing its validation predictions, as JSON takes it.

    `parameters` are fitted on all rows, and `in_sample` is what they score on the same rows;
    `nested` is the score of predictions whose parameters were fitted on other recordings.
    """
    kind, tune = settings.smoothing, settings.tune_thresholds
    process = fit(table, rows, kind, tune_thresholds=tune)
    honest = nested(table, rows, kind, tune_thresholds=tune)
    return {
        "parameters": process.to_dict(),
        "in_sample": score_table(process.apply(table), rows, "the predictions").to_dict(),
        "nested": score_table(honest.table, rows, "the predictions").to_dict(),
        "reason": honest.reason,
    }


def fit_each(
    table: PredictionTable,
    rows: RowLabels,
    chosen: Sequence[Mask],
    kind: Smoothing,
    *,
    tune_thresholds: bool,
) -> list[PostProcess]:
    """Return the best parameters for each choice of rows.

    Smoothing needs no label, so every width is computed once for all choices.

    Args:
        table: raw predictions.
        rows: R annotated rows.
        chosen: which rows count, shape (R,), for each fit.
        kind: how to smooth.
        tune_thresholds: fit each AU's threshold too.

    Raises:
        PredictionError: a row has no prediction, or the table no probabilities.
    """
    order = places_of(table, rows.keys, "the predictions")
    if kind == "none" and not tune_thresholds:
        return [PostProcess() for _ in chosen]
    smoother = VideoSmoother(table.video, table.frame)
    found = [_Best() for _ in chosen]
    for task in (task for task in TASKS if task in table.tasks):
        if not counting_rows(task, rows).any():
            continue
        for width in WIDTHS if kind != "none" else (0,):
            candidate = _Candidate(table, task, smoother, kind, width, order)
            for best, is_chosen in zip(found, chosen, strict=True):
                if task == "au" and tune_thresholds:
                    best.offer_tuned(width, candidate.values, rows, is_chosen)
                else:
                    best.offer(task, width, candidate.answer, rows, is_chosen)
    return [best.process(kind) for best in found]


class _Candidate:
    """What one width of smoothing makes of one task's predictions for the rows."""

    def __init__(
        self,
        table: PredictionTable,
        task: Task,
        smoother: VideoSmoother,
        kind: Smoothing,
        width: int,
        order: Array,
    ) -> None:
        self.values = smoothed_column(table, task, smoother, kind, width)[order]
        """Values, or probabilities."""
        self.answer: Array = self.values
        """What is scored: values, classes, or AUs at the default threshold."""
        if width == 0:
            self.answer = getattr(table, task)[order]  # left alone, as in the table
        elif task == "expression":
            self.answer = self.values.argmax(axis=1)
        elif task == "au":
            self.answer = self.values.astype(np.float64) >= DEFAULT_THRESHOLD


@dataclass
class _Best:
    """The best parameters so far, for one choice of rows."""

    value: dict[Task, float] = field(default_factory=dict)
    width: dict[Task, int] = field(default_factory=dict)
    threshold: tuple[float, ...] = (DEFAULT_THRESHOLD,) * N_AUS

    def offer(
        self, task: Task, width: int, answer: Array, rows: RowLabels, is_chosen: Mask
    ) -> None:
        """Take a width if it is better; the first of equals stays."""
        value = task_measure(task, answer, rows, is_chosen)
        if value is not None and value > self.value.get(task, -np.inf):
            self.value[task], self.width[task] = value, width

    def offer_tuned(self, width: int, probability: Array, rows: RowLabels, is_chosen: Mask) -> None:
        """Take a width of the AUs and its thresholds if they are better."""
        is_labelled = counting_rows("au", rows) & is_chosen[:, None]
        f1, threshold = [], []
        for au in range(N_AUS):
            some = is_labelled[:, au]
            best, value = best_threshold(rows.labels.au[some, au], probability[some, au])
            threshold.append(best)
            if some.any():
                f1.append(value)
        if f1 and float(np.mean(f1)) > self.value.get("au", -np.inf):
            self.value["au"], self.width["au"] = float(np.mean(f1)), width
            self.threshold = tuple(threshold)

    def process(self, kind: Smoothing) -> PostProcess:
        """Return the parameters."""
        return PostProcess(kind, **self.width, threshold=self.threshold)
