"""Predictions of a finished run, or of an ensemble, for a split of the labels store."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from ..cache import SPLITS
from ..core.errors import UsageError
from .constant import constant_predictions
from .data.join_report import JoinReport
from .data.official_list import listed_rows, stored_list
from .ensemble_file import NESTED_FILE, Ensemble, is_ensemble, load_ensemble, mix
from .errors import TemporalError
from .predictions import PredictionTable, table_form, write_predictions
from .run_predictor import RunPredictor
from .score import is_split, rows_of
from .submission import SubmissionResult, check_place, write_submission

Form = Literal["csv", "parquet", "submission"]
FORMS: Final[tuple[Form, ...]] = get_args(Form)


@dataclass(frozen=True)
class PredictResult:
    """A prediction table that was written."""

    path: Path
    n_frames: int
    report: JoinReport
    submission: SubmissionResult | None = None
    """What was handed in, in place of a table."""

    def text(self) -> str:
        """Return what was written for people to read."""
        wrote = f"wrote {self.n_frames:,} predictions to {self.path}"
        return f"{self.report.text()}\n{self.submission.text() if self.submission else wrote}"


def predict(
    run: Path,
    split: str,
    out: Path,
    cache: Path,
    list_path: Path | None = None,
    form: Form | None = None,
    *,
    is_raw: bool = False,
) -> PredictResult:
    """Write predictions for every frame that a split lists, with the best checkpoints.

    Smoothing and thresholds that were fitted on validation predictions are applied. A listed frame
    without a crop gets the prediction of the frame that the run's fill rule puts in its place. Rows
    of a table are unique (video, frame), sorted; those of a submission are the list's, and there
    the rows of a video without any embedding get the constants that score best on the training
    split.

    Args:
        run: folder of a finished run, or of an ensemble.
        split: train, val or test, of the run's fold.
        out: the file to write; a folder for a submission of a file for each video.
        cache: folder of the stores.
        list_path: a list in the form of the test list, in place of the labels store's.
        form: csv, parquet or submission; by default what the suffix of `out` says, else csv.
        is_raw: leave smoothing and fitted thresholds out.

    Raises:
        UsageError: there is no such split or form, or `out` is a folder where a file is needed.
        PredictionError: a submission needs a task that the run does not predict.
        FingerprintError: a store holds another embedding than the run was trained on.
        TemporalError: the run cannot be read, or no frame is listed.
        AnnotationError: the list cannot be read.
        CacheError: a store is missing or not sound.
    """
    if not is_split(split):
        message = f"a split is {', '.join(SPLITS)}, but got {split!r}"
        raise UsageError(message)
    ensemble = load_ensemble(run) if is_ensemble(run) else None
    folders = [run] if ensemble is None else [member.folder for member in ensemble.runs]
    opened = [RunPredictor.open(folder, cache) for folder in folders]
    if ensemble is not None and split != "test" and list_path is None:
        _check_unseen(ensemble, split)
    first = opened[0]
    form = form or table_form(out)
    listed = None
    if list_path is not None:
        listed = listed_rows(list_path, first.labels.table, first.last_frame)
    selection = first.selection(split, is_listed=listed is not None)
    asked = selection.asked(split) if listed is None else listed.frames()
    if not asked and split == "val" and not selection.has_val:
        message = (
            f"{run} was trained on train and val together (fold=all), so it has no val to "
            f"predict; give --split test, or train"
        )
        raise UsageError(message)
    if not asked:
        message = f"{first.labels.path} must list frames of the split {split!r}, but lists none"
        raise TemporalError(message)
    official = None
    if form == "submission":
        official = listed or stored_list(first.labels.table, split, str(first.labels.path))
        check_place(out, official)
    elif out.is_dir():
        message = f"a table is written to a file, but {out} is a folder; give a file by --out"
        raise UsageError(message)
    tables: list[PredictionTable] = []
    for one in opened:
        table, report = one.predict(selection.roles, split, asked)
        tables.append(table)
    if ensemble is not None:
        table = mix(tables, ensemble, is_raw=is_raw)
    elif not is_raw:
        table = first.process.apply(table)
    if official is None:
        write_predictions(out, table, "parquet" if form == "parquet" else "csv")
        return PredictResult(out, len(table), report)
    stores = [store for one in opened for store in one.stores]
    seen = {video for video in asked if any(video in store for store in stores)}
    submission = write_submission(
        out,
        official,
        table.subset(seen),
        lambda: constant_predictions(rows_of(first.labels.table, "train"), [("", 0)]),
        str(run),
    )
    return PredictResult(out, len(official), report, submission)


def _check_unseen(ensemble: Ensemble, split: str) -> None:
    """Refuse an annotated split of an ensemble over folds: some of its runs have learnt from it."""
    if len({run.fold for run in ensemble.runs}) > 1:
        message = (
            f"{ensemble.folder} mixes runs of several folds, of which each was trained on what "
            f"others were not, so --split {split} would be no honest prediction; "
            f"{ensemble.folder / NESTED_FILE} holds its out-of-fold predictions"
        )
        raise UsageError(message)
