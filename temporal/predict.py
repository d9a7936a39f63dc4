"""Predictions of a finished run for a split of the labels store."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..cache import SPLITS, FingerprintError
from ..core.device import resolve_device
from ..core.errors import UsageError
from .config import RunConfig
from .data.annotation_rows import read_rows
from .data.dataset import SequenceDataset
from .data.join_report import JoinReport
from .data.roles import official_roles
from .errors import TemporalError
from .inference import predict_sequences
from .loop import cpu_threads
from .predictions import write_predictions
from .run_folder import load_model, open_embeddings, open_labels, read_run
from .score import is_split
from .selection import Selection, select


@dataclass(frozen=True)
class PredictResult:
    """A prediction table that was written."""

    path: Path
    n_frames: int
    report: JoinReport

    def text(self) -> str:
        """Return what was written for people to read."""
        return f"{self.report.text()}\nwrote {self.n_frames:,} predictions to {self.path}"


def predict(
    run: Path, split: str, out: Path, cache: Path, list_path: Path | None = None
) -> PredictResult:
    """Write predictions for every frame that a split lists, with the run's best checkpoint.

    A listed frame without a crop gets the prediction of the frame that the run's fill rule puts in
    its place. Rows are unique (video, frame), sorted.

    Args:
        run: folder of a finished run.
        split: train, val or test, of the run's fold.
        out: the table to write (CSV).
        cache: folder of the stores.
        list_path: a list of frames in the form of the test list, in place of the labels store's.

    Raises:
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
    labels = open_labels(cache, config.labels)
    if not is_split(split):
        message = f"a split is {', '.join(SPLITS)}, but got {split!r}"
        raise UsageError(message)
    if split == "test" or list_path is not None:  # no matter which fold: it needs no fold file
        selection = Selection(labels, config, official_roles(labels.table))
    else:
        selection = select(labels, config, cache)
        selection.check_same(facts, run, cache)
    asked = selection.asked(split) if list_path is None else _listed(list_path)
    if not asked and split == "val" and config.fold == "all":
        message = (
            f"{run} was trained on train and val together (fold=all), so it has no val to "
            f"predict; give --split test, or train"
        )
        raise UsageError(message)
    if not asked:
        message = f"{labels.path} must list frames of the split {split!r}, but lists none"
        raise TemporalError(message)
    network, standardizer = load_model(run, config)
    device = resolve_device(config.device)
    # How many frames lack an embedding is reported, not refused: each listed one needs an answer.
    lines, report = selection.join(stores, split, asked=asked, training=False)
    with cpu_threads(config.threads):
        dataset = SequenceDataset(lines, standardizer, device)
        table = predict_sequences(network.to(device), dataset, device)
    write_predictions(out, table)
    return PredictResult(out, len(table), report)


def _listed(path: Path) -> dict[str, NDArray[np.int32]]:
    rows = read_rows(path, "test")
    frames: dict[str, list[int]] = {}
    for video, frame in zip(rows.video, rows.frame, strict=True):
        frames.setdefault(video, []).append(int(frame))
    return {video: np.unique(np.array(found, np.int32)) for video, found in frames.items()}
