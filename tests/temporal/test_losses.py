"""Losses count labelled frames only, divide by their number, and stay finite."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from abaw.core.tasks import TASKS
from abaw.temporal.losses import (
    Labels,
    MultiTaskLoss,
    affect_loss,
    au_loss,
    expression_loss,
)
from abaw.temporal.metrics import ccc_score

from ..golden_recipe import load

KEYS = {"valence": "v", "arousal": "a", "expression": "expr", "au": "au"}


def golden_batch(au: str = "target_au"):
    """Outputs (float64, with gradient), labels and the facts of the golden losses."""
    facts, arrays = load("losses")
    outputs = {
        task: torch.tensor(arrays[f"pred_{key}"], dtype=torch.float64).squeeze(-1)
        for task, key in KEYS.items()
    }
    for output in outputs.values():
        output.requires_grad_()
    real = torch.tensor(arrays["mask"]) > 0
    target = {task: torch.tensor(arrays[f"target_{key}"]) for task, key in KEYS.items()}
    target["au"] = torch.tensor(arrays[au])
    labels = Labels(
        values={
            "valence": target["valence"].double(),
            "arousal": target["arousal"].double(),
            "expression": target["expression"],
            "au": target["au"].double(),
        },
        is_labelled={
            "valence": real & (target["valence"] != -5),
            "arousal": real & (target["arousal"] != -5),
            "expression": real & (target["expression"] != -1),
            "au": real[..., None] & (target["au"] != -1),
        },
    )
    return outputs, labels, facts, arrays


def ccc_loss(y_pred, y_true, is_labelled):
    return affect_loss(y_pred, y_true, is_labelled, 1.0)


def mse_loss(y_pred, y_true, is_labelled):
    return affect_loss(y_pred, y_true, is_labelled, 0.0)


def total_of(outputs, labels, ccc_share=0.0, weights=(1.0, 1.0, 1.0, 1.0)):
    loss = MultiTaskLoss(dict(zip(TASKS, weights, strict=True)), ccc_share=ccc_share)
    losses = loss.per_task(outputs, labels)
    return losses, loss.total(losses, labels)


def test_losses_are_the_correctly_masked_golden_ones():
    outputs, labels, facts, _ = golden_batch()
    golden = facts["correctly_masked_float64"]
    losses, total = total_of(outputs, labels)
    for task, key in KEYS.items():
        assert float(losses[task].detach()) == pytest.approx(golden[key], rel=1e-12), task
    assert float(total.detach()) == pytest.approx(golden["total_original"], rel=1e-12)
    _, weighted = total_of(outputs, labels, weights=(12, 12, 0.35, 1))
    assert float(weighted.detach()) == pytest.approx(golden["total_weighted"], rel=1e-12)


def test_gradients_are_the_golden_ones_but_for_the_published_mean_over_padding():
    outputs, labels, facts, arrays = golden_batch()
    _, total = total_of(outputs, labels)
    total.backward()
    n = facts["correctly_masked_float64"]
    for task, key in KEYS.items():
        # The reference divides squared errors by all B * T positions, not by the labelled ones.
        scale = n["n_all_frames"] / n[f"n_{key}"] if key in "va" else 1.0
        golden = scale * arrays[f"grad_gru_original_{key}"].reshape(outputs[task].shape)
        np.testing.assert_allclose(outputs[task].grad.numpy(), golden, atol=1e-12, err_msg=task)


def test_single_missing_aus_leave_the_other_columns_in_place():
    outputs, labels, facts, _ = golden_batch("target_au_partial")
    losses, _ = total_of(outputs, labels)
    golden = facts["partial_au"]["correct"]
    assert int(labels.is_labelled["au"].sum()) == golden["n_au"]
    assert float(losses["au"].detach()) == pytest.approx(golden["au"], rel=1e-12)


def test_au_loss_does_not_saturate():
    _, arrays = load("losses")
    logits = torch.tensor(arrays["saturation_logits"], dtype=torch.float64)
    target = torch.tensor(arrays["saturation_target"], dtype=torch.float64)
    mask = torch.ones_like(target, dtype=torch.bool)
    each = [
        float(au_loss(x[None], y[None], m[None]))
        for x, y, m in zip(logits, target, mask, strict=True)
    ]
    np.testing.assert_allclose(each, arrays["saturation_bce_with_logits"], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("missing", TASKS)
@pytest.mark.parametrize("ccc_share", [0.0, 0.5, 1.0])
def test_a_task_without_labels_gives_exactly_0_and_no_gradient(missing: str, ccc_share: float):
    outputs, labels, _, _ = golden_batch()
    labels.is_labelled[missing] = torch.zeros_like(labels.is_labelled[missing])
    losses, total = total_of(outputs, labels, ccc_share)
    assert float(losses[missing].detach()) == 0.0
    total.backward()
    for task, output in outputs.items():
        assert torch.isfinite(output.grad).all()
        assert bool((output.grad != 0).any()) == (task != missing)


@pytest.mark.parametrize("ccc_share", [0.0, 1.0])
def test_what_stands_at_unlabelled_places_changes_neither_value_nor_gradient(ccc_share: float):
    outputs, labels, _, _ = golden_batch()
    losses, total = total_of(outputs, labels, ccc_share)
    total.backward()
    dirty = copy.deepcopy(labels)
    dirty_outputs = {task: output.detach().clone() for task, output in outputs.items()}
    for task, mask in labels.is_labelled.items():
        wrong = 99 if task == "expression" else float("nan")
        dirty.values[task][~mask] = wrong
        place = ~mask if task != "expression" else ~mask[..., None].expand_as(outputs[task])
        dirty_outputs[task][place] = float("nan")
        dirty_outputs[task].requires_grad_()
    dirty_losses, dirty_total = total_of(dirty_outputs, dirty, ccc_share)
    dirty_total.backward()
    for task in TASKS:
        assert float(dirty_losses[task].detach()) == float(losses[task].detach()), task
        assert torch.equal(dirty_outputs[task].grad, outputs[task].grad), task


def test_inputs_are_left_as_they_were():
    outputs, labels, _, _ = golden_batch()
    before = copy.deepcopy(
        (labels, {task: output.detach().clone() for task, output in outputs.items()})
    )
    total_of(outputs, labels, 0.5)
    for task in TASKS:
        assert torch.equal(labels.values[task], before[0].values[task])
        assert torch.equal(labels.is_labelled[task], before[0].is_labelled[task])
        assert torch.equal(outputs[task], before[1][task])


@given(st.integers(0, 2**32), st.integers(0, 30))
def test_padding_changes_no_loss(seed: int, n_padding: int):
    rng = np.random.default_rng(seed)
    y_pred, y_true = (torch.tensor(rng.normal(size=(2, 9))) for _ in range(2))
    mask = torch.tensor(rng.random((2, 9)) < 0.7)
    widen = torch.nn.functional.pad
    for loss in (mse_loss, ccc_loss):
        plain = float(loss(y_pred, y_true, mask))
        padded = float(
            loss(
                widen(y_pred, (0, n_padding), value=7.0),
                widen(y_true, (0, n_padding)),
                widen(mask, (0, n_padding)),
            )
        )
        assert padded == pytest.approx(plain, abs=1e-12)


def test_mse_by_hand():
    # Errors 1 and 3 at the labelled places, 100 at the other: (1 + 9) / 2.
    y_pred, y_true = torch.tensor([[1.0, 100.0, 3.0]]), torch.zeros(1, 3)
    assert float(mse_loss(y_pred, y_true, torch.tensor([[True, False, True]]))) == 5.0


def test_absolute_errors_by_hand_and_mixed_with_ccc():
    y_pred, y_true = torch.tensor([[1.0, 100.0, 3.0]]), torch.zeros(1, 3)
    mask = torch.tensor([[True, False, True]])
    assert float(affect_loss(y_pred, y_true, mask, 0.0, "l1")) == 2.0
    # Constant labels: 1 - CCC is 1.
    assert float(affect_loss(y_pred, y_true, mask, 0.25, "l1")) == pytest.approx(0.25 + 0.75 * 2)


def test_two_tasks_at_once_are_each_by_itself():
    torch.manual_seed(0)
    y_pred, y_true = torch.randn(2, 3, 7), torch.randn(2, 3, 7)
    mask = torch.rand(2, 3, 7) < 0.6
    both = affect_loss(y_pred, y_true, mask, 0.3)
    each = [float(affect_loss(*parts, 0.3)) for parts in zip(y_pred, y_true, mask, strict=True)]
    assert both.tolist() == pytest.approx(each, rel=1e-6)


@given(st.integers(0, 2**32))
def test_ccc_loss_is_1_minus_the_score(seed: int):
    rng = np.random.default_rng(seed)
    y_pred, y_true = rng.normal(size=(2, 3, 20))
    mask = rng.random((3, 20)) < 0.6
    mask[0, :2] = True
    loss = float(ccc_loss(*map(torch.tensor, (y_pred, y_true, mask))))
    assert loss == pytest.approx(1 - ccc_score(y_true[mask], y_pred[mask]), abs=1e-5)


def test_ccc_loss_of_constant_signals_is_finite_with_its_gradient():
    y_pred = torch.full((1, 5), 0.3, requires_grad=True)
    loss = ccc_loss(y_pred, torch.full((1, 5), 0.3), torch.ones(1, 5, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(1.0)
    assert torch.isfinite(y_pred.grad).all()


def test_gradients_are_those_of_finite_differences():
    torch.manual_seed(0)
    mask = torch.tensor([[True, True, False, True, True]])
    y_true = torch.randn(1, 5, dtype=torch.float64)
    y_pred = torch.randn(1, 5, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: ccc_loss(x, y_true, mask), (y_pred,))
    assert gradcheck(lambda x: mse_loss(x, y_true, mask), (y_pred,))


def test_class_weights_weigh_a_frame_as_its_class():
    logits, y_true = torch.zeros(1, 2, 8), torch.tensor([[1, 3]])
    mask = torch.ones(1, 2, dtype=torch.bool)
    weight = torch.ones(8)
    weight[3] = 3.0
    loss = expression_loss(logits, y_true, mask, weight)
    assert float(loss) == pytest.approx((1 + 3) / 2 * np.log(8))


def test_positive_weights_make_the_best_constant_of_a_useless_feature_one_half():
    # One positive in four, weight 3: the gradient at probability 1/2 vanishes.
    logits = torch.zeros(1, 4, 12, requires_grad=True)
    y_true = torch.zeros(1, 4, 12)
    y_true[0, 0] = 1
    loss = au_loss(logits, y_true, torch.ones(1, 4, 12, dtype=torch.bool), torch.full((12,), 3.0))
    loss.backward()
    np.testing.assert_allclose(logits.grad.sum(dim=(0, 1)).numpy(), 0, atol=1e-7)


def test_label_smoothing_and_focal_power_by_hand():
    # Two classes matter: p = (0.5, 0.25, …); -log 0.5 = 0.693, -log 0.25 = 1.386.
    p = torch.tensor([0.5, 0.25, 0.05, 0.05, 0.05, 0.05, 0.025, 0.025])
    logits, mask = p.log()[None, None], torch.ones(1, 1, dtype=torch.bool)
    y_true = torch.tensor([[1]])
    plain = -np.log(0.25)
    mean = -p.log().mean()
    smooth = expression_loss(logits, y_true, mask, label_smoothing=0.1)
    assert float(smooth) == pytest.approx(float(0.9 * plain + 0.1 * mean), rel=1e-6)
    focal = expression_loss(logits, y_true, mask, focal=2.0)
    assert float(focal) == pytest.approx(0.75**2 * plain, rel=1e-6)
    weight = torch.full((8,), 3.0)
    both = expression_loss(logits, y_true, mask, weight, label_smoothing=0.1, focal=2.0)
    assert float(both) == pytest.approx(float(3 * 0.75**2 * (0.9 * plain + 0.1 * mean)), rel=1e-6)


def test_smoothing_alone_is_torchs():
    torch.manual_seed(0)
    logits, y_true = torch.randn(2, 9, 8), torch.randint(0, 8, (2, 9))
    mask = torch.ones(2, 9, dtype=torch.bool)
    found = expression_loss(logits, y_true, mask, label_smoothing=0.2)
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), y_true.flatten(), label_smoothing=0.2
    )
    assert float(found) == pytest.approx(float(expected), rel=1e-6)


def test_a_focal_loss_of_a_sure_and_right_frame_has_a_finite_gradient():
    logits = torch.zeros(1, 1, 8)
    logits[..., 2] = 60
    logits.requires_grad_()
    loss = expression_loss(
        logits, torch.tensor([[2]]), torch.ones(1, 1, dtype=torch.bool), focal=0.5
    )
    loss.backward()
    assert torch.isfinite(logits.grad).all()


def test_outputs_in_bf16_are_weighed_in_float32():
    outputs, labels, _, _ = golden_batch()
    low = {task: output.detach().to(torch.bfloat16) for task, output in outputs.items()}
    losses, total = total_of(low, labels, 0.5)
    assert total.dtype in (torch.float32, torch.float64)
    exact, _ = total_of({task: x.float() for task, x in low.items()}, labels, 0.5)
    for task in TASKS:
        assert float(losses[task]) == pytest.approx(float(exact[task].detach()), rel=1e-6)


def test_only_trained_tasks_take_part():
    outputs, labels, _, _ = golden_batch()
    loss = MultiTaskLoss({"au": 1.0, "valence": 2.0}, ccc_share=0.5)
    losses = loss.per_task(outputs, labels)
    assert list(losses) == ["valence", "au"]
    expected = 2 * losses["valence"] + losses["au"]
    assert float(loss.total(losses, labels).detach()) == pytest.approx(float(expected.detach()))
