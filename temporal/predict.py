"""Predictions of a finished run for a split of the labels store."""

from dataclasses import dataclass
from pathlib import Path

from ..cache import FingerprintError
from ..core.device import resolve_device
from .config import RunConfig
from .data.dataset import SequenceDataset
from .data.join import JoinReport, join
from .errors import TemporalError
from .inference import predict_sequences
from .predictions import write_predictions
from .run_folder import load_model, open_embeddings, open_labels, read_run
from .score import is_split


@dataclass(frozen=True)
class PredictResult:
    """A prediction table that was written."""

    path: Path
    n_frames: int
    report: JoinReport

    def text(self) -> str:
        """Return what was written for people to read."""
        return f"{self.report.text()}\nwrote {self.n_frames:,} predictions to {self.path}"


def predict(run: Path, split: str, out: Path, cache: Path) -> PredictResult:
    """Write predictions for every frame that a split lists, with the run's best checkpoint.

    Args:
        run: folder of a finished run.
        split: train, val or test.
        out: the table to write (CSV).
        cache: folder of the stores.

    Raises:
        FingerprintError: a store holds another embedding than the run was trained on.
        TemporalError: the run cannot be read, or the split lists no frame.
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
    if not is_split(split) or not labels.videos_of(split):
        message = f"{labels.path} must list frames of the split {split!r}, but lists none"
        raise TemporalError(message)
    network, standardizer = load_model(run, config)
    device = resolve_device(config.device)
    # Whatever the run was trained with, every listed frame is asked for here.
    sequences, report = join(stores, labels, split, config.fill)
    dataset = SequenceDataset(sequences, standardizer)
    table = predict_sequences(network.to(device), dataset, device)
    write_predictions(out, table)
    return PredictResult(out, len(table), report)
