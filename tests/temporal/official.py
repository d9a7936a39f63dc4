"""Official lists of a few rows, and what is handed in for them."""

from pathlib import Path

import numpy as np

from abaw.cache import LabelTable
from abaw.core.tasks import AUS, EXPRESSIONS
from abaw.temporal.data.annotations import read_annotations, write_annotations
from abaw.temporal.data.official_list import OfficialList, listed_rows
from abaw.temporal.predictions import PredictionTable
from abaw.temporal.submission import SubmissionResult, write_submission

from .tables import table

MTL = "image,valence,arousal,expression,aus"
HEADERS = {"va": "valence,arousal", "expr": ",".join(EXPRESSIONS), "au": ",".join(AUS)}
TASKS_OF = {"va": ("valence", "arousal"), "expr": ("expression",), "au": ("au",)}


def no_constant() -> PredictionTable:
    raise AssertionError("every video has a prediction")


def constant() -> PredictionTable:
    return table(1, seed=9)


def mtl_labels(folder: Path) -> LabelTable:
    """Labels of the multi-task challenge: training rows only."""
    path = folder / "training_set_annotations.txt"
    write_annotations(path, ["t/00001.jpg"], np.zeros((1, 15)))
    return read_annotations({"train": path})


def listed(folder: Path, *lines: str, labels: LabelTable | None = None) -> OfficialList:
    path = folder / "list.txt"
    path.write_text("\n".join(lines) + "\n")
    return listed_rows(path, labels or mtl_labels(folder), lambda _: 0)


def written(
    folder: Path, official: OfficialList, predictions: PredictionTable, fill=no_constant
) -> tuple[list[str], SubmissionResult]:
    result = write_submission(folder / "out.txt", official, predictions, fill)
    data = (folder / "out.txt").read_bytes()
    assert data.endswith(b"\n")
    assert b"\r" not in data
    return data.decode().split("\n")[:-1], result


def frames(video: str, *numbers: int, seed: int = 0) -> PredictionTable:
    n = len(numbers)
    return table(n, seed, video=[video] * n, frame=np.array(numbers, np.int32))
