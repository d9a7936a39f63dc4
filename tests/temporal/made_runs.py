"""Folders of finished runs with given validation predictions, without any training."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from abaw.cache import LabelStore
from abaw.core.files import write_json_atomic
from abaw.temporal.config import RunConfig
from abaw.temporal.predictions import PredictionTable, write_predictions
from abaw.temporal.run_folder import RUN_FORMAT, identity
from abaw.temporal.score import RowLabels

from .made import Row, write_label_store


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
    write_json_atomic(folder / "run.json", facts)
    return folder


def edit_run(folder: Path, **changes) -> None:
    """Change what a run's `run.json` holds."""
    facts = json.loads((folder / "run.json").read_text()) | changes
    write_json_atomic(folder / "run.json", facts)
