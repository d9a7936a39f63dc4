"""Every encoder of the package keeps to the contract, and what each promises beyond it."""

import pytest
import torch

from abaw.temporal.nets.encoders import ENCODERS, find_encoder
from abaw.temporal.nets.encoders.contract import EncoderContract

from .nets import F, built, config, random, real, weighted

pytestmark = pytest.mark.heavy


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
