"""What the loss of a run takes from its settings and from the training split's labels."""

from pathlib import Path

import numpy as np
import pytest
import torch

from abaw.core.tasks import TASKS
from abaw.temporal.build_loss import build_loss
from abaw.temporal.data.join import Timeline, join
from abaw.temporal.losses import Labels, MultiTaskLoss
from abaw.temporal.run_folder import open_embeddings, open_labels

from .made import config, write_cache

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[Timeline]:
    cache: Path = write_cache(tmp_path_factory.mktemp("cache"))
    stores, labels = open_embeddings(cache, ("face_a",)), open_labels(cache, "labels")
    return join(stores, labels, "train", config())[0]


def built(lines: list[Timeline], tasks=TASKS, **settings) -> MultiTaskLoss:
    return build_loss(config(**settings), lines, tasks, CPU)


def test_only_trained_tasks_take_part(lines):
    loss = built(lines, ("valence", "au"), weight_valence=3, weighting="learned")
    assert loss.tasks == ("valence", "au")
    assert loss.class_weight is None
    assert len(list(loss.parameters())) == 2


def batch(loss: MultiTaskLoss) -> dict[str, float]:
    """Each task's loss and the total of two frames: all outputs 0.5, all labels 1 (class 1)."""

    shape = {"valence": (1, 2), "arousal": (1, 2), "expression": (1, 2, 8), "au": (1, 2, 12)}
    outputs = {task: torch.full(size, 0.5) for task, size in shape.items()}
    values = {task: torch.ones(size) for task, size in shape.items()}
    values["expression"] = torch.ones(1, 2, dtype=torch.long)
    labels = Labels(values, {task: torch.ones_like(v).bool() for task, v in values.items()})
    losses = loss.per_task(outputs, labels)
    return {task: float(value) for task, value in losses.items()} | {
        "total": float(loss.total(losses, labels).detach())
    }


PLAIN = {"ccc_share": 0, "balance_expression": 0, "balance_au": 0}
BCE = float(np.log1p(np.exp(-0.5)))
SUM = 0.25 + 0.25 + np.log(8) + BCE


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"valence": 0.25, "arousal": 0.25, "expression": np.log(8), "au": BCE, "total": SUM}),
        ({"va_distance": "l1"}, {"valence": 0.5, "arousal": 0.5}),
        ({"ccc_share": 1}, {"valence": 1.0}),  # constant labels: CCC is 0
        ({"ccc_share": 0.2}, {"valence": 0.2 * 1 + 0.8 * 0.25}),
        ({"focal": 2}, {"expression": (7 / 8) ** 2 * np.log(8), "au": BCE}),
        ({"label_smoothing": 0.3}, {"expression": np.log(8)}),  # of equal logits it changes nothing
        ({"weight_au": 3}, {"au": BCE, "total": SUM + 2 * BCE}),
        ({"weight_expression": 0.5}, {"total": SUM - 0.5 * np.log(8)}),
        ({"weight_valence": 5}, {"valence": 0.25, "total": SUM + 4 * 0.25}),
        ({"weight_arousal": 5, "weighting": "normalised"}, {"total": 1 + 5 + 1 + 1}),
        ({"weighting": "learned"}, {"total": 0.5 * (0.25 + 0.25) + np.log(8) + BCE}),
    ],
)
def test_each_setting_changes_the_loss_as_it_says(lines, settings, expected):
    found = batch(built(lines, **(PLAIN | settings)))
    assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-6)


def test_balancing_multiplies_by_the_weight_of_the_class(lines):
    loss = built(lines, **(PLAIN | {"balance_expression": 1, "balance_au": 1}))
    found = batch(loss)
    assert found["expression"] == pytest.approx(float(loss.class_weight[1]) * np.log(8), rel=1e-6)
    assert found["au"] == pytest.approx(float(loss.positive_weight.mean()) * BCE, rel=1e-6)
