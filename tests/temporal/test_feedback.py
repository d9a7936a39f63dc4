"""Frameworks whose tasks feed each other: what is fed, whom it trains, and when labels are."""

import pytest
import torch

from abaw.temporal.nets.build import build_network

from .nets import F, config, labels_of, linear, run

pytestmark = pytest.mark.heavy


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def parts_trained_by(task: str, **changes) -> set[str]:
    network = build_network(F, linear(**changes))
    run(network, torch.randn(2, 5, F))[task].sum().backward()
    return {
        ".".join(key.split(".")[:2])
        for key, value in network.named_parameters()
        if value.grad is not None and bool((value.grad != 0).any())
    }


@pytest.mark.parametrize("framework", ["sbe-hsf", "label-feedback"])
def test_a_tasks_loss_trains_those_that_feed_it_if_that_is_wanted(framework: str):
    for is_wanted in (True, False):
        found = parts_trained_by(
            "arousal", framework=f"{framework}:valence+au>arousal", feedback_gradient=is_wanted
        )
        assert {"encoders.arousal", "heads.arousal"} <= found
        assert ("encoders.valence" in found) == is_wanted
        assert ("encoders.au" in found) == is_wanted
        assert "encoders.expression" not in found
        assert ("embeddings.au" in found) == (framework == "label-feedback")


@pytest.mark.parametrize("framework", ["sbe-hsf", "label-feedback"])
def test_what_is_fed_reaches_its_target_and_no_other(framework: str):
    network = build_network(F, linear(framework=f"{framework}:au>arousal,arousal>valence")).eval()
    x = torch.randn(1, 5, F)
    before = run(network, x)
    with torch.no_grad():
        for parameter in network.encoders["au"].parameters():
            parameter.mul_(3)
    after = run(network, x)
    changed = {task for task in before if not torch.equal(before[task], after[task])}
    assert changed == {"valence", "arousal", "au"}


def test_sources_feed_the_last_hidden_layer_of_their_heads():
    network = build_network(F, config(framework="sbe-hsf:au+valence>arousal", head_hidden=(7, 3)))
    given = {}
    network.encoders["arousal"].register_forward_pre_hook(lambda _, args: given.update(x=args[0]))
    for task in ("au", "valence"):
        hidden = network.heads[task].hidden
        hidden.register_forward_hook(lambda _, __, y, task=task: given.update({task: y}))
    run(network.eval(), torch.randn(2, 5, F))
    assert given["x"].shape == (2, 5, 8 + 3 + 3)
    assert torch.equal(given["x"][..., 8:11], given["au"])
    assert torch.equal(given["x"][..., 11:], given["valence"])


def fed(network, x, labels):
    """Task -> the weights (B, T, n) of its vectors, and the outputs, of one call."""
    weights = {}
    hooks = [
        layer.register_forward_pre_hook(lambda _, args, task=task: weights.update({task: args[0]}))
        for task, layer in network.embeddings.items()
    ]
    outputs = run(network, x, labels)
    for hook in hooks:
        hook.remove()
    return weights, outputs


GRAPH = "label-feedback:valence+expression+au>arousal"


def test_predictions_are_fed_as_values_in_0_to_1_and_probabilities():
    network = build_network(F, config(framework=GRAPH)).eval()
    weights, outputs = fed(network, torch.randn(2, 5, F), None)
    assert torch.equal(weights["valence"], (outputs["valence"][..., None] + 1) / 2)
    assert torch.equal(weights["expression"], outputs["expression"].softmax(-1))
    assert torch.equal(weights["au"], outputs["au"].sigmoid())


def test_true_labels_are_fed_where_there_are_labels_and_nowhere_else():
    network = build_network(F, config(framework=GRAPH, dropout=0.0, input_dropout=0.0)).train()
    network.truth_rate.fill_(1.0)
    x, labels = torch.randn(4, 50, F), labels_of(4, 50, share=0.5)
    weights, _ = fed(network, x, labels)
    predicted, _ = fed(network.eval(), x, labels)
    true = {
        "valence": ((labels.values["valence"] + 1) / 2)[..., None],
        "expression": torch.eye(8)[labels.values["expression"].clamp(min=0)],
        "au": labels.values["au"],
    }
    for task, found in weights.items():
        where = labels.is_labelled[task]
        where = (where if task == "au" else where[..., None]).expand_as(found)
        torch.testing.assert_close(found[where], true[task][where])
        # What stands beside a label does not matter: expression -1, NaN elsewhere.
        torch.testing.assert_close(found[~where], predicted[task][~where])


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_true_labels_are_fed_at_the_rate_that_training_sets(rate: float):
    network = build_network(F, config(framework=GRAPH)).train()
    network.truth_rate.fill_(rate)
    labels = labels_of(40, 50)
    weights, _ = fed(network, torch.randn(40, 50, F), labels)
    true = torch.eye(8)[labels.values["expression"]]
    share = (weights["expression"] == true).all(dim=-1).float().mean()
    assert abs(float(share) - rate) < 0.04
    whole = (weights["au"] == labels.values["au"]).all(dim=-1).float().mean()
    assert abs(float(whole) - rate) < 0.04  # a frame's AUs are drawn together


def test_the_rate_is_no_part_of_a_checkpoint():
    assert "truth_rate" not in build_network(F, config(framework=GRAPH)).state_dict()


def test_labels_that_are_fed_leave_a_finite_gradient():
    network = build_network(F, config(framework=GRAPH)).train()
    network.truth_rate.fill_(0.5)
    outputs = run(network, torch.randn(4, 9, F), labels_of(4, 9, share=0.5))
    outputs["arousal"].sum().backward()
    assert all(
        bool(torch.isfinite(p.grad).all()) for p in network.parameters() if p.grad is not None
    )
