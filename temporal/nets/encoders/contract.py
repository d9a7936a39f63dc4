"""What every encoder must keep to, as a test class; also for encoders of your own.

Under pytest:

    class TestMine(EncoderContract):
        def build(self, n_features):
            return Mine(n_features, RunConfig(features=("any",), hidden_size=8), 2)
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

import torch
from torch.testing import assert_close

from ..state import State, detached, restarted
from .base import Encoder

EXACT: Final = 1e-12
"""Largest difference in float64 of what has to be the same but is summed in another order."""
_LENGTHS: Final = (9, 4, 1)
_PADDING: Final = 50.0
"""What stands in padding here: it would show."""


class EncoderContract(ABC):
    """Tests of one encoder; a subclass says which by `build`."""

    n_features: int = 5

    @abstractmethod
    def build(self, n_features: int) -> Encoder:
        """Return a new encoder of F features, in training mode, with any weights."""

    @torch.no_grad()
    def test_it_gives_what_it_says_in_the_precision_of_its_weights(self) -> None:
        """Shapes (B, T, n_outputs), dtypes, and a state with the batch first."""
        for dtype in (torch.float32, torch.float64):
            encoder = self._built(dtype)
            for lengths in ((7, 7, 7), (1, 1), (6, 2)):
                y, state = encoder(*_batch(self._alone(lengths, dtype)))
                assert y.shape == (len(lengths), max(lengths), encoder.n_outputs), y.shape
                assert y.dtype == dtype, f"{y.dtype} for weights of {dtype}"
                for tensor in _tensors(state):
                    assert len(tensor) == len(lengths), f"a state of shape {tuple(tensor.shape)}"

    @torch.no_grad()
    def test_only_a_causal_encoder_carries_a_state(self) -> None:
        """Another returns None."""
        encoder = self._built()
        _, state = encoder(*_batch(self._alone((4, 4))))
        assert encoder.is_causal or state is None, "a state, but is_causal is False"

    @torch.no_grad()
    def test_neither_batch_mates_nor_padding_change_a_real_frame(self) -> None:
        """A row gives what it gives alone, and its state goes on as it does alone."""
        encoder = self._built()
        alone, further = self._alone(_LENGTHS), self._alone((3, 3, 3))
        together, state = encoder(*_batch(alone))
        after, _ = encoder(*_batch(further), state)
        for row, (x, more) in enumerate(zip(alone, further, strict=True)):
            y, own = encoder(*_batch([x]))
            _same(together[row, : len(x)], y[0], f"row {row} of {len(x)} real frames")
            y, _ = encoder(*_batch([more]), own)
            _same(after[row], y[0], f"what follows row {row} of {len(x)} real frames")

    def test_padding_gets_no_gradient(self) -> None:
        """Neither through the outputs nor through the state; real frames do."""
        encoder = self._built()
        features, is_frame = _batch(self._alone(_LENGTHS))
        features.requires_grad_()
        y, state = encoder(features, is_frame)
        total = _weighted(y[is_frame])
        for tensor in _tensors(state):
            if tensor.is_floating_point():
                total = total + _weighted(tensor)
        (gradient,) = torch.autograd.grad(total, features)
        assert bool((gradient[~is_frame] == 0).all()), "padding gets a gradient"
        assert bool((gradient[is_frame] != 0).any()), "no real frame gets a gradient"

    @torch.no_grad()
    def test_a_causal_encoder_does_not_look_ahead(self) -> None:
        """What a frame gives does not change with the frames after it."""
        encoder = self._built()
        if not encoder.is_causal:
            return
        first, second = self._alone((9, 9))
        mixed = torch.cat([first[:5], second[5:]])
        y, _ = encoder(*_batch([first, mixed]))
        _same(y[1, :5], y[0, :5], "the frames in front of those that differ")

    @torch.no_grad()
    def test_merged_segments_are_the_whole_sequence(self) -> None:
        """For a causal encoder, whatever the segments' lengths, also when rows end early."""
        encoder = self._built()
        if not encoder.is_causal:
            return
        features, is_frame = _batch(self._alone((23, 11, 6)))
        whole, _ = encoder(features, is_frame)
        for lengths in ((5, 5, 5, 5, 3), (1, 2, 12, 8), (22, 1), (1,) * 23):
            merged, _ = _in_segments(encoder, features, is_frame, lengths)
            _same(merged[is_frame], whole[is_frame], f"segments of {lengths}")

    @torch.no_grad()
    def test_rows_start_again_each_by_itself(self) -> None:
        """Zeros in a row of the state start a video there; other rows go on."""
        encoder = self._built()
        if not encoder.is_causal:
            return
        old, new = self._alone((8, 3, 8)), self._alone((6, 6, 6))
        _, state = encoder(*_batch(old))
        is_start = torch.tensor([True, True, False])
        features, is_frame = _batch(new)
        merged, _ = _in_segments(
            encoder, features, is_frame, (2, 3, 1), restarted(detached(state), is_start)
        )
        fresh, _ = encoder(features[:2], is_frame[:2])
        _same(merged[:2], fresh, "rows that start")
        whole, _ = encoder(*_batch([torch.cat([old[2], new[2]])]))
        _same(merged[2], whole[0, 8:], "the row that goes on")

    @torch.no_grad()
    def test_a_row_without_a_real_frame_is_harmless(self) -> None:
        """It gives no NaN, changes no other row, and its state stays as it was."""
        encoder = self._built()
        first, second = self._alone((5, 4)), self._alone((4, 4))
        features, is_frame = _batch(first)
        _, state = encoder(features, is_frame)
        begin = state if encoder.is_causal else None
        features, is_frame = _batch([second[0], second[1][:0]])
        y, after = encoder(features, is_frame, begin)
        assert bool(torch.isfinite(y).all()), "a row without a real frame gives NaN or infinity"
        alone, own = encoder(*_batch([first[0]]))
        alone, _ = encoder(*_batch([second[0]]), own)
        _same(y[0], alone[0], "the row beside the one without a real frame")
        if encoder.is_causal:
            y, _ = encoder(*_batch(second), after)
            whole, _ = encoder(*_batch([torch.cat([first[1], second[1]])]))
            _same(y[1], whole[0, 4:], "a row after a segment without a real frame")

    @torch.no_grad()
    def test_it_gives_the_same_again_when_it_does_not_train(self) -> None:
        """In evaluation nothing is drawn at random, and nothing is remembered between calls."""
        encoder = self._built(torch.float32)
        batch = _batch(self._alone(_LENGTHS, torch.float32))
        before = torch.get_rng_state()
        first, _ = encoder(*batch)
        encoder(*_batch(self._alone((3,), torch.float32)))
        torch.set_rng_state(before)
        second, _ = encoder(*batch)
        assert torch.equal(first, second), "two calls differ"
        assert torch.equal(before, torch.get_rng_state()), "random numbers were drawn"

    def test_every_parameter_is_trained(self) -> None:
        """Each gets a gradient, and it is finite and not 0 throughout."""
        encoder = self._built().train()
        features, is_frame = _batch(self._alone((9, 9, 4)))
        y, _ = encoder(features, is_frame)
        if any(True for _ in encoder.parameters()):
            _weighted(y[is_frame]).backward()  # type: ignore[no-untyped-call]
        for name, parameter in encoder.named_parameters():
            assert parameter.grad is not None, f"{name} gets no gradient"
            assert bool(torch.isfinite(parameter.grad).all()), f"the gradient of {name} is NaN"
            assert bool((parameter.grad != 0).any()), f"the gradient of {name} is 0"

    def _built(self, dtype: torch.dtype = torch.float64) -> Encoder:
        """Return the encoder under a fixed seed, in evaluation."""
        torch.manual_seed(0)
        return self.build(self.n_features).to(dtype).eval()

    def _alone(
        self, lengths: Sequence[int], dtype: torch.dtype = torch.float64
    ) -> list[torch.Tensor]:
        """Return random features (n, F) of sequences of these lengths."""
        return [torch.randn(n, self.n_features, dtype=dtype) for n in lengths]


def _batch(alone: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return sequences (n, F) as one padded batch (B, T, F) and its `is_frame` (B, T)."""
    length = torch.tensor([len(x) for x in alone])
    is_frame = torch.arange(int(length.max())) < length[:, None]
    features = alone[0].new_full((*is_frame.shape, alone[0].shape[1]), _PADDING)
    features[is_frame] = torch.cat(list(alone))
    return features, is_frame


def _in_segments(
    encoder: Encoder,
    features: torch.Tensor,
    is_frame: torch.Tensor,
    lengths: Sequence[int],
    state: State = None,
) -> tuple[torch.Tensor, State]:
    """Return what the segments give one after another, joined, and the last state."""
    found = []
    start = 0
    for length in lengths:
        stop = start + length
        y, state = encoder(features[:, start:stop], is_frame[:, start:stop], state)
        found.append(y)
        start = stop
    return torch.cat(found, dim=1), state


def _tensors(state: State) -> list[torch.Tensor]:
    """Return all tensors of a state, however deep."""
    if isinstance(state, torch.Tensor):
        return [state]
    return [tensor for part in state or () for tensor in _tensors(part)]


def _weighted(y: torch.Tensor) -> torch.Tensor:
    """Return a sum with weights at random: a plain one, of what is normalised, never changes."""
    return (y * torch.randn_like(y)).sum()


def _same(found: torch.Tensor, needed: torch.Tensor, what: str) -> None:
    assert_close(found, needed, rtol=0, atol=EXACT, msg=lambda text: f"{what}: {text}")
