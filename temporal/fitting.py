"""Trains the network of one run on joined data, from its first step or from where it was left."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from ..core.device import Precision
from ..core.files import errors_of
from ..core.tasks import Task
from .config import RunConfig
from .data.dataset import SequenceDataset
from .data.features import FeatureMaker
from .data.shared_features import SharedFeatures
from .data.standardize import fit_standardizer
from .data.timeline import Timeline
from .inference import predict_sequences
from .loop import TrainingLoop
from .metrics import Scores
from .nets.build import build_network
from .nets.frameworks import Framework
from .predictions import PredictionTable
from .resume import load_state, remove_state, save_state
from .run_folder import load_model, save_model
from .run_log import BestEpoch, RunLog, choice_value
from .score import RowLabels, score_table


@dataclass(frozen=True)
class Splits:
    """What a run learns from and is chosen by."""

    train: Sequence[Timeline]
    train_rows: RowLabels
    """Annotated rows of the training split."""
    val: Sequence[Timeline] | None
    """None if all is trained on."""
    val_rows: RowLabels | None
    trained: frozenset[Task]
    """Tasks with a weight and with labels in the training split."""
    chosen_by: frozenset[Task]
    """Those by whose measures the checkpoint is chosen."""


@dataclass(frozen=True)
class EpochReport:
    """What a run tells after each epoch."""

    epoch: int
    """1-based."""
    n_epochs: int
    """At most."""
    value: float | None
    """What checkpoints are chosen by, of this epoch; None without a validation split."""
    best: float | None
    """The best of it so far."""
    seconds: float
    """Since the run was begun, in all its processes."""


@dataclass(frozen=True)
class Fitted:
    """A trained run."""

    predictions: PredictionTable | None
    """Of the validation split, by the checkpoint that was kept."""
    scores: Scores | None
    best_epoch: int
    n_epochs: int
    n_features: int
    n_dead_features: int
    n_parameters: int
    seconds: float
    """From its data being joined to its last prediction, in all its processes."""


class Fitting:
    """One run on its way.

    Args:
        config: the run's settings.
        splits: its data.
        folder: of the run; checkpoint, log and state are written there.
        run_identity: of the run.
        device: where it trains.
        precision: of matrix products.
        watch: is told of each epoch; an error that it raises ends the run, which then can go on.
        shared: where features lie that runs side by side have in common.
    """

    def __init__(
        self,
        config: RunConfig,
        splits: Splits,
        folder: Path,
        run_identity: str,
        device: torch.device,
        precision: Precision,
        watch: Callable[[EpochReport], None] | None = None,
        shared: SharedFeatures | None = None,
    ) -> None:
        self._config = config
        self._watch, self._shared = watch, shared
        self._begun = time.monotonic()
        self._splits = splits
        self._folder = folder
        self._identity = run_identity
        self._device = device
        standardizer = fit_standardizer(splits.train)
        self._maker = FeatureMaker(standardizer, config)
        self._training = self._dataset(splits.train)
        self._validation = None if splits.val is None else self._dataset(splits.val)
        network = build_network(self._maker.n_features, config, list(splits.trained)).to(device)
        self._loop = TrainingLoop(config, network, self._training, precision)
        self._best = BestEpoch(splits.chosen_by, config.patience)
        folder.mkdir(parents=True, exist_ok=True)
        self._lines: list[str] = []
        self._resume()

    def _dataset(self, lines: Sequence[Timeline]) -> SequenceDataset:
        bytes_ = self._config.resident_gb * 2**30
        return SequenceDataset(
            lines, self._maker, self._device, resident_bytes=bytes_, shared=self._shared
        )

    def _resume(self) -> None:
        state = load_state(self._folder, self._identity)
        if state is None:
            return
        self._loop.load_state(state["loop"])
        self._best.value, self._best.epoch = state["best"]
        self._lines = state["lines"]
        self._begun -= state.get("seconds", 0.0)
        text = f"going on from epoch {self._loop.epoch + 1}, step {self._loop.step + 1}"
        tqdm.write(text, file=sys.stderr)

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._begun

    def _save(self, log: RunLog) -> None:
        state = {
            "loop": self._loop.state(),
            "best": (self._best.value, self._best.epoch),
            "lines": log.lines,
            "seconds": self._seconds,
        }
        save_state(self._folder, self._identity, state)

    def run(self, *, progress: bool) -> Fitted:
        """Train to the end, leave the checkpoint in the folder, and return what came of it."""
        loop, config = self._loop, self._config
        n_dead = self._maker.standardizer.n_dead
        dead = f" ({n_dead} without spread are left out)" if n_dead else ""
        kind = "on the device" if self._training.is_resident else "streamed from the stores"
        text = f"{self._maker.n_features:,} features{dead}, {kind}; run folder {self._folder}"
        tqdm.write(text, file=sys.stderr)
        with (
            errors_of(self._folder),  # TensorBoard's file has no name in its errors
            RunLog(self._folder, self._lines) as log,
            tqdm(
                total=config.epochs, initial=loop.epoch, unit="epoch", disable=not progress
            ) as bar,
        ):
            while loop.epoch < config.epochs and not self._best.is_over(loop.epoch):
                for _ in loop.steps():
                    if config.save_every and loop.n_steps % config.save_every == 0:
                        self._save(log)
                self._judge(log)
                bar.update()
                if self._validation is not None:
                    bar.set_postfix(best=f"{self._best.value:.3f} of epoch {self._best.epoch}")
        if self._validation is None:
            save_model(self._folder, loop.judged_network(), self._maker.standardizer)
        fitted = self._fitted(n_dead)
        remove_state(self._folder)
        return fitted

    def _judge(self, log: RunLog) -> None:
        """Score the epoch that has just ended, and keep its weights if they are the best."""
        loop = self._loop
        network = loop.judged_network()
        scores: dict[str, Scores] = {}
        if self._validation is not None and self._splits.val_rows is not None:
            table = self._predict(network, self._validation)
            scores["val"] = score_table(table, self._splits.val_rows, str(self._folder))
            if self._best.improves(loop.epoch, scores["val"]):
                save_model(self._folder, network, self._maker.standardizer)
        if self._config.score_train:
            table = self._predict(network, self._training)
            scores["train"] = score_table(table, self._splits.train_rows, str(self._folder))
        log.write(loop.epoch, loop.losses(), loop.learning_rate, scores)
        if self._watch is not None:
            value = choice_value(scores["val"], self._splits.chosen_by) if "val" in scores else None
            best = None if value is None else self._best.value
            told = EpochReport(loop.epoch, self._config.epochs, value, best, self._seconds)
            self._watch(told)

    def _predict(self, network: Framework, dataset: SequenceDataset) -> PredictionTable:
        return predict_sequences(network, dataset, self._config, self._loop.precision)

    def _fitted(self, n_dead: int) -> Fitted:
        predictions, scores = None, None
        network, _ = load_model(self._folder, self._config, self._loop.network.tasks)
        if self._validation is not None and self._splits.val_rows is not None:
            # Of the checkpoint as it is on the disk: what a user will predict with.
            predictions = self._predict(network.to(self._device), self._validation)
            scores = score_table(predictions, self._splits.val_rows, str(self._folder))
        return Fitted(
            predictions=predictions,
            scores=scores,
            best_epoch=self._best.epoch if self._validation is not None else self._loop.epoch,
            n_epochs=self._loop.epoch,
            n_features=self._maker.n_features,
            n_dead_features=n_dead,
            n_parameters=sum(p.numel() for p in network.parameters()),
            seconds=self._seconds,
        )
