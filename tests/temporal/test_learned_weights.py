"""Learned weights of tasks in training: they move, are clipped and do not decay."""

from pathlib import Path

import pytest
import torch

from .made import write_cache
from .test_loop import make_loop


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cache(tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize("clip_by", ["all", "part"])
def test_their_gradient_is_clipped(cache: Path, clip_by: str):
    loop = make_loop(cache, weighting="learned", clip_norm=1e-3, clip_by=clip_by)
    next(loop.steps())
    squares = [parameter.grad.square() for parameter in loop.loss.parameters()]
    assert len(squares) == 4
    assert 0 < float(torch.stack(squares).sum().sqrt()) <= 1.001e-3


def test_they_move_and_weight_decay_leaves_them_alone(cache: Path):
    def learned(weight_decay: float) -> dict[str, float]:
        loop = make_loop(cache, weighting="learned", weight_decay=weight_decay, learning_rate=1e-3)
        next(loop.steps())
        with torch.no_grad():
            for parameter in loop.loss.parameters():
                parameter.fill_(2.0)
        before = {name: float(p.detach()) for name, p in loop.loss.named_parameters()}
        group = next(
            group
            for group in loop._optimizer.param_groups
            if any(p is next(loop.loss.parameters()) for p in group["params"])
        )
        assert group["weight_decay"] == 0
        next(loop.steps())
        after = {name: float(p.detach()) for name, p in loop.loss.named_parameters()}
        return {name: after[name] - before[name] for name in after}

    moved = learned(0.0)
    assert all(moved.values())
    decayed = learned(50.0)  # a decay of 1e-3 * 50 * 2 = 0.1 a step would show
    assert all(abs(change) < 0.02 for change in decayed.values())
