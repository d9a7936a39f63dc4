"""Every encoder of the package keeps to the contract, and what each promises beyond it."""

import pytest
import torch

from abaw.core.errors import UsageError
from abaw.temporal.nets.encoders import ENCODERS, find_encoder
from abaw.temporal.nets.encoders.contract import EncoderContract
from abaw.temporal.nets.encoders.positions import sinusoidal
from abaw.temporal.nets.state import restarted

from .nets import F, config, real


def cases():
    found = []
    for name in ENCODERS:
        options = [{}]
        if name == "transformer":
            options = [
                {"norm": n, "positions": p, "attention_context": c}
                for n in ("post", "pre")
                for p in ("sinusoidal", "rotary", "none")
                for c in (0, 2)
            ]
        for option in options:
            for is_both in (True, False):
                for layers in (1, 2):
                    words = [str(value) for value in option.values()]
                    way = "both" if is_both else "onward"
                    run = config(encoder=name, bidirectional=is_both, layers=layers, **option)
                    found.append(pytest.param(run, id="-".join([name, *words, way, str(layers)])))
    return found


class TestEveryEncoder(EncoderContract):
    n_features = F

    @pytest.fixture(autouse=True, params=cases())
    def _case(self, request):
        self.run = request.param

    def build(self, n_features: int):
        return find_encoder(n_features, self.run, self.run.layers)[0]

    def test_it_is_causal_in_one_direction(self):
        is_causal = not self.run.bidirectional or self.run.encoder == "none"
        assert self._built().is_causal == is_causal


def built(name: str, **changes):
    torch.manual_seed(0)
    run = config(encoder=name, **({"layers": 2} | changes))
    return find_encoder(F, run, run.layers)[0].double().eval()


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, F, dtype=torch.float64)


def weighted(y: torch.Tensor) -> torch.Tensor:
    """A sum with weights: a plain one, of what is normalised, never changes."""
    return (y * torch.randn_like(y)).sum()


@pytest.mark.parametrize("name", ["gru", "lstm", "transformer"])
def test_both_directions_see_what_follows_and_one_does_not(name: str):
    for is_both in (True, False):
        encoder = built(name, bidirectional=is_both)
        features = random(1, 6).requires_grad_()
        weighted(encoder(features, real(1, 6))[0][0, 2]).backward()
        assert bool((features.grad[0, 3:] != 0).any()) == is_both
        assert bool((features.grad[0, :2] != 0).any())


@pytest.mark.parametrize("name", ["gru", "lstm", "transformer"])
def test_dropout_is_there_in_training_alone(name: str):
    encoder = built(name, dropout=0.5)
    x = random(2, 7)
    quiet, _ = encoder(x, real(2, 7))
    noisy, again = (encoder.train()(x, real(2, 7))[0] for _ in range(2))
    assert not torch.allclose(noisy, again)
    assert torch.equal(encoder.eval()(x, real(2, 7))[0], quiet)


@torch.inference_mode()
def test_an_lstms_cell_after_padding_is_that_of_long_memories_too():
    encoder = built("lstm", bidirectional=False)
    for layer in encoder.onward:
        layer.bias_ih_l0[8:16] += 4  # forget gates wide open: cells add up over all frames
    x = random(2, 300)
    is_frame = real(2, 300)
    is_frame[1, 280:] = False
    _, (h, c) = encoder(x, is_frame)
    _, (own_h, own_c) = encoder(x[1:, :280], real(1, 280))
    assert c.abs().max() > 5
    torch.testing.assert_close(h[1], own_h[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(c[1], own_c[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_size": 10, "heads": 4}, "multiple of its heads, but got 10 and 4 heads"),
        ({"hidden_size": 12, "heads": 4}, "rotary needs heads of an even width.* gives 3"),
    ],
)
def test_a_width_that_heads_cannot_share_is_refused(changes, words):
    with pytest.raises(UsageError, match=words):
        built("transformer", **changes)
    built("transformer", **(changes | {"positions": "sinusoidal", "heads": 2}))


@pytest.mark.parametrize("layers", [1, 3])
def test_a_causal_context_of_two_reaches_two_frames_back_a_layer(layers: int):
    encoder = built("transformer", bidirectional=False, attention_context=2, layers=layers)
    features = random(1, 20).requires_grad_()
    weighted(encoder(features, real(1, 20))[0][0, 12]).backward()
    seen = (features.grad[0] != 0).any(dim=1).nonzero().flatten().tolist()
    assert seen == list(range(12 - 2 * layers, 13))


def test_a_context_on_both_sides_reaches_as_far_ahead_as_back():
    encoder = built("transformer", attention_context=3, layers=1)
    features = random(1, 20).requires_grad_()
    weighted(encoder(features, real(1, 20))[0][0, 12]).backward()
    seen = (features.grad[0] != 0).any(dim=1).nonzero().flatten().tolist()
    assert seen == list(range(9, 16))


@pytest.mark.parametrize("is_both", [True, False])
@pytest.mark.parametrize("context", [3, 70])
@torch.inference_mode()
def test_attention_in_blocks_is_attention_in_one_piece(context: int, is_both: bool):
    """By the definition: scores of all pairs, those out of reach at minus infinity."""
    encoder = built("transformer", attention_context=context, layers=1, bidirectional=is_both)
    (layer,) = encoder.layers
    x = torch.randn(2, 300, 8, dtype=torch.float64)
    is_frame = real(2, 300)
    is_frame[1, 170:] = False
    past = encoder._past(x, None) if not is_both else None
    view = encoder._view(is_frame, past, is_padded=True)
    found, *_ = layer._attention(x, view, None, past.layers[0] if past else None)
    q, k, v = layer.projection_in(x).view(2, 300, 3, 2, 4).permute(2, 0, 3, 1, 4)
    distance = torch.arange(300) - torch.arange(300)[:, None]
    is_near = (distance.abs() <= context) & (is_both | (distance <= 0))
    scores = q @ k.mT / 2
    scores = scores.masked_fill(~(is_near & is_frame[:, None, None, :]), -torch.inf)
    needed = layer.projection_out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(found[is_frame], needed[is_frame], rtol=0, atol=1e-12)


@torch.inference_mode()
def test_a_context_keeps_as_many_frames_however_long_the_video():
    encoder = built("transformer", bidirectional=False, attention_context=4)
    state = None
    for length in (3, 1, 9, 30):
        _, state = encoder(random(2, length), real(2, length), state)
        seen, layers = state
        assert {part.shape[2] for pair in layers for part in pair} == {4}
    assert seen.tolist() == [43, 43]


@torch.inference_mode()
def test_without_a_context_frames_of_videos_that_are_over_are_let_go():
    encoder = built("transformer", bidirectional=False)
    state = None
    for _ in range(10):
        _, state = encoder(random(2, 8), real(2, 8), state)
        state = restarted(state, torch.tensor([False, True]))
    assert state[1][0][0].shape[2] == 80
    state = restarted(state, torch.tensor([True, False]))
    _, state = encoder(random(2, 8), real(2, 8), state)
    assert state[1][0][0].shape[2] == 8


@pytest.mark.parametrize("positions", ["sinusoidal", "rotary"])
@torch.inference_mode()
def test_positions_tell_order_and_no_table_limits_a_sequence(positions: str):
    x = random(1, 600)
    for kind, is_same in ((positions, False), ("none", True)):
        encoder = built("transformer", positions=kind)
        there, back = (encoder(part, real(1, 600))[0] for part in (x, x.flip(1)))
        assert torch.allclose(there, back.flip(1), rtol=0, atol=1e-12) == is_same


@torch.inference_mode()
def test_rotary_positions_do_not_depend_on_where_a_video_starts():
    encoder = built("transformer", bidirectional=False, attention_context=4, positions="rotary")
    x = random(1, 30)
    whole, later = (encoder(part, real(*part.shape[:2]))[0] for part in (x, x[:, 10:]))
    torch.testing.assert_close(whole[:, 10 + 8 :], later[:, 8:], rtol=0, atol=1e-12)


def test_in_half_precision_positions_are_still_counted_exactly():
    code = sinusoidal(torch.tensor([[4096, 4097]]), 8, torch.bfloat16)
    assert code.dtype == torch.bfloat16
    assert not torch.equal(code[0, 0], code[0, 1])


def test_a_layer_in_front_is_there_only_where_widths_differ():
    assert built("transformer").affine is not None
    run = config(encoder="transformer")
    assert find_encoder(8, run, 1)[0].affine is None
