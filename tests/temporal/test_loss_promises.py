"""What every branch of the losses keeps: labelled elements alone count, in float32, unread."""

import copy

import numpy as np
import pytest
import torch

from abaw.core.tasks import TASKS
from abaw.temporal.losses import Labels, MultiTaskLoss, affect_loss, au_loss, expression_loss
from abaw.temporal.metrics import ccc_score

from .test_losses import KEYS, golden_batch

SETTINGS = {
    "mse": {"ccc_share": 0.0},
    "l1": {"ccc_share": 0.0, "va_distance": "l1"},
    "ccc": {"ccc_share": 1.0},
    "all": {
        "ccc_share": 0.5,
        "class_weight": torch.arange(8) / 4,
        "positive_weight": torch.arange(12) / 6,
        "label_smoothing": 0.1,
        "focal": 1.5,
    },
}
"""Every branch of the losses."""
NO_WEIGHTS = (1.0, 1.0, 1.0, 1.0)
PAPER_WEIGHTS = (12.0, 12.0, 0.35, 1.0)
PAPER = dict(zip(TASKS, PAPER_WEIGHTS, strict=True))


def total_of(outputs, labels, weights=NO_WEIGHTS, **settings):
    settings = {"ccc_share": 0.0} | settings
    loss = MultiTaskLoss(dict(zip(TASKS, weights, strict=True)), **settings)
    losses = loss.per_task(outputs, labels)
    return losses, loss.total(losses, labels)


def affect(y_pred, y_true, mask, ccc_share=0.0, distance="mse"):
    return float(affect_loss(y_pred, y_true, mask, ccc_share, distance))


@pytest.mark.parametrize(
    ("name", "weights"), [("gru_original", NO_WEIGHTS), ("mtl_fixed", PAPER_WEIGHTS)]
)
def test_gradients_are_the_golden_ones_but_for_the_published_mean_over_padding(name, weights):
    outputs, labels, facts, arrays = golden_batch()
    _, total = total_of(outputs, labels, weights)
    total.backward()
    n = facts["correctly_masked_float64"]
    for task, key in KEYS.items():
        # The reference divides squared errors by all B * T positions, not by the labelled ones.
        scale = n["n_all_frames"] / n[f"n_{key}"] if key in "va" else 1.0
        golden = scale * arrays[f"grad_{name}_{key}"].reshape(outputs[task].shape)
        np.testing.assert_allclose(outputs[task].grad.numpy(), golden, atol=1e-12, err_msg=task)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("missing", TASKS)
def test_a_task_without_labels_gives_exactly_0_and_no_gradient(missing: str, settings):
    outputs, labels, _, _ = golden_batch()
    labels.is_labelled[missing] = torch.zeros_like(labels.is_labelled[missing])
    losses, total = total_of(outputs, labels, **settings)
    assert float(losses[missing].detach()) == 0.0
    total.backward()
    for task, output in outputs.items():
        assert torch.isfinite(output.grad).all()
        assert bool((output.grad != 0).any()) == (task != missing)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_what_stands_at_unlabelled_places_changes_neither_value_nor_gradient(settings):
    outputs, labels, _, _ = golden_batch()
    losses, total = total_of(outputs, labels, **settings)
    total.backward()
    dirty = copy.deepcopy(labels)
    dirty_outputs = {task: output.detach().clone() for task, output in outputs.items()}
    for task, mask in labels.is_labelled.items():
        wrong = 99 if task == "expression" else float("nan")
        dirty.values[task][~mask] = wrong
        place = ~mask if task != "expression" else ~mask[..., None].expand_as(outputs[task])
        dirty_outputs[task][place] = float("nan")
        dirty_outputs[task].requires_grad_()
    dirty_losses, dirty_total = total_of(dirty_outputs, dirty, **settings)
    dirty_total.backward()
    for task in TASKS:
        assert float(dirty_losses[task].detach()) == float(losses[task].detach()), task
        assert torch.equal(dirty_outputs[task].grad, outputs[task].grad), task


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_inputs_are_left_as_they_were(settings):
    outputs, labels, _, _ = golden_batch()
    before = copy.deepcopy(
        (labels, {task: output.detach().clone() for task, output in outputs.items()})
    )
    total_of(outputs, labels, **settings)
    for task in TASKS:
        assert torch.equal(labels.values[task], before[0].values[task])
        assert torch.equal(labels.is_labelled[task], before[0].is_labelled[task])
        assert torch.equal(outputs[task], before[1][task])


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_outputs_in_bf16_are_weighed_in_float32(settings):
    outputs, labels, _, _ = golden_batch()
    half = {task: output.detach().bfloat16().requires_grad_() for task, output in outputs.items()}
    single = {task: output.detach().float().requires_grad_() for task, output in half.items()}
    with torch.autocast("cpu", torch.bfloat16):
        losses, total = total_of(half, labels, **settings)
    expected, expected_total = total_of(single, labels, **settings)
    total.backward()
    expected_total.backward()
    for task in TASKS:
        assert losses[task].dtype in (torch.float32, torch.float64)  # as the labels are
        assert float(losses[task].detach()) == float(expected[task].detach()), task
        assert half[task].grad.dtype == torch.bfloat16
        assert torch.equal(half[task].grad, single[task].grad.bfloat16())


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("weighting", ["fixed", "normalised", "learned"])
def test_no_value_is_read_on_the_way_so_nothing_waits_for_the_device(weighting: str, settings):
    # Tensors of the device "meta" have no values: reading one raises.
    shapes = {"valence": (3, 5), "arousal": (3, 5), "expression": (3, 5, 8), "au": (3, 5, 12)}
    outputs = {
        task: torch.zeros(shape, device="meta", requires_grad=True)
        for task, shape in shapes.items()
    }
    values = {task: torch.zeros(shape, device="meta") for task, shape in shapes.items()}
    values["expression"] = torch.zeros(3, 5, dtype=torch.long, device="meta")
    labels = Labels(values, {task: value.bool() for task, value in values.items()})
    loss = MultiTaskLoss(dict.fromkeys(TASKS, 1.0), weighting=weighting, **settings).to("meta")
    loss.total(loss.per_task(outputs, labels), labels).backward()
    with pytest.raises(RuntimeError):
        bool(labels.is_labelled["au"].any())


def test_ccc_loss_keeps_its_digits_where_outputs_are_almost_the_labels():
    y_true = torch.linspace(-1, 1, 101)[None]
    off = 1e-4 * torch.cos(torch.arange(101.0))[None]
    every = torch.ones(1, 101, dtype=torch.bool)
    exact = 1 - ccc_score(y_true[0].double().numpy(), (y_true + off)[0].double().numpy())
    scatter = 2 * float(y_true.double().var(correction=0))
    found = affect(y_true + off, y_true, every, 1.0) - 1e-6 / scatter  # as little as it adds
    assert found == pytest.approx(exact, rel=1e-2)


@pytest.mark.parametrize("output", [0.3, -0.7])
def test_ccc_loss_of_constant_signals_is_1_and_finite_with_its_gradient(output: float):
    y_pred = torch.full((1, 5), output, requires_grad=True)
    loss = affect_loss(y_pred, torch.full((1, 5), 0.3), torch.ones(1, 5, dtype=torch.bool), 1.0)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(1.0)
    assert torch.isfinite(y_pred.grad).all()
    assert y_pred.grad.abs().max() < 1e-5


def one_frame(probability: float, y: int = 0) -> tuple[torch.Tensor, ...]:
    """Logits that give class 0 a probability and the other seven the same rest; label; mask."""
    rest = (1 - probability) / 7
    logits = torch.tensor([probability] + [rest] * 7, dtype=torch.float64).log()
    return logits[None, None], torch.tensor([[y]]), torch.tensor([[True]])


def test_smoothing_power_and_class_weight_go_together():
    smooth = float(expression_loss(*one_frame(0.5, y=2), label_smoothing=0.1))
    weight = torch.ones(8)
    weight[2] = 3.0
    both = expression_loss(*one_frame(0.5, y=2), weight, label_smoothing=0.1, focal=1.0)
    assert float(both) == pytest.approx(3 * (1 - 0.5 / 7) * smooth)


def test_positive_weights_by_hand():
    # A positive and a negative at probability 1/2, the positive three times.
    y_true = torch.tensor([[[1.0], [0.0]]])
    mask = torch.ones(1, 2, 1, dtype=torch.bool)
    loss = au_loss(torch.zeros(1, 2, 1), y_true, mask, torch.tensor([3.0]))
    assert float(loss) == pytest.approx((3 + 1) / 2 * np.log(2))


def test_only_trained_tasks_among_the_outputs_have_a_loss():
    outputs, labels, _, _ = golden_batch()
    loss = MultiTaskLoss({"au": 1.0, "valence": 2.0}, ccc_share=0.0)
    assert loss.tasks == ("valence", "au")
    losses = loss.per_task(outputs, labels)
    assert list(losses) == ["valence", "au"]
    whole, _ = total_of(outputs, labels)
    assert torch.equal(losses["valence"], whole["valence"])
    expected = float((2 * losses["valence"] + losses["au"]).detach())
    assert float(loss.total(losses, labels).detach()) == pytest.approx(expected, rel=1e-15)
    assert list(loss.per_task({"au": outputs["au"]}, labels)) == ["au"]


def test_normalised_totals_and_gradients_are_the_golden_ones():
    # Their mean over padding falls out of a loss that is divided by itself.
    outputs, labels, facts, arrays = golden_batch()
    loss = MultiTaskLoss(PAPER, ccc_share=0.0, weighting="normalised")
    total = loss.total(loss.per_task(outputs, labels), labels)
    golden = facts["reference_values"]["mtl normalized_fixed 12,12,1,0.35"]["float64"]["total"]
    assert float(total.detach()) == pytest.approx(golden, rel=1e-12)
    total.backward()
    for task, key in KEYS.items():
        expected = arrays[f"grad_mtl_normalized_fixed_{key}"].reshape(outputs[task].shape)
        np.testing.assert_allclose(outputs[task].grad.numpy(), expected, atol=1e-11, err_msg=task)


def test_learned_weights_are_saved_by_the_names_of_their_tasks():
    loss = MultiTaskLoss(PAPER, ccc_share=0.5, weighting="learned")
    names = {f"weighting.log_variance.{task}" for task in TASKS}
    assert set(loss.state_dict()) == names == {name for name, _ in loss.named_parameters()}
    saved = copy.deepcopy(loss.state_dict())
    saved["weighting.log_variance.au"] += 0.5
    other = MultiTaskLoss(PAPER, ccc_share=0.5, class_weight=torch.ones(8), weighting="learned")
    other.load_state_dict(saved)
    assert float(other.weighting.log_variance["au"].detach()) == 0.5
    assert float(other.weighting.log_variance["valence"].detach()) == 0.0
    assert not MultiTaskLoss(PAPER, ccc_share=0.5).state_dict()
    assert not list(MultiTaskLoss(PAPER, ccc_share=0.5, weighting="normalised").parameters())
