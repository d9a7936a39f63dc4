"""Predictions of a finished run for a split of the labels store."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from ..cache import SPLITS, EmbeddingStore, FingerprintError
from ..core.device import resolve_device
from ..core.errors import UsageError
from .config import RunConfig
from .constant import constant_predictions
from .data.dataset import SequenceDataset
from .data.features import FeatureMaker
from .data.join_report import JoinReport
from .data.official_list import listed_rows, stored_list
from .data.roles import official_roles
from .errors import TemporalError
from .inference import predict_sequences
from .loop import cpu_threads
from .predictions import table_form, write_predictions
from .run_folder import check_encoder, load_model, open_embeddings, open_labels, read_run
from .score import is_split, rows_of
from .selection import Selection, select
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
) -> PredictResult:
    """Write predictions for every frame that a split lists, with the run's best checkpoint.

    A listed frame without a crop gets the prediction of the frame that the run's fill rule puts in
    its place. Rows of a table are unique (video, frame), sorted; those of a submission are the
    list's, and there the rows of a video without any embedding get the constants that score best on
    the training split.

    Args:
        run: folder of a finished run.
        split: train, val or test, of the run's fold.
        out: the file to write; a folder for a submission of a file for each video.
        cache: folder of the stores.
        list_path: a list in the form of the test list, in place of the labels store's.
        form: csv, parquet or submission; by default what the suffix of `out` says, else csv.

    Raises:
        UsageError: there is no such split or form, or `out` is a folder where a file is needed.
        PredictionError: a submission needs a task that the run does not predict.
        FingerprintError: a store holds another embedding than the run was trained on.
        TemporalError: the run cannot be read, or no frame is listed.
        AnnotationError: the list cannot be read.
        CacheError: a store is missing or not sound.
    """
    facts = read_run(run)
    config = RunConfig.from_dict(facts["config"], str(run))
    stores = open_embeddings(cache, config.features)
    for store in stores:
        trained = facts["stores"][store.name]["fingerprint"]
        if store.fingerprint != trained:
            message = (
                f"{run} was trained on {store.name} with the fingerprint {trained}, but "
                f"{store.path} has {store.fingerprint}: other weights or settings; give the cache "
                f"that it was trained on by --cache, or train again"
            )
            raise FingerprintError(message)
    check_encoder(run, config, facts)
    labels = open_labels(cache, config.labels)
    if not is_split(split):
        message = f"a split is {', '.join(SPLITS)}, but got {split!r}"
        raise UsageError(message)
    if split == "test" or list_path is not None:  # no matter which fold: it needs no fold file
        selection = Selection(labels, config, official_roles(labels.table))
    else:
        selection = select(labels, config, cache)
        selection.check_same(facts, run, cache)
    form = form or table_form(out)
    listed = None
    if list_path is not None:
        listed = listed_rows(list_path, labels.table, lambda video: _last_frame(stores, video))
    asked = selection.asked(split) if listed is None else listed.frames()
    if not asked and split == "val" and config.fold == "all":
        message = (
            f"{run} was trained on train and val together (fold=all), so it has no val to "
            f"predict; give --split test, or train"
        )
        raise UsageError(message)
    if not asked:
        message = f"{labels.path} must list frames of the split {split!r}, but lists none"
        raise TemporalError(message)
    official = None
    if form == "submission":
        official = listed or stored_list(labels.table, split, str(labels.path))
        check_place(out, official)
    elif out.is_dir():
        message = f"a table is written to a file, but {out} is a folder; give a file by --out"
        raise UsageError(message)
    network, standardizer = load_model(run, config, facts["tasks"])
    device = resolve_device(config.device)
    # How many frames lack an embedding is reported, not refused: each listed one needs an answer.
    lines, report = selection.join(stores, split, asked=asked, training=False)
    with cpu_threads(config.threads):
        maker = FeatureMaker(standardizer, config)
        resident = config.resident_gb * 2**30
        dataset = SequenceDataset(lines, maker, device, resident_bytes=resident)
        table = predict_sequences(network.to(device), dataset, config, facts["precision"])
    if official is None:
        write_predictions(out, table, "parquet" if form == "parquet" else "csv")
        return PredictResult(out, len(table), report)
    seen = {video for video in asked if any(video in store for store in stores)}
    submission = write_submission(
        out,
        official,
        table.subset(seen),
        lambda: constant_predictions(rows_of(labels.table, "train"), [("", 0)]),
        str(run),
    )
    return PredictResult(out, len(official), report, submission)


def _last_frame(stores: Sequence[EmbeddingStore], video: str) -> int:
    """Return the number of the last frame that has an embedding; 0 if none has."""
    records = [store[video] for store in stores if video in store]
    return max((int(record.frame[-1]) for record in records if len(record)), default=0)
