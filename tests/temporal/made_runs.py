"""Folders of finished runs with given validation predictions, without any training."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from abaw.cache import LabelStore
from abaw.core.files import write_json_atomic
from abaw.temporal.config import RunConfig
from abaw.temporal.predictions import PredictionTable, write_predictions
from abaw.temporal.run_folder import RUN_FORMAT, identity
from abaw.temporal.score import RowLabels, rows_of

from .made import Row, write_label_store
from .made_predictions import noisy, table_from, truth_of


def annotation_rows(truth: RowLabels, videos: Sequence[str] | None = None) -> list[Row]:
    """The rows of an annotation file, with its markers for what is missing."""
    labels, masks = truth.labels, truth.is_labelled
    columns = (
        np.where(masks.valence, labels.valence, -5),
        np.where(masks.arousal, labels.arousal, -5),
        np.where(masks.expression, labels.expression, -1),
        *np.where(masks.au, labels.au, -1).T,
    )
    values = np.stack(columns, axis=1)
    return [
        Row(video, frame, row)
        for (video, frame), row in zip(truth.keys, values.tolist(), strict=True)
        if videos is None or video in videos
    ]


def write_labels_of(cache: Path, truth: RowLabels, train: Sequence[str] = ()) -> LabelStore:
    """A labels store; the videos named in `train` are of the training split."""
    val = sorted({video for video, _ in truth.keys} - set(train))
    splits = {"val": annotation_rows(truth, val)}
    if train:
        splits["train"] = annotation_rows(truth, train)
    return write_label_store(cache, **splits)


def write_run(
    folder: Path, table: PredictionTable, labels: LabelStore, features: str = "face", **settings
) -> Path:
    """A folder as a finished run leaves it, as far as an ensemble reads it."""
    config = RunConfig(features=features, **settings)
    data = {
        "stores": {
            name: {"fingerprint": f"of-{name}", "objective": "supervised", "licence": None}
            for name in config.features
        },
        "labels": {"name": labels.name, "fingerprint": labels.fingerprint},
    }
    facts = {
        "format": "abaw-run",
        "format_version": RUN_FORMAT,
        "identity": identity(config, data),
        "config": config.to_dict(),
        **data,
        "random_weights": False,
    }
    write_predictions(folder / "val_predictions.csv", table)
    save_file({"standardizer.mean": np.zeros(1, np.float32)}, folder / "model.safetensors")
    write_json_atomic(folder / "run.json", facts)
    return folder


def edit_run(folder: Path, **changes) -> None:
    """Change what a run's `run.json` holds."""
    facts = json.loads((folder / "run.json").read_text()) | changes
    write_json_atomic(folder / "run.json", facts)


VIDEOS = ("a", "a_left", "b", "c", "d", "e", "f")
_COLUMNS = ("frame", "valence", "arousal", "expression", "au", "p_expression", "p_au")


def assert_same(found: PredictionTable, expected: PredictionTable):
    assert found.video == expected.video
    for name in _COLUMNS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


class Made:
    """A cache with labels, and four runs: three with different faults, one that learnt nothing."""

    def __init__(self, folder: Path):
        self.cache = folder / "features"
        self.truth = truth_of(videos=VIDEOS, n=80)
        self.labels = write_labels_of(self.cache, self.truth)
        rng = np.random.default_rng(7)
        n = len(self.truth.keys)
        noise = (rng.uniform(-1, 1, (n, 2)), rng.normal(size=(n, 8)), rng.normal(size=(n, 12)))
        self.tables = [
            *(noisy(self.truth, 0.5, seed, au_bias=-1) for seed in (1, 2, 3)),
            table_from(self.truth.keys, *noise),
        ]
        self.runs = [
            write_run(folder / "runs" / f"r{number}", table, self.labels, seed=number)
            for number, table in enumerate(self.tables)
        ]
        self.rows = rows_of(self.labels.table, "val")


class Folded(Made):
    """Two models, each with runs of the folds 0 (the official one), 1 and 2."""

    def __init__(self, folder: Path):
        self.cache = folder / "features"
        self.truth = truth_of(videos=VIDEOS, n=60)
        self.labels = write_labels_of(self.cache, self.truth, train=("a", "a_left", "b", "c", "d"))
        self.tables = [noisy(self.truth, 0.5, seed, au_bias=-1) for seed in (1, 2)]
        self.parts = {0: ("e", "f"), 1: ("a", "a_left", "b"), 2: ("c", "d")}
        self.runs = [
            write_run(
                folder / f"m{seed}-{fold}",
                table.take(np.flatnonzero(np.isin(table.video, videos))),
                self.labels,
                seed=seed,
                fold=fold,
                threads=fold + 1,  # how a run is carried out makes no other model
            )
            for seed, table in enumerate(self.tables)
            for fold, videos in self.parts.items()
        ]
