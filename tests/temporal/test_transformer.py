"""The transformer: what a frame sees, what is remembered, and how order is known."""

import pytest
import torch

from abaw.core.errors import UsageError
from abaw.temporal.nets.encoders import find_encoder
from abaw.temporal.nets.encoders.attention import view_near, view_of_all
from abaw.temporal.nets.encoders.positions import sinusoidal
from abaw.temporal.nets.state import restarted

from .nets import built, config, random, real, weighted


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


@pytest.mark.parametrize("context", [0, 2])
def test_every_frame_sees_something_also_in_padding(context: int):
    """Else some kernels divide 0 by 0, and the gradient of all weights is NaN."""
    is_frame = torch.zeros(3, 9, dtype=torch.bool)
    is_frame[0] = True
    is_frame[1, :2] = True
    views = [view_of_all(is_frame, is_padded=True)]
    if context:
        is_past = torch.zeros(3, context, dtype=torch.bool)
        views = [view_near(is_frame, past, context, is_padded=True) for past in (is_past, None)]
    for view in views:
        assert bool(view.mask.any(dim=-1).all())


def test_weights_of_attention_are_left_out_at_random_too():
    encoder = built("transformer", dropout=0.5, layers=1).train()
    (layer,) = encoder.layers
    x, view = torch.randn(2, 9, 8, dtype=torch.float64), view_of_all(real(2, 9), is_padded=False)
    first, second = (layer._attention(x, view, None, None)[0] for _ in range(2))
    assert not torch.allclose(first, second)
    layer.eval()
    first, second = (layer._attention(x, view, None, None)[0] for _ in range(2))
    assert torch.equal(first, second)


NAMES = {"self_attn.": "", "in_proj_": "projection_in.", "out_proj": "projection_out"}


@pytest.mark.parametrize("norm", ["post", "pre"])
@torch.no_grad()
def test_a_layer_is_torchs_own_also_in_what_dropout_does(norm: str):
    encoder = built("transformer", norm=norm, dropout=0.4, ffn_size=12, layers=1)
    (layer,) = encoder.layers
    theirs = torch.nn.TransformerEncoderLayer(
        8, 2, 12, 0.4, batch_first=True, norm_first=norm == "pre", dtype=torch.float64
    )
    state = {}
    for key in theirs.state_dict():
        own = key
        for name, ours in NAMES.items():
            own = own.replace(name, ours)
        state[key] = layer.state_dict()[own]
    theirs.load_state_dict(state)
    x, view = torch.randn(1, 7, 8, dtype=torch.float64), view_of_all(real(1, 7), is_padded=False)
    torch.testing.assert_close(layer(x, view, None, None)[0], theirs.eval()(x), rtol=0, atol=1e-12)
    # The random numbers of torch's come in another order, so: the spread of many draws.
    many, view = x.expand(8000, -1, -1), view_of_all(real(8000, 7), is_padded=False)
    found = layer.train()(many, view, None, None)[0].std(dim=0)
    needed = theirs.train()(many).std(dim=0)
    torch.testing.assert_close(found, needed, rtol=0.06, atol=0)
