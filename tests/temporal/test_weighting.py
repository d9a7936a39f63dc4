"""How tasks are weighed together, and the weights of classes and positives."""

from pathlib import Path

import numpy as np
import pytest
import torch

from abaw.temporal.build_loss import build_loss
from abaw.temporal.data.join import join
from abaw.temporal.run_folder import open_embeddings, open_labels
from abaw.temporal.weighting import FixedWeighting, LearnedWeighting, NormalisedWeighting

from .made import config, write_cache

CPU = torch.device("cpu")
WEIGHTS = {"valence": 12.0, "expression": 0.35}


def labelled(*tasks: str):
    return {task: torch.tensor([task in tasks]) for task in WEIGHTS}


def losses_of(valence: float, expression: float):
    return {
        "valence": torch.tensor(valence, requires_grad=True),
        "expression": torch.tensor(expression, requires_grad=True),
    }


def test_fixed_weights_by_hand():
    losses = losses_of(0.5, 2.0)
    total = FixedWeighting(WEIGHTS)(losses, labelled(*WEIGHTS))
    assert float(total.detach()) == pytest.approx(12 * 0.5 + 0.35 * 2)


def test_normalised_each_task_pulls_by_its_weight_whatever_its_size():
    for size in (0.01, 1.0, 50.0):
        losses = losses_of(size, 2.0)
        total = NormalisedWeighting(WEIGHTS)(losses, labelled(*WEIGHTS))
        total.backward()
        assert float(total.detach()) == pytest.approx(12.35)
        assert float(losses["valence"].grad * losses["valence"].detach()) == pytest.approx(12)
        assert float(losses["expression"].grad * 2) == pytest.approx(0.35)


def test_normalised_a_loss_of_0_stays_finite():
    losses = losses_of(0.0, 2.0)
    total = NormalisedWeighting(WEIGHTS)(losses, labelled("expression"))
    total.backward()
    assert float(total.detach()) == pytest.approx(0.35)
    assert torch.isfinite(losses["valence"].grad)


def test_learned_weights_by_hand_and_where_they_settle():
    weighting = LearnedWeighting({"valence": 1.0, "expression": 1.0})
    losses = losses_of(0.5, 2.0)
    total = weighting(losses, labelled(*WEIGHTS))
    assert float(total.detach()) == pytest.approx(0.5 * 0.5 + 2.0)
    optimizer = torch.optim.Adam(weighting.parameters(), 0.02)
    for _ in range(3000):
        optimizer.zero_grad()
        weighting({k: v.detach() for k, v in losses.items()}, labelled(*WEIGHTS)).backward()
        optimizer.step()
    s = {task: float(value.detach()) for task, value in weighting.log_variance.items()}
    # exp(-s) L / 2 + s / 2 is least at s = log L, exp(-s) L + s / 2 at s = log 2 L.
    assert s == pytest.approx({"valence": np.log(0.5), "expression": np.log(4.0)}, abs=1e-2)


def test_a_learned_weight_does_not_drift_while_its_task_has_no_label():
    weighting = LearnedWeighting(WEIGHTS)
    total = weighting(losses_of(0.0, 2.0), labelled("expression"))
    total.backward()
    assert float(weighting.log_variance["valence"].grad) == 0.0
    assert float(weighting.log_variance["expression"].grad) != 0.0
    # The published weights begin anywhere, below 0 too, and their logarithm is NaN there.
    with torch.no_grad():
        weighting.log_variance["valence"].fill_(-3.0)
    assert torch.isfinite(weighting(losses_of(0.5, 2.0), labelled(*WEIGHTS)))


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory):
    cache: Path = write_cache(tmp_path_factory.mktemp("cache"))
    stores, labels = open_embeddings(cache, ("face_a",)), open_labels(cache, "labels")
    return join(stores, labels, "train", config())[0]


def test_class_weights_have_mean_1_over_the_training_frames(lines):
    labels = np.concatenate(
        [line.values["expression"][line.is_labelled["expression"]] for line in lines]
    )
    count = np.bincount(labels, minlength=8)
    for power in (0.5, 1.0):
        loss = build_loss(config(balance_expression=power), lines, ["expression"], CPU)
        weight = loss.class_weight.numpy()
        assert weight[labels].mean() == pytest.approx(1, rel=1e-5)
        np.testing.assert_allclose(weight * count**power, weight[0] * count[0] ** power, rtol=1e-4)
    assert build_loss(config(balance_expression=0), lines, ["expression"], CPU).class_weight is None


def test_positive_weights_are_negatives_over_positives(lines):
    mask = np.concatenate([line.is_labelled["au"] for line in lines])
    positive = np.concatenate([line.values["au"] for line in lines]) > 0
    expected = (~positive & mask).sum(axis=0) / (positive & mask).sum(axis=0)
    loss = build_loss(config(balance_au=1), lines, ["au"], CPU)
    np.testing.assert_allclose(loss.positive_weight, expected, rtol=1e-6)
    assert build_loss(config(balance_au=0), lines, ["au"], CPU).positive_weight is None
