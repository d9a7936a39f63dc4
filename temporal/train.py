"""Trains one run: the best checkpoint by P_MTL on the validation split."""

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ..cache import EmbeddingStore
from ..core.device import resolve_device
from ..core.files import write_json_atomic, write_text_atomic
from ..core.machine import cpu_name
from ..core.provenance import git_commit, now, package_versions
from ..core.tasks import TASKS, Task
from .config import RunConfig
from .data.dataset import SequenceDataset
from .data.join_report import JoinReport, check_missing
from .data.standardize import fit_standardizer
from .data.timeline import Timeline
from .errors import TemporalError
from .inference import predict_sequences
from .loop import TrainingLoop, cpu_threads
from .metrics import Scores
from .nets.build import build_network, check_networks
from .predictions import PredictionTable, write_predictions
from .run_folder import (
    METRICS_FILE,
    RUN_FILE,
    RUN_FORMAT,
    VAL_PREDICTIONS_FILE,
    RunResult,
    auto_name,
    describe_data,
    finished_run,
    identity,
    open_embeddings,
    open_labels,
    save_model,
)
from .score import RowLabels, score_table
from .selection import Selection, select


def train(
    config: RunConfig,
    cache: Path,
    run_dir: Path | None = None,
    *,
    out: Path = Path("runs"),
    progress: bool = True,
) -> RunResult:
    """Train one run and return it; the same run done before is returned as it is.

    A run that was broken off begins again, and comes to the same numbers.

    Args:
        config: the run's settings.
        cache: folder of the stores.
        run_dir: folder of the run; by default one under `out` that is named after it.
        out: where runs go that have no folder of their own.
        progress: show a progress bar on stderr.

    Raises:
        CacheError: a store is missing or not sound.
        TemporalError: the fold file is missing or of other labels, features and labels do not
            fit, or the loss is not finite.
        UsageError: `run_dir` holds another run, or there is no such encoder, framework or device.
    """
    device = resolve_device(config.device)
    check_networks(config)  # refused before data are read
    stores = open_embeddings(cache, config.features)
    labels = open_labels(cache, config.labels)
    selection = select(labels, config, cache)
    data = describe_data(stores, labels) | selection.facts()
    run_identity = identity(config, data)
    folder = run_dir or out / auto_name(config, run_identity)
    done = finished_run(folder, run_identity)
    if done is not None:
        return done
    splits = _read_splits(config, stores, selection)
    with cpu_threads(config.threads), torch.random.fork_rng(devices=_rng_devices(device)):
        torch.manual_seed(config.seed)
        made = _train(config, splits, folder, device, progress)
    facts = {
        "format": "abaw-run",
        "format_version": RUN_FORMAT,
        "identity": run_identity,
        "config": config.to_dict(),
        **data,
        "random_weights": any(s["objective"] == "random" for s in data["stores"].values()),
        **made,
        "join": {report.split: report.to_dict() for report in splits.reports},
        "made": {
            "date": now(),
            "device": str(device),
            "cpu": cpu_name(),
            "commit": git_commit(),
            "versions": package_versions(),
        },
    }
    write_json_atomic(folder / RUN_FILE, facts)
    return RunResult(folder, json.loads(json.dumps(facts)))


@dataclass(frozen=True)
class _Splits:
    """What a run learns from and is chosen by."""

    train: list[Timeline]
    val: list[Timeline]
    rows: RowLabels
    """Annotated rows of the validation split."""
    reports: tuple[JoinReport, JoinReport]
    trained: frozenset[Task]
    """Tasks with a weight and with labels in the training split."""


def _read_splits(config: RunConfig, stores: list[EmbeddingStore], selection: Selection) -> _Splits:
    rows = selection.rows("val")
    train_lines, train_report = selection.join(stores, "train")
    val_lines, val_report = selection.join(stores, "val")
    for report in (train_report, val_report):
        tqdm.write(report.text(), file=sys.stderr)
        check_missing(report, config.max_missing)
    trained = frozenset(
        task
        for task, weight in config.task_weights.items()
        if weight > 0 and any(line.is_labelled[task].any() for line in train_lines)
    )
    if trained and not _can_choose(rows, trained):
        message = (
            f"choosing a checkpoint needs validation labels of a trained task "
            f"({', '.join(task for task in TASKS if task in trained)}), but "
            f"{selection.labels.path} has none among its {len(rows.keys)} validation rows; add "
            f"a validation split"
        )
        raise TemporalError(message)
    return _Splits(train_lines, val_lines, rows, (train_report, val_report), trained)


def _can_choose(rows: RowLabels, trained: frozenset[Task]) -> bool:
    """Return whether the measure of a trained task is defined on the rows."""
    masks = rows.is_labelled
    has_affect = bool((masks.valence & masks.arousal).any())
    has_labels: dict[Task, bool] = {
        "valence": has_affect,
        "arousal": has_affect,
        "expression": bool(masks.expression.any()),
        "au": bool(masks.au.any()),
    }
    return any(has_labels[task] for task in trained)


def _train(
    config: RunConfig, splits: _Splits, folder: Path, device: torch.device, progress: bool
) -> dict[str, Any]:
    """Train, leave the best checkpoint and its predictions in the folder, return the facts."""
    standardizer = fit_standardizer(splits.train)
    training = SequenceDataset(splits.train, standardizer, device)
    validation = SequenceDataset(splits.val, standardizer, device)
    network = build_network(training.n_features, config).to(device)
    loop = TrainingLoop(config, network, training, device)
    n_dead = standardizer.n_dead
    dead = f" ({n_dead} without spread are left out)" if n_dead else ""
    tqdm.write(f"{training.n_features:,} features{dead}; run folder {folder}", file=sys.stderr)

    folder.mkdir(parents=True, exist_ok=True)
    best = _Best(splits.trained)
    with _Log(folder) as log:
        bar = tqdm(range(1, config.epochs + 1), unit="epoch", disable=not progress)
        for epoch in bar:
            losses = loop.epoch()
            predictions = predict_sequences(network, validation, device)
            scores = score_table(predictions, splits.rows, str(folder))
            if best.improves(epoch, scores, predictions):
                save_model(folder, network, standardizer)
            log.write(epoch, losses, scores, loop.learning_rate)
            bar.set_postfix(P_MTL=f"{best.value:.3f}")
    write_predictions(folder / VAL_PREDICTIONS_FILE, best.predictions)
    return {
        "scores": best.scores.to_dict(),
        "best_epoch": best.epoch,
        "n_features": training.n_features,
        "n_dead_features": n_dead,
        "n_parameters": sum(p.numel() for p in network.parameters()),
    }


class _Best:
    """The best epoch so far, by P_MTL, or by its terms of the trained tasks only."""

    scores: Scores
    predictions: PredictionTable

    def __init__(self, trained: frozenset[Task]) -> None:
        self._trained = trained
        self.value = -math.inf
        self.epoch = 0

    def improves(self, epoch: int, scores: Scores, predictions: PredictionTable) -> bool:
        """Take note of an epoch; return whether it is the best."""
        value = choice_value(scores, self._trained)
        if value <= self.value:
            return False
        self.value, self.epoch = value, epoch
        self.scores, self.predictions = scores, predictions
        return True


def choice_value(scores: Scores, trained: frozenset[Task]) -> float:
    """Return what a checkpoint is chosen by: P_MTL's terms of the trained tasks that have labels.

    With all four tasks trained and annotated, that is P_MTL; AUs without a labelled row are left
    out of their mean.
    """
    per_au = list(scores.per_au.values())
    terms: dict[Task, float | None] = {
        "valence": None if scores.CCC_V is None else scores.CCC_V / 2,
        "arousal": None if scores.CCC_A is None else scores.CCC_A / 2,
        "expression": scores.F1_EXPR,
        "au": sum(per_au) / len(per_au) if per_au else None,
    }
    return sum(value for task, value in terms.items() if task in trained and value is not None)


class _Log:
    """`metrics.jsonl` and TensorBoard."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()  # of a run that was broken off
        self._path = folder / METRICS_FILE
        self._lines: list[str] = []
        self._board: Any = SummaryWriter(str(folder))

    def __enter__(self) -> "_Log":
        return self

    def __exit__(self, *_: object) -> None:
        self._board.close()

    def write(
        self, epoch: int, losses: dict[Task, float], scores: Scores, learning_rate: float
    ) -> None:
        """Add an epoch."""
        figures = {key: getattr(scores, key) for key in ("CCC_V", "CCC_A", "F1_EXPR", "F1_AU")}
        figures["P_MTL"] = scores.P_MTL
        line = {"epoch": epoch, "learning_rate": learning_rate, "loss": losses, "val": figures}
        self._lines.append(json.dumps(line, allow_nan=False))
        write_text_atomic(self._path, "\n".join(self._lines) + "\n")
        for task, loss in losses.items():
            self._board.add_scalar(f"loss/{task}", loss, epoch)
        for key, value in figures.items():
            if value is not None:
                self._board.add_scalar(f"val/{key}", value, epoch)


def _rng_devices(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []
