"""The GRU layer for processors and the cheap dropout give what torch's give."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck

from abaw.temporal.nets.dropout import Dropout
from abaw.temporal.nets.encoders.gru_cpu import run_gru


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 5),
    length=st.integers(1, 9),
    n_inputs=st.integers(1, 6),
    width=st.integers(1, 7),
    has_state=st.booleans(),
)
def test_outputs_and_all_gradients_are_torchs(seed, batch, length, n_inputs, width, has_state):
    torch.manual_seed(seed)
    layer = nn.GRU(n_inputs, width, batch_first=True).double()
    x = torch.randn(batch, length, n_inputs, dtype=torch.float64, requires_grad=True)
    begin = torch.randn(batch, width, dtype=torch.float64, requires_grad=True)
    expected, _ = layer(x, begin[None] if has_state else None)
    found = run_gru(layer, x, begin if has_state else None)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    weight = torch.randn_like(expected)
    wanted = [x, *layer.parameters(), *([begin] if has_state else [])]
    gradients = [torch.autograd.grad((y * weight).sum(), wanted) for y in (expected, found)]
    for theirs, ours in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)


def test_gradients_are_those_of_finite_differences():
    torch.manual_seed(0)
    layer = nn.GRU(3, 2, batch_first=True).double()
    x = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    begin = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x, begin: run_gru(layer, x, begin), (x, begin))


def test_in_bf16_it_is_as_close_to_fp32_as_torchs_is():
    torch.manual_seed(0)
    layer = nn.GRU(32, 64, batch_first=True)
    x = torch.randn(4, 50, 32)

    def gradient(run, *, is_low: bool):
        layer.zero_grad()
        with torch.autocast("cpu", enabled=is_low):
            y = run()
        y.float().square().mean().backward()
        return torch.cat([p.grad.flatten() for p in layer.parameters()])

    exact = gradient(lambda: layer(x)[0], is_low=False)
    torchs = gradient(lambda: layer(x)[0], is_low=True)
    ours = gradient(lambda: run_gru(layer, x, None), is_low=True)
    error = (torchs - exact).norm() / exact.norm()
    assert 0 < (ours - exact).norm() / exact.norm() < 2 * error


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.99])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_dropout_leaves_out_its_share_and_keeps_the_mean(p: float, dtype: torch.dtype):
    torch.manual_seed(0)
    x = torch.ones(401, 499, dtype=dtype, requires_grad=True)
    y = Dropout(p)(x)
    share = float((y == 0).double().mean())
    assert abs(share - p) < 5 * (p * (1 - p) / x.numel()) ** 0.5
    assert float(y.detach().double().mean()) == pytest.approx(1, abs=0.03 if p == 0.99 else 0.01)
    y.sum().backward()
    torch.testing.assert_close(x.grad, y.detach())  # the gradient of a one is its factor


def test_dropout_is_the_same_for_a_seed_and_nothing_in_evaluation():
    x, layer = torch.randn(7, 13), Dropout(0.4)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(layer(x))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert layer.eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_values_next_to_each_other_are_left_out_apart():
    torch.manual_seed(0)
    y = Dropout(0.5)(torch.ones(400_000)) == 0
    for step in range(1, 9):  # four values come from one draw of 64 bits
        both = float((y[step:] & y[:-step]).double().mean())
        assert both == pytest.approx(0.25, abs=0.005)
