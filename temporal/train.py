"""Trains one run: the best checkpoint by P_MTL on the validation split."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from ..core.device import resolve_device
from ..core.files import write_json_atomic, write_text_atomic
from ..core.provenance import cpu_name, git_commit, now, package_versions
from ..core.tasks import N_AUS, N_EXPRESSIONS, TASKS, Task
from .config import RunConfig
from .data.dataset import Batch, Segment, SequenceDataset
from .data.join import Timeline, check_missing, join
from .data.standardize import fit_standardizer
from .errors import TemporalError
from .inference import predict_sequences
from .losses import MultiTaskLoss
from .metrics import Scores
from .nets.frameworks import Framework, build_network
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
from .score import RowLabels, rows_of, score_table


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
        TemporalError: features and labels do not fit, or the loss is not finite.
        UsageError: `run_dir` holds another run.
    """
    device = resolve_device(config.device)
    stores = open_embeddings(cache, config.features)
    labels = open_labels(cache, config.labels)
    data = describe_data(stores, labels)
    run_identity = identity(config, data)
    folder = run_dir or out / auto_name(config, run_identity)
    done = finished_run(folder, run_identity)
    if done is not None:
        return done

    train_lines, train_report = join(stores, labels, "train", config.fill)
    val_lines, val_report = join(stores, labels, "val", config.fill)
    for report in (train_report, val_report):
        tqdm.write(report.text(), file=sys.stderr)
        check_missing(report, config.max_missing)
    standardizer = fit_standardizer(train_lines)
    training = SequenceDataset(train_lines, standardizer)
    validation = SequenceDataset(val_lines, standardizer)
    network = build_network(training.n_features, config).to(device)

    folder.mkdir(parents=True, exist_ok=True)
    loop = _Loop(config, network, training, device)
    rows = rows_of(labels.table, "val")
    best = _Best(folder)
    with _Log(folder) as log, torch.random.fork_rng(devices=_rng_devices(device)):
        torch.manual_seed(config.seed)
        bar = tqdm(range(1, config.epochs + 1), unit="epoch", disable=not progress)
        for epoch in bar:
            losses = loop.epoch()
            predictions = predict_sequences(network, validation, device)
            scores = _scores(predictions, rows, folder)
            if best.improves(epoch, scores):
                save_model(folder, network, standardizer)
                best.predictions = predictions
            log.write(epoch, losses, scores, loop.learning_rate)
            bar.set_postfix(P_MTL=f"{best.value:.3f}")
    if best.predictions is None or best.scores is None:
        message = f"the run in {folder} ended without a checkpoint"
        raise RuntimeError(message)
    write_predictions(folder / VAL_PREDICTIONS_FILE, best.predictions)
    facts = {
        "format": "abaw-run",
        "format_version": RUN_FORMAT,
        "identity": run_identity,
        "config": config.to_dict(),
        **data,
        "random_weights": any(s["objective"] == "random" for s in data["stores"].values()),
        "scores": best.scores.to_dict(),
        "best_epoch": best.epoch,
        "join": {"train": train_report.to_dict(), "val": val_report.to_dict()},
        "n_features": training.n_features,
        "n_dead_features": standardizer.n_dead,
        "n_parameters": sum(p.numel() for p in network.parameters()),
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


class _Loop:
    """Optimiser steps over shuffled windows."""

    def __init__(
        self,
        config: RunConfig,
        network: Framework,
        dataset: SequenceDataset,
        device: torch.device,
    ) -> None:
        self._config = config
        self._network = network
        self._dataset = dataset
        self._device = device
        self._segments: list[Segment] = dataset.segments(config.segment_length, config.stride)
        if not self._segments:
            message = "training needs labelled frames, but the split has none; check the labels"
            raise TemporalError(message)
        self._generator = torch.Generator().manual_seed(config.data_seed)
        self._loss = build_loss(config, dataset.sequences, device)
        self._optimizer = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        n_steps = config.epochs * math.ceil(len(self._segments) / config.batch_size)
        self._schedule = LambdaLR(self._optimizer, warmup_cosine(n_steps, config.warmup))
        self._step = 0

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        return float(self._schedule.get_last_lr()[0])

    def epoch(self) -> dict[Task, float]:
        """Go through all windows once; return each task's loss per labelled element."""
        self._network.train()
        sums = {task: torch.zeros((), device=self._device) for task in TASKS}
        counts = dict.fromkeys(TASKS, 0)
        batches = self._dataset.shuffled_batches(
            self._segments, self._config.batch_size, self._generator
        )
        for batch in batches:
            losses = self.step(batch)
            for task, loss in losses.items():
                n = int(batch.labels.is_labelled[task].sum())
                sums[task] += loss.detach() * n
                counts[task] += n
        return {task: float(sums[task]) / max(counts[task], 1) for task in TASKS}

    def step(self, batch: Batch) -> dict[Task, torch.Tensor]:
        """Take one optimiser step.

        Raises:
            TemporalError: the loss is not finite; nothing is changed.
        """
        features = batch.features.to(self._device, non_blocking=True)
        is_frame = batch.is_frame.to(self._device, non_blocking=True)
        outputs, _ = self._network(features, is_frame)
        losses = self._loss.per_task(outputs, batch.labels.to(self._device))
        total = self._loss.total(losses)
        if not torch.isfinite(total):
            bad = [task for task, loss in losses.items() if not torch.isfinite(loss)]
            message = (
                f"the loss must be finite, but that of {', '.join(bad)} is not at step "
                f"{self._step} with the videos {', '.join(batch.videos)}; lower learning_rate, or "
                f"look at those features"
            )
            raise TemporalError(message)
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), self._config.clip_norm)
        self._optimizer.step()
        self._schedule.step()
        self._step += 1
        return losses


def warmup_cosine(n_steps: int, warmup: float) -> Any:  # noqa: ANN401 - a function of the step
    """Return step -> factor: rises over the share `warmup` of the steps, then falls to 0.

    The first step is not dead: its factor is above 0.
    """
    n_warm = max(1, round(warmup * n_steps))

    def factor(step: int) -> float:
        if step < n_warm:
            return (step + 1) / n_warm
        share = (step - n_warm) / max(1, n_steps - n_warm)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))

    return factor


def build_loss(config: RunConfig, sequences: list[Timeline], device: torch.device) -> MultiTaskLoss:
    """Return the loss with class and positive weights from the training split's labels."""
    expressions = np.zeros(N_EXPRESSIONS)
    positives, negatives = np.zeros(N_AUS), np.zeros(N_AUS)
    for sequence in sequences:
        is_labelled = sequence.is_labelled["expression"]
        found = sequence.values["expression"][is_labelled]
        expressions += np.bincount(found, minlength=N_EXPRESSIONS)
        mask, au = sequence.is_labelled["au"], sequence.values["au"] > 0
        positives += (au & mask).sum(axis=0)
        negatives += (~au & mask).sum(axis=0)
    class_weight = (expressions.sum() / np.maximum(expressions, 1)) ** config.balance_expression
    class_weight = np.where(expressions > 0, class_weight, 0)
    # Mean 1 over the training frames, so that the task's weight does not change with balancing.
    class_weight /= max(1e-12, (class_weight * expressions).sum() / max(1, expressions.sum()))
    positive_weight = (np.maximum(negatives, 1) / np.maximum(positives, 1)) ** config.balance_au
    return MultiTaskLoss(
        task_weight={
            "valence": config.weight_valence,
            "arousal": config.weight_arousal,
            "expression": config.weight_expression,
            "au": config.weight_au,
        },
        ccc_share=config.ccc_share,
        class_weight=torch.tensor(class_weight, dtype=torch.float32, device=device),
        positive_weight=torch.tensor(positive_weight, dtype=torch.float32, device=device),
    )


class _Best:
    """The best epoch so far, by the sum of the terms that there are labels for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.value = -math.inf
        self.epoch = 0
        self.scores: Scores | None = None
        self.predictions: PredictionTable | None = None

    def improves(self, epoch: int, scores: Scores) -> bool:
        """Take note of an epoch; return whether it is the best."""
        if scores.available <= self.value:
            return False
        self.value, self.epoch, self.scores = scores.available, epoch, scores
        return True


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


def _scores(predictions: PredictionTable, rows: RowLabels, folder: Path) -> Scores:
    if not rows.keys:
        message = "choosing a checkpoint needs a validation split, but the labels have none"
        raise TemporalError(message)
    return score_table(predictions, rows, str(folder))


def _rng_devices(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []
