"""The recurrent layers for processors and the cheap dropout give what torch's give."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck

from abaw.temporal.nets.dropout import Dropout
from abaw.temporal.nets.encoders import recurrent
from abaw.temporal.nets.encoders.gru_cpu import run_gru
from abaw.temporal.nets.encoders.lstm_cpu import run_lstm

from .nets import built, random, real

LAYERS = {"gru": nn.GRU, "lstm": nn.LSTM}


def torchs(layer, x, begin):
    """Return what torch's layer gives, and its memory after the last frame."""
    first = tuple(part[None] for part in begin) if begin else None
    if isinstance(layer, nn.GRU):
        y, h = layer(x, first[0] if first else None)
        return y, h[0]
    y, (h, c) = layer(x, first)
    return y, h[0], c[0]


def own(layer, x, begin):
    """Return what this project's gives, likewise."""
    if isinstance(layer, nn.GRU):
        y = run_gru(layer, x, begin[0] if begin else None)
        return y, y[:, -1]
    y, cells = run_lstm(layer, x, begin)
    return y, y[:, -1], cells[:, -1]


def drawn(kind: str, batch: int, length: int, n_inputs: int, width: int):
    """Return a layer, its inputs, and a memory before them, in float64."""
    layer = LAYERS[kind](n_inputs, width, batch_first=True).double()
    x = torch.randn(batch, length, n_inputs, dtype=torch.float64, requires_grad=True)
    begin = tuple(
        torch.randn(batch, width, dtype=torch.float64, requires_grad=True)
        for _ in range(1 if kind == "gru" else 2)
    )
    return layer, x, begin


@pytest.mark.parametrize("kind", LAYERS)
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 5),
    length=st.integers(1, 9),
    n_inputs=st.integers(1, 6),
    width=st.integers(1, 7),
    has_state=st.booleans(),
)
def test_outputs_memory_and_all_gradients_are_torchs(
    kind, seed, batch, length, n_inputs, width, has_state
):
    torch.manual_seed(seed)
    layer, x, begin = drawn(kind, batch, length, n_inputs, width)
    expected = torchs(layer, x, begin if has_state else None)
    found = own(layer, x, begin if has_state else None)
    weights = [torch.randn_like(part) for part in expected]
    wanted = [x, *layer.parameters(), *(begin if has_state else [])]
    for parts in (range(1), range(len(expected))):  # of outputs alone, as in training, and of all
        gradients = []
        for run in (expected, found):
            total = sum((run[n] * weights[n]).sum() for n in parts)
            gradients.append(torch.autograd.grad(total, wanted, retain_graph=True))
        for theirs, ours in zip(*gradients, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)
    for theirs, ours in zip(expected, found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", LAYERS)
def test_in_fp32_a_wide_layer_gives_torchs_numbers(kind: str):
    torch.manual_seed(0)
    layer = LAYERS[kind](24, 64, batch_first=True)
    x = torch.randn(4, 50, 24)
    gradients = []
    for run in (torchs, own):
        layer.zero_grad()
        run(layer, x, None)[0].square().sum().backward()
        gradients.append([part.grad.clone() for part in layer.parameters()])
    for theirs, ours in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", LAYERS)
def test_gradients_are_those_of_finite_differences(kind: str):
    torch.manual_seed(0)
    layer, x, begin = drawn(kind, 2, 4, 3, 2)

    def run(x, *others):
        return own(layer, x, others[: len(begin)])

    assert gradcheck(run, (x, *begin, *layer.parameters()))


@pytest.mark.parametrize("kind", LAYERS)
def test_in_bf16_it_is_as_close_to_fp32_as_torchs_is(kind: str):
    torch.manual_seed(0)
    layer = LAYERS[kind](32, 64, batch_first=True)
    x = torch.randn(4, 50, 32)

    def gradient(run, *, is_low: bool):
        layer.zero_grad()
        with torch.autocast("cpu", enabled=is_low):
            y = run(layer, x, None)[0]
        y.float().square().mean().backward()
        return torch.cat([p.grad.flatten() for p in layer.parameters()])

    exact = gradient(torchs, is_low=False)
    error = (gradient(torchs, is_low=True) - exact).norm() / exact.norm()
    assert 0 < (gradient(own, is_low=True) - exact).norm() / exact.norm() < 2 * error


def test_in_bf16_an_lstms_long_memory_stays_in_fp32():
    torch.manual_seed(0)
    layer = nn.LSTM(8, 16, batch_first=True)
    with torch.no_grad():
        layer.bias_ih_l0[16:32] += 9  # forget gates wide open: a cell is the sum of all frames
    x = torch.randn(4, 600, 8)
    _, _, exact = own(layer, x, None)
    with torch.autocast("cpu"):
        y, _, cell = own(layer, x, None)
    assert (y.dtype, cell.dtype) == (torch.bfloat16, torch.float32)
    assert (cell - exact).norm() / exact.norm() < 0.01


@pytest.mark.parametrize("is_low", [False, True])
@pytest.mark.parametrize("kind", LAYERS)
def test_an_encoder_with_its_own_layer_goes_on_as_with_torchs(kind: str, is_low: bool, monkeypatch):
    # Rows end in padding, the state goes on, and gradients reach the state at the beginning.
    monkeypatch.setattr(recurrent, "LEAST_LSTM", 1)
    encoder = built(kind, bidirectional=False, layers=2).float()
    x = random(3, 9).float()
    is_frame = real(3, 9)
    is_frame[1, 4:], is_frame[2, :] = False, False
    gradients, states = [], []
    for is_own in (False, True):
        encoder.trains_on_cpu = lambda x, is_own=is_own: is_own
        begin = [torch.full((3, 2, encoder.n_outputs), 0.3, requires_grad=True) for _ in "hc"]
        with torch.autocast("cpu", enabled=is_low):
            state = begin[0] if kind == "gru" else tuple(begin)
            y, state = encoder(x, is_frame, state)
            _, state = encoder(x, real(3, 9), state)
        parts = [state] if kind == "gru" else list(state)
        total = y[is_frame].float().sum() + sum(part.float().square().sum() for part in parts)
        encoder.zero_grad()
        total.backward()
        states.append(parts)
        reached = begin[: len(parts)]
        gradients.append([part.grad for part in (*encoder.parameters(), *reached)])
    limit = {"rtol": 0.05, "atol": 0.3} if is_low else {"rtol": 1e-4, "atol": 1e-5}
    for theirs, ours in zip(*states, strict=True):
        torch.testing.assert_close(ours.float(), theirs.float(), **limit)
    for theirs, ours in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, **limit)


def test_an_lstm_runs_by_its_own_layer_where_that_is_quicker(monkeypatch):
    took = []

    def watched(layer, x, begin):
        took.append((len(x), layer.hidden_size))
        return run_lstm(layer, x, begin)

    monkeypatch.setattr(recurrent, "run_lstm", watched)
    for rows, width in ((8, 510), (7, 512), (8, 512)):
        encoder = built("lstm", layers=1, bidirectional=False, hidden_size=width).float()
        x = random(rows, 2).float()
        for is_low in (False, True):
            with torch.autocast("cpu", enabled=is_low):
                encoder(x, real(rows, 2))
                with torch.no_grad():
                    encoder(x, real(rows, 2))
    assert took == [(8, 512)]  # in bf16, and with a gradient


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
