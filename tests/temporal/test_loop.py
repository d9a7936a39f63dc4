"""The training loop: what a step does, what stops it, and that it can go on from anywhere."""

import copy
import io
from pathlib import Path

import numpy as np
import pytest
import torch

from abaw.core.tasks import TASKS
from abaw.temporal import loop as loop_module
from abaw.temporal.data.dataset import SequenceDataset
from abaw.temporal.data.features import FeatureMaker
from abaw.temporal.data.join import join
from abaw.temporal.data.standardize import fit_standardizer
from abaw.temporal.errors import TemporalError
from abaw.temporal.loop import TrainingLoop
from abaw.temporal.nets.build import build_network
from abaw.temporal.run_folder import open_embeddings, open_labels

from .made import config, write_cache

LANES = {"feeding": "lanes", "bidirectional": False, "segment_length": 8, "stride": 8}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cache(tmp_path_factory.mktemp("cache"))


def make_loop(cache: Path, **changes) -> TrainingLoop:
    run = config(**({"features": ("face_a",), "batch_size": 4} | changes))
    lines, _ = join(
        open_embeddings(cache, run.features), open_labels(cache, "labels"), "train", run
    )
    dataset = SequenceDataset(lines, FeatureMaker(fit_standardizer(lines), run))
    torch.manual_seed(0)
    return TrainingLoop(run, build_network(dataset.n_features, run), dataset)


@pytest.fixture
def loop(cache: Path) -> TrainingLoop:
    return make_loop(cache)


def weights(loop: TrainingLoop) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in loop.network.state_dict().items()}


def is_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_a_loss_that_is_not_finite_stops_before_the_step_and_is_named(loop: TrainingLoop):
    steps = loop.steps()
    next(steps)
    before = weights(loop)
    plan = loop.feed.epoch(0)[1]
    loop.dataset._labels.values["arousal"].fill_(float("nan"))
    with pytest.raises(TemporalError) as caught:
        next(steps)
    for words in ("loss must be finite", "that of arousal is not", "step 2", "learning_rate"):
        assert words in str(caught.value)
    assert all(video in str(caught.value) for video in loop.dataset.videos(plan))
    assert "valence" not in str(caught.value)
    assert is_same(weights(loop), before)


def test_a_gradient_that_is_not_finite_stops_before_the_step(loop: TrainingLoop):
    before = weights(loop)
    parameter = next(loop.network.parameters())
    parameter.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(TemporalError, match=r"gradient must be finite.* at step 1 "):
        next(loop.steps())
    assert is_same(weights(loop), before)


@pytest.mark.parametrize("averaging", ["none", "ema"])
def test_a_device_that_is_asked_seldom_takes_no_step_after_a_bad_one(
    cache: Path, monkeypatch, averaging: str
):
    monkeypatch.setattr(loop_module, "_CHECKED_STEPS", {"cpu": 5})
    loop = make_loop(cache, averaging=averaging)
    steps = loop.steps()
    next(steps)
    next(steps)
    before = weights(loop)
    good = loop.dataset._labels.values["expression"].clone()
    values = loop.dataset._labels.values
    hook = next(loop.network.parameters()).register_hook(lambda g: g * float("nan"))
    next(steps)  # not told yet
    hook.remove()
    assert torch.equal(good, values["expression"])
    with pytest.raises(TemporalError, match=r"gradient must be finite.* at step 3 "):
        for _ in steps:
            pass
    assert is_same(weights(loop), before)


def test_the_gradient_is_clipped_over_all_parameters_together(cache: Path):
    loop = make_loop(cache, clip_norm=1e-3)
    next(loop.steps())
    squares = [p.grad.pow(2).sum() for p in loop.network.parameters()]
    assert float(torch.stack(squares).sum().sqrt()) == pytest.approx(1e-3, rel=1e-3)


def test_or_over_those_of_each_part(cache: Path):
    loop = make_loop(cache, clip_norm=1e-3, clip_by="part")
    next(loop.steps())
    for part in loop.network.parts():
        squares = [p.grad.pow(2).sum() for p in part.parameters()]
        assert float(torch.stack(squares).sum().sqrt()) == pytest.approx(1e-3, rel=1e-2)
    counted = sum(p.numel() for part in loop.network.parts() for p in part.parameters())
    assert counted == sum(p.numel() for p in loop.network.parameters())


def test_an_epochs_loss_is_the_mean_over_its_labelled_frames(loop: TrainingLoop, monkeypatch):
    seen = []
    original = loop.loss.per_task

    def watched(outputs, labels):
        losses = original(outputs, labels)
        counts = {task: int(labels.is_labelled[task].sum()) for task in losses}
        seen.append(({task: float(loss.detach()) for task, loss in losses.items()}, counts))
        return losses

    monkeypatch.setattr(loop.loss, "per_task", watched)
    for _ in loop.steps():
        pass
    found = loop.losses()
    for task in TASKS:
        losses = np.array([step[0][task] for step in seen])
        n = np.array([step[1][task] for step in seen])
        assert found[task] == pytest.approx((losses * n).sum() / n.sum(), rel=1e-5)
        assert found[task] != pytest.approx(losses.mean(), rel=1e-6)


def test_a_step_without_a_label_moves_no_weight_but_carries_the_state(cache: Path):
    loop = make_loop(cache, **LANES)
    plans = loop.feed.epoch(0)
    steps = loop.steps()
    next(steps)
    before, carried = weights(loop), loop._carried
    n_steps = loop.n_steps
    object.__setattr__(plans[1], "has_labels", False)
    loop.feed.epoch = lambda number: plans
    steps = loop.steps()
    next(steps)
    assert is_same(weights(loop), before)
    assert loop.n_steps == n_steps
    assert not torch.equal(loop._carried, carried)


def test_lanes_train_as_one_sequence_would_by_hand(cache: Path):
    """What a step is fed is the state of the frames before it; its history is cut."""
    loop = make_loop(cache, dropout=0.0, input_dropout=0.0, random_offset=False, **LANES)
    loop.config = loop.config.model_copy(update={"learning_rate": 1e-30})
    network = copy.deepcopy(loop.network).eval()
    plans, steps = loop.feed.epoch(0), loop.steps()
    n_carried = 0
    for plan, _ in zip(plans, steps, strict=False):
        for row, segment in enumerate(plan.segments):
            line = loop.dataset.lines[segment.line]
            if segment.stop == len(line):
                continue  # what is behind a video's end is not used
            x = torch.from_numpy(loop.dataset._maker.features(line, 0, segment.stop))[None]
            is_frame = torch.ones(x.shape[:2], dtype=torch.bool)
            _, state = network.encoder(network.projection(x), is_frame)
            torch.testing.assert_close(loop._carried[row], state[0], rtol=0, atol=1e-5)
            n_carried += 1
    assert n_carried > 20
    assert loop._carried.grad_fn is None


@pytest.mark.heavy
@pytest.mark.parametrize(
    "changes",
    [
        {},
        LANES,
        {"averaging": "ema"},
        {"averaging": "swa", "average_from": 0.2},
        {"weighting": "learned"},
        {"framework": "label-feedback"},
    ],
    ids=["windows", "lanes", "ema", "swa", "learned-weights", "label-feedback"],
)
def test_training_goes_on_from_any_step_to_the_same_numbers(cache: Path, changes):
    def run(loop: TrainingLoop, save_at: int = 0):
        saved = None
        while loop.epoch < loop.config.epochs:
            for _ in loop.steps():
                if loop.n_steps == save_at:
                    stream = io.BytesIO()
                    torch.save(loop.state(), stream)
                    saved = stream.getvalue()
        return weights(loop), loop.judged_network().state_dict(), loop.losses(), saved

    torch.manual_seed(3)
    whole = make_loop(cache, **changes)
    n_per_epoch = len(whole.feed.epoch(0))
    expected = run(whole)
    for save_at in (1, n_per_epoch - 1, n_per_epoch, n_per_epoch + 2):
        *again, saved = run(make_loop(cache, **changes), save_at)
        assert is_same(again[0], expected[0])
        loop = make_loop(cache, **changes)
        torch.manual_seed(99)
        loop.load_state(torch.load(io.BytesIO(saved), weights_only=True))
        assert (loop.epoch, loop.n_steps) == ((save_at - 1) // n_per_epoch, save_at)
        found = run(loop)
        assert is_same(found[0], expected[0])
        assert is_same(found[1], expected[1])
        assert found[2] == expected[2]


@pytest.mark.heavy
def test_truth_is_fed_back_less_and_less(cache: Path):
    loop = make_loop(cache, framework="label-feedback", truth_rate=0.8, truth_until=0.5, epochs=4)
    rates = []
    while loop.epoch < 4:
        rates += [float(loop.network.truth_rate) for _ in loop.steps()]
    assert rates[0] == pytest.approx(0.8)
    assert rates == sorted(rates, reverse=True)
    half = len(rates) // 2
    assert rates[half // 2] == pytest.approx(0.4, abs=0.1)
    assert max(rates[half + 2 :]) == 0.0


@pytest.mark.heavy
def test_a_target_beside_others_that_it_has_nothing_of_is_trained_as_alone(cache: Path):
    """What a dependency study rests on: the same steps, no gradient and no clipping shared."""
    apart = {"framework": "sbe", "shared_layers": 0, "clip_by": "part", "clip_norm": 0.01}
    still = {"dropout": 0.0, "input_dropout": 0.0, "segment_length": 2, "stride": 2}
    absent = {f"weight_{task}": 0 for task in ("arousal", "expression")}
    shown = {"shown_by": "valence+au"}
    both = make_loop(cache, **apart, **still, **absent, **shown)
    alone = make_loop(cache, **apart, **still, **absent, **shown, weight_au=0)
    skipping = make_loop(cache, **apart, **still, **absent, weight_au=0)
    assert len(skipping.feed.epoch(0)) < len(alone.feed.epoch(0))
    own = {key: value for key, value in weights(both).items() if ".valence." in key}
    for loop in (alone, skipping):
        loop.network.load_state_dict(own)
    for loop in (both, alone, skipping):
        for _ in loop.steps():
            pass
    trained = {key: value for key, value in weights(both).items() if ".valence." in key}
    assert not is_same(trained, own)
    torch.testing.assert_close(weights(alone), trained, rtol=0, atol=1e-6)
    assert not all(torch.allclose(weights(skipping)[key], trained[key]) for key in trained)
