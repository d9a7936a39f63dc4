"""The training loop: what a step does, what stops it, what it weighs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from abaw.core.device import resolve_device
from abaw.core.tasks import TASKS
from abaw.temporal.data.dataset import SequenceDataset
from abaw.temporal.data.join import join
from abaw.temporal.data.standardize import fit_standardizer
from abaw.temporal.errors import TemporalError
from abaw.temporal.loop import TrainingLoop, build_loss, warmup_cosine
from abaw.temporal.nets.build import build_network
from abaw.temporal.run_folder import open_embeddings, open_labels

from .made import (
    config,
    write_cache,
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def loop(cache: Path) -> TrainingLoop:
    run = config(features=("face_a",), batch_size=4)
    lines, _ = join(
        open_embeddings(cache, run.features), open_labels(cache, "labels"), "train", config()
    )
    dataset = SequenceDataset(lines, fit_standardizer(lines))
    return TrainingLoop(run, build_network(dataset.n_features, run), dataset, resolve_device("cpu"))


def weights(loop: TrainingLoop) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in loop._network.state_dict().items()}


def test_a_loss_that_is_not_finite_stops_before_the_step_and_is_named(loop: TrainingLoop):
    loop._network.train()
    batch = next(loop.batches())
    loop.step(batch)
    before = weights(loop)
    batch.labels.values["arousal"].fill_(float("nan"))
    with pytest.raises(TemporalError) as caught:
        loop.step(batch)
    for words in (
        "loss must be finite",
        "that of arousal is not",
        "step 2",
        batch.videos[0],
        "learning_rate",
    ):
        assert words in str(caught.value)
    assert "valence" not in str(caught.value)
    after = weights(loop)
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_gradient_that_is_not_finite_stops_before_the_step(loop: TrainingLoop):
    loop._network.train()
    before = weights(loop)
    parameter = next(loop._network.parameters())
    parameter.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(TemporalError, match=r"gradient must be finite.* at step 1"):
        loop.step(next(loop.batches()))
    after = weights(loop)
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_the_gradient_is_clipped_over_all_parameters_together(loop: TrainingLoop):
    loop._config = loop._config.model_copy(update={"clip_norm": 1e-3})
    loop._network.train()
    loop.step(next(loop.batches()))
    squares = [p.grad.pow(2).sum() for p in loop._network.parameters()]
    assert float(torch.stack(squares).sum().sqrt()) == pytest.approx(1e-3, rel=1e-3)


def test_an_epochs_loss_is_the_mean_over_its_labelled_frames(loop: TrainingLoop):
    generator = loop._generator.get_state()
    batches = list(loop.batches())
    loop._generator.set_state(generator)
    seen = []
    original = loop.step
    loop.step = lambda batch: seen.append(original(batch)) or seen[-1]
    found = loop.epoch()
    for task in TASKS:
        n = np.array([int(batch.labels.is_labelled[task].sum()) for batch in batches])
        losses = np.array([float(loss[task].detach()) for loss in seen])
        assert found[task] == pytest.approx((losses * n).sum() / n.sum(), rel=1e-5)
        assert found[task] != pytest.approx(losses.mean(), rel=1e-6)


def test_the_rate_rises_from_the_first_step_on_and_falls_to_nothing():
    factor = warmup_cosine(100, 0.1)
    rates = [factor(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert rates == [*sorted(rates[:10]), *sorted(rates[10:], reverse=True)]
    assert rates[100] == pytest.approx(0)
    assert warmup_cosine(1, 0.0)(0) == 1.0


def test_class_weights_have_mean_1_over_the_training_frames(cache: Path):
    lines, _ = join(
        open_embeddings(cache, ("face_a",)), open_labels(cache, "labels"), "train", config()
    )
    labels = np.concatenate(
        [line.values["expression"][line.is_labelled["expression"]] for line in lines]
    )
    for power in (0.0, 0.5, 1.0):
        loss = build_loss(config(balance_expression=power), lines, resolve_device("cpu"))
        weight = loss.class_weight.numpy()
        assert weight[labels].mean() == pytest.approx(1, rel=1e-5)
        count = np.bincount(labels, minlength=8)
        np.testing.assert_allclose(weight * count**power, weight[0] * count[0] ** power, rtol=1e-4)


def test_positive_weights_are_negatives_over_positives(cache: Path):
    lines, _ = join(
        open_embeddings(cache, ("face_a",)), open_labels(cache, "labels"), "train", config()
    )
    mask = np.concatenate([line.is_labelled["au"] for line in lines])
    positive = np.concatenate([line.values["au"] for line in lines]) > 0
    expected = (~positive & mask).sum(axis=0) / (positive & mask).sum(axis=0)
    for power in (0.0, 1.0):
        loss = build_loss(config(balance_au=power), lines, resolve_device("cpu"))
        np.testing.assert_allclose(loss.positive_weight, expected**power, rtol=1e-6)
