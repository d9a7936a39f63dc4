"""Prediction tables with known content."""

from dataclasses import replace

import numpy as np

from abaw.core.tasks import TASKS
from abaw.temporal.predictions import PredictionTable

FIELDS = (
    "video",
    "frame",
    "valence",
    "arousal",
    "expression",
    "au",
    "p_expression",
    "p_au",
)
OF_TASK = {
    "valence": ("valence",),
    "arousal": ("arousal",),
    "expression": ("expression", "p_expression"),
    "au": ("au", "p_au"),
}


def table(n: int = 3, seed: int = 0, **changes) -> PredictionTable:
    rng = np.random.default_rng(seed)
    columns = {
        "video": ["a"] * n,
        "frame": np.arange(1, n + 1, dtype=np.int32),
        "valence": rng.uniform(-1, 1, n).astype(np.float32),
        "arousal": rng.uniform(-1, 1, n).astype(np.float32),
        "expression": rng.integers(0, 8, n).astype(np.int8),
        "au": rng.integers(0, 2, (n, 12)).astype(np.int8),
        "p_expression": rng.uniform(size=(n, 8)).astype(np.float32),
        "p_au": rng.uniform(size=(n, 12)).astype(np.float32),
    }
    return PredictionTable(**(columns | changes))


def some_tasks(whole: PredictionTable, *tasks: str) -> PredictionTable:
    """The same table as of a run that predicts some tasks only: 0 in the columns of the others."""
    others = [name for task in TASKS if task not in tasks for name in OF_TASK[task]]
    zeros = {name: np.zeros_like(getattr(whole, name)) for name in others}
    return replace(whole, tasks=frozenset(tasks), **zeros)


def assert_same(one: PredictionTable, other: PredictionTable) -> None:
    assert one.tasks == other.tasks
    for name in FIELDS:
        np.testing.assert_array_equal(
            np.asarray(getattr(one, name)), np.asarray(getattr(other, name)), strict=True
        )
