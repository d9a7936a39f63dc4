"""Rates, clipping and averages of weights."""

import math

import pytest
import torch
from torch import nn

from abaw.temporal.optimisation import (
    WeightAverage,
    build_optimizer,
    clip_gradients,
    rate_factor,
)

from .made import config


def rates(n: int, **changes) -> list[float]:
    settings = config(**changes)
    return [rate_factor(settings, step / n, 1 / n) for step in range(n)]


def test_the_rate_rises_from_the_first_step_on_and_falls_to_nothing():
    found = rates(100, warmup=0.1)
    assert found[0] == pytest.approx(0.1)
    assert max(found) == pytest.approx(found[9]) == pytest.approx(1.0)
    assert found == [*sorted(found[:10]), *sorted(found[10:], reverse=True)]
    assert 0 < found[99] < 0.01
    assert rates(1, warmup=0.0) == [1.0]


@pytest.mark.parametrize("warmup", [0.0, 0.02, 0.2, 1.0])
def test_no_step_is_dead_however_few_there_are(warmup: float):
    for n in (1, 3, 50):
        assert min(rates(n, warmup=warmup)) > 0


def test_schedules_stay_until_they_fall():
    linear = rates(100, warmup=0.0, schedule="linear", decay_from=0.5)
    assert linear[:51] == [1.0] * 51
    assert linear[75] == pytest.approx(0.5)
    assert linear[99] == pytest.approx(0.02)
    cosine = rates(100, warmup=0.0)
    assert cosine[50] == pytest.approx(0.5)
    assert cosine[25] == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
    assert rates(100, warmup=0.1, schedule="constant")[10:] == [1.0] * 90


def gradients(*values: float) -> list[list[torch.Tensor]]:
    parts = []
    for value in values:
        parameter = nn.Parameter(torch.zeros(4))
        parameter.grad = torch.full((4,), value / 2)  # a norm of `value`
        parts.append([parameter])
    return parts


def test_parts_are_clipped_apart_and_all_together_as_one():
    parts = gradients(6.0, 0.5)
    assert float(clip_gradients(parts, 1.0)) == pytest.approx(6.0)
    assert [float(part[0].grad.norm()) for part in parts] == pytest.approx([1.0, 0.5], rel=1e-5)
    together = gradients(3.0, 4.0)
    assert float(clip_gradients([[p for part in together for p in part]], 1.0)) == pytest.approx(5)
    assert [float(part[0].grad.norm()) for part in together] == pytest.approx([0.6, 0.8], rel=1e-5)


def test_a_norm_that_is_not_finite_is_told():
    assert not math.isfinite(float(clip_gradients(gradients(1.0, float("nan")), 1.0)))
    assert not math.isfinite(float(clip_gradients(gradients(float("inf")), 1.0)))


def linear(value: float) -> nn.Linear:
    network = nn.Linear(2, 1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(value)
    return network


def followed(network: nn.Module, settings, values) -> float:
    average = WeightAverage(network, settings)
    for n, value in enumerate(values):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.fill_(value)
        average.update((n + 1) / len(values))
    found = {float(v) for tensor in average.weights.values() for v in tensor.flatten()}
    assert len(found) == 1
    return found.pop()


def test_swa_is_the_mean_of_the_steps_from_its_begin_on():
    settings = config(averaging="swa", average_from=0.5)
    assert followed(linear(0.0), settings, [9, 9, 9, 1, 2, 6]) == pytest.approx(4.5)  # 9 is at 0.5
    assert followed(linear(5.0), config(averaging="swa", average_from=1), [3, 2]) == 2.0


def test_ema_follows_and_forgets_where_it_began():
    settings = config(averaging="ema", average_decay=0.9)
    expected = 5.0
    for n in range(1, 31):
        decay = min(0.9, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * n
    assert followed(linear(5.0), settings, range(1, 31)) == pytest.approx(expected, rel=1e-5)


def test_the_optimizer_is_the_one_that_was_asked_for():
    network, loss = linear(1.0), nn.Linear(1, 1)
    adam = build_optimizer(network, loss, config(optimizer="adam", beta1=0.5, weight_decay=0.1))
    assert type(adam) is torch.optim.Adam
    assert adam.param_groups[0]["betas"] == (0.5, 0.999)
    assert [group["weight_decay"] for group in adam.param_groups] == [0.1, 0.0]
    plain = build_optimizer(network, nn.Identity(), config())
    assert type(plain) is torch.optim.AdamW
    assert len(plain.param_groups) == 1
