"""Small networks for the tests of them."""

import torch

from abaw.core.tasks import TASK_WIDTH, TASKS
from abaw.temporal.config import RunConfig
from abaw.temporal.losses import Labels
from abaw.temporal.nets.encoders import Encoder, find_encoder
from abaw.temporal.nets.frameworks import Framework

F = 5


def config(**changes) -> RunConfig:
    """A config of a small network."""
    small = {"features": ("a",), "projection": 6, "hidden_size": 8, "head_hidden": (4,), "heads": 2}
    return RunConfig(**(small | changes))


def linear(**changes) -> RunConfig:
    """One without ReLUs around its encoder: none of its gradients is 0 by chance."""
    return config(projection=0, head_hidden=(), **changes)


def real(*shape: int) -> torch.Tensor:
    """`is_frame` without padding."""
    return torch.ones(shape, dtype=torch.bool)


def run(network: Framework, x: torch.Tensor, labels: Labels | None = None):
    """What a network gives for whole segments."""
    return network(x, real(*x.shape[:2]), None, labels)[0]


def labels_of(B: int, T: int, *, share: float = 1.0) -> Labels:
    """Random labels, of which a share is there; what stands elsewhere is as bad as can be."""
    values, is_labelled = {}, {}
    for task in TASKS:
        shape = (B, T, 12) if task == "au" else (B, T)
        is_labelled[task] = torch.rand(shape) < share
        if task == "expression":
            found = torch.randint(0, TASK_WIDTH[task], shape)
            values[task] = torch.where(is_labelled[task], found, -1)
        else:
            found = (torch.rand(shape) < 0.5).float() if task == "au" else 2 * torch.rand(shape) - 1
            values[task] = torch.where(is_labelled[task], found, torch.nan)
    return Labels(values, is_labelled)


def built(name: str, **changes) -> Encoder:
    """A small encoder of two layers in float64, in evaluation; seeds torch."""
    torch.manual_seed(0)
    run = config(encoder=name, **({"layers": 2} | changes))
    return find_encoder(F, run, run.layers)[0].double().eval()


def random(*shape: int) -> torch.Tensor:
    """Features in float64."""
    return torch.randn(*shape, F, dtype=torch.float64)


def weighted(y: torch.Tensor) -> torch.Tensor:
    """A sum with weights: a plain one, of what is normalised, never changes."""
    return (y * torch.randn_like(y)).sum()
