"""Trains one run: the best checkpoint by P_MTL on the validation split."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ..cache import EmbeddingStore
from ..core.device import check_compiler, resolve_device
from ..core.files import write_json_atomic
from ..core.machine import PeakMemory, cpu_name
from ..core.provenance import git_commit, now, package_versions
from ..core.tasks import TASKS, Task
from ..core.user_code import is_file
from .config import RunConfig
from .data.join_report import JoinReport, check_missing
from .data.shared_features import SharedFeatures
from .errors import TemporalError, cannot_compile
from .fitting import EpochReport, Fitting, Splits
from .loop import cpu_threads
from .metrics import Scores
from .nets.build import check_networks
from .nets.encoders import encoder_identity
from .postprocess_fit import postprocessed
from .precision import training_precision
from .predictions import write_predictions
from .run_folder import (
    RUN_FILE,
    RUN_FORMAT,
    RunResult,
    auto_name,
    describe_data,
    finished_run,
    identity,
    open_embeddings,
    open_labels,
    val_predictions_file,
)
from .score import RowLabels
from .selection import Selection, select


def train(
    config: RunConfig,
    cache: Path,
    run_dir: Path | None = None,
    *,
    out: Path = Path("runs"),
    progress: bool = True,
    watch: Callable[[EpochReport], None] | None = None,
    share: Path | None = None,
) -> RunResult:
    """Train one run and return it; the same run done before is returned as it is.

    A run that was broken off goes on where its state was last saved, and comes to the same
    numbers.

    Args:
        config: the run's settings.
        cache: folder of the stores.
        run_dir: folder of the run; by default one under `out` that is named after it.
        out: where runs go that have no folder of their own.
        progress: show a progress bar on stderr.
        watch: is told of each epoch; an error that it raises ends the run, which then can go on.
        share: folder of features that runs side by side on this machine have in common.

    Raises:
        CacheError: a store is missing or not sound.
        TemporalError: the fold file is missing or of other labels, features and labels do not
            fit, or the loss is not finite.
        UsageError: `run_dir` holds another run, or there is no such encoder, framework or device.
    """
    device = resolve_device(config.device)
    begun = begin(config, cache, run_dir, out)
    if begun.done is not None:
        return begun.done
    config, stores, selection = begun.config, begun.stores, begun.selection
    data, run_identity, folder = begun.data, begun.identity, begun.folder
    precision = training_precision(config, device)
    if config.compile:
        check_compiler(device, cannot_compile)
    memory = PeakMemory()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    splits, reports = read_splits(config, stores, selection)
    with cpu_threads(config.threads), torch.random.fork_rng(devices=_rng_devices(device)):
        torch.manual_seed(config.seed)
        shared = None if share is None else SharedFeatures(share, data["stores"])
        fitting = Fitting(config, splits, folder, run_identity, device, precision, watch, shared)
        fitted = fitting.run(progress=progress)
    processed = None
    if fitted.predictions is not None and splits.val_rows is not None:
        write_predictions(folder / val_predictions_file(config), fitted.predictions)
        processed = postprocessed(config, fitted.predictions, splits.val_rows)
    facts = {
        "format": "abaw-run",
        "format_version": RUN_FORMAT,
        "identity": run_identity,
        "config": config.to_dict(),
        **data,
        "tasks": [task for task in TASKS if task in splits.trained],
        "precision": precision,
        "random_weights": any(s["objective"] == "random" for s in data["stores"].values()),
        "oracle": config.oracle,
        "scores": _marked(fitted.scores, config),
        "postprocess": processed,
        "best_epoch": fitted.best_epoch,
        "n_epochs": fitted.n_epochs,
        "n_features": fitted.n_features,
        "n_dead_features": fitted.n_dead_features,
        "n_parameters": fitted.n_parameters,
        "cost": {
            "seconds": fitted.seconds,
            "peak_memory": memory.bytes(),
            "peak_device_memory": (
                torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
            ),
        },
        "join": {report.split: report.to_dict() for report in reports},
        "made": {
            "date": now(),
            "device": str(device),
            "cpu": cpu_name(),
            "commit": git_commit(),
            "versions": package_versions(),
        },
    }
    write_json_atomic(folder / RUN_FILE, facts)
    notes = () if shared is None else tuple(shared.notes)
    return RunResult(folder, json.loads(json.dumps(facts)), notes=notes)


@dataclass(frozen=True)
class Begun:
    """A run before its data are read."""

    config: RunConfig
    stores: list[EmbeddingStore]
    selection: Selection
    data: dict[str, Any]
    identity: str
    folder: Path
    done: RunResult | None
    """The same run, if it was done before."""


def planned(config: RunConfig, cache: Path, out: Path) -> tuple[Path, bool]:
    """Return the folder that `train` would use for a run, and whether the run is done.

    Raises:
        CacheError, TemporalError, UsageError: as `train` would, before it reads data.
    """
    begun = begin(config, cache, None, out)
    return begun.folder, begun.done is not None


def begin(config: RunConfig, cache: Path, run_dir: Path | None, out: Path) -> Begun:
    """Return what a run is, before its data are read.

    Raises:
        CacheError, TemporalError, UsageError: as `train`.
    """
    if is_file(config.encoder):  # so that the run predicts from any folder
        text, _, name = config.encoder.rpartition(":")
        path = Path(text).expanduser().resolve()
        config = config.model_copy(update={"encoder": f"{path}:{name}"})
    check_networks(config)  # refused before data are read
    stores = open_embeddings(cache, config.features)
    labels = open_labels(cache, config.labels)
    selection = select(labels, config, cache)
    data = describe_data(stores, labels) | selection.facts()
    data["encoder_code"] = encoder_identity(config)
    run_identity = identity(config, data)
    folder = run_dir or out / auto_name(config, run_identity)
    done = finished_run(folder, run_identity)
    return Begun(config, stores, selection, data, run_identity, folder, done)


def read_splits(
    config: RunConfig, stores: list[EmbeddingStore], selection: Selection, *, tell: bool = True
) -> tuple[Splits, list[JoinReport]]:
    """Return the data of a run and what was found when they were joined.

    Args:
        config: the run's settings.
        stores: its embeddings.
        selection: its fold.
        tell: write what was found to stderr.

    Raises:
        TemporalError: too much is missing, or there is nothing to learn or to choose by.
    """
    train_lines, train_report = selection.join(stores, "train")
    reports = [train_report]
    val_lines, val_rows = None, None
    if selection.has_val:
        val_lines, val_report = selection.join(stores, "val")
        val_rows = selection.rows("val")
        reports.append(val_report)
    for report in reports:
        if tell:
            tqdm.write(report.text(), file=sys.stderr)
        check_missing(report, config.max_missing)
    trained = frozenset(
        task
        for task, weight in config.task_weights.items()
        if weight > 0 and any(line.is_labelled[task].any() for line in train_lines)
    )
    if not trained:
        message = "training needs labelled frames, but the split has none; check the labels"
        raise TemporalError(message)
    chosen_by = frozenset(config.chosen_by) or trained
    if not chosen_by <= trained:
        message = (
            f"the checkpoint is chosen by {', '.join(config.chosen_by)}, but the training split "
            f"has labels of {', '.join(task for task in TASKS if task in trained)} only; check "
            f"the labels, or chosen_by"
        )
        raise TemporalError(message)
    if val_rows is not None and not _can_choose(val_rows, chosen_by):
        message = (
            f"choosing a checkpoint needs validation labels of a trained task "
            f"({', '.join(task for task in TASKS if task in chosen_by)}), but "
            f"{selection.labels.path} has none among its {len(val_rows.keys)} validation rows; add "
            f"a validation split"
        )
        raise TemporalError(message)
    return (
        Splits(train_lines, selection.rows("train"), val_lines, val_rows, trained, chosen_by),
        reports,
    )


def _marked(scores: Scores | None, config: RunConfig) -> dict[str, Any] | None:
    """Return the scores as `run.json` holds them; those of an oracle say so."""
    if scores is None:
        return None
    return scores.to_dict() | ({"oracle": True} if config.oracle else {})


def _can_choose(rows: RowLabels, chosen_by: frozenset[Task]) -> bool:
    """Return whether the measure of one of the tasks is defined on the rows."""
    masks = rows.is_labelled
    has_affect = bool((masks.valence & masks.arousal).any())
    has_labels: dict[Task, bool] = {
        "valence": has_affect,
        "arousal": has_affect,
        "expression": bool(masks.expression.any()),
        "au": bool(masks.au.any()),
    }
    return any(has_labels[task] for task in chosen_by)


def _rng_devices(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []
