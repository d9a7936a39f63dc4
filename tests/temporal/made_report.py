"""Folders of finished runs as a report reads them: predictions, their scores, curves, costs."""

import json
from pathlib import Path

import numpy as np

from abaw.cache import LabelStore
from abaw.temporal.postprocess_fit import postprocessed
from abaw.temporal.predictions import PredictionTable
from abaw.temporal.score import RowLabels, rows_of, score_table
from abaw.temporal.settings.training import TrainingSettings

from .made_predictions import noisy, truth_of
from .made_runs import edit_run, write_labels_of, write_run

TRAIN = ("a", "a_left", "b")
VIDEOS = (*TRAIN, "c", "d", "d_left", "e", "f", "g", "h")


class Reported:
    """A cache with labels of two splits, and a folder for runs with given predictions."""

    def __init__(self, folder: Path, videos: tuple[str, ...] = VIDEOS, n: int = 60):
        self.folder = folder / "runs"
        self.cache = folder / "features"
        self.truth = truth_of(videos=videos, n=n)
        self.labels = write_labels_of(self.cache, self.truth, train=TRAIN)
        self.rows = rows_of(self.labels.table, "val")

    def table(self, noise: float, seed: int = 0) -> PredictionTable:
        """Predictions of the validation videos."""
        table = noisy(self.truth, noise, seed)
        return table.take(~np.isin(table.video, TRAIN))

    def add(self, name: str, noise: float, **settings) -> Path:
        """A run whose predictions have a certain noise."""
        seed = settings.get("seed", 0)
        table = self.table(noise, seed)
        return finished(self.folder / name, table, self.labels, self.rows, **settings)


def finished(
    folder: Path, table: PredictionTable, labels: LabelStore, rows: RowLabels, **settings
) -> Path:
    """A folder as a finished run leaves it, but for its network."""
    write_run(folder, table, labels, **settings)
    scores = score_table(table, rows, "made").to_dict()
    edit_run(
        folder,
        scores=scores,
        postprocess=postprocessed(TrainingSettings(), table, rows),
        best_epoch=3,
        n_parameters=1234,
        n_features=12,
        cost={"seconds": 2.5, "peak_memory": 300 * 2**20, "peak_device_memory": None},
        made={"date": "2025-01-01T00:00:00+00:00", "device": "cpu", "cpu": "made", "versions": {}},
    )
    lines = [
        {"epoch": epoch, "loss": {"valence": 1 / epoch}, "val": scores} for epoch in range(1, 5)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder
