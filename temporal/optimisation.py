"""How weights follow gradients: the optimiser, its rate over a run, clipping, and averages."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from .settings.training import TrainingSettings


def build_optimizer(
    network: nn.Module, loss: nn.Module, settings: TrainingSettings
) -> torch.optim.Optimizer:
    """Return the optimiser of a network, and of what the loss learns, which does not decay."""
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    groups: list[dict[str, Any]] = [{"params": list(network.parameters())}]
    if learned := list(loss.parameters()):
        groups.append({"params": learned, "weight_decay": 0.0})
    return kind(
        groups,
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        weight_decay=settings.weight_decay,
        fused=True,
    )


def rate_factor(settings: TrainingSettings, done: float, step: float) -> float:
    """Return the factor of the learning rate for a step.

    It rises over the share `warmup` of the run, never from 0, stays until `decay_from`, and then
    falls to 0 as `schedule` says.

    Args:
        settings: of the run.
        done: share of the run before the step, from 0 to 1.
        step: share of the run that the step is.

    >>> settings = TrainingSettings(warmup=0.1, schedule="linear")
    >>> [round(rate_factor(settings, done, 0.05), 3) for done in (0, 0.05, 0.1, 0.55, 0.95)]
    [0.5, 1.0, 1.0, 0.5, 0.056]
    """
    if done + step <= settings.warmup:
        return (done + step) / settings.warmup
    begin = max(settings.warmup, settings.decay_from)
    if settings.schedule == "constant" or done <= begin:
        return 1.0
    share = (done - begin) / (1 - begin)
    return 1 - share if settings.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * share))


def clip_gradients(parts: Iterable[Iterable[torch.Tensor]], limit: float) -> torch.Tensor:
    """Scale the gradients of each part to a norm of at most `limit`; return the largest norm.

    The norm is NaN or infinite if one of a part is; its gradients then are, too.
    """
    norms = [nn.utils.clip_grad_norm_(part, limit) for part in parts]
    return torch.stack(norms).max() if len(norms) > 1 else norms[0]


class WeightAverage:
    """Weights that are judged and kept in place of the last step's.

    `ema` follows them by `average_decay`, and more closely over the first steps (with (1 + n) /
    (10 + n) for step n if that is less), so that it forgets where they began; `swa` is their mean
    over the steps from `average_from` on.

    Args:
        network: whose weights.
        settings: `averaging`, `average_decay`, `average_from`.
    """

    def __init__(self, network: nn.Module, settings: TrainingSettings) -> None:
        self._settings = settings
        self._source = network.state_dict()
        self._floats = [key for key, value in self._source.items() if value.is_floating_point()]
        self.weights = {key: value.detach().clone() for key, value in self._source.items()}
        """Of the whole network; until `swa` begins, those of the last step."""
        self.n_steps = 0
        """Steps that counted."""

    def update(self, share: float) -> None:
        """Take note of the weights after a step, `share` of the run being done."""
        is_swa = self._settings.averaging == "swa"
        has_begun = not is_swa or share >= self._settings.average_from
        self.n_steps += has_begun
        n = self.n_steps
        decay = (
            (n - 1) / n if is_swa and n else min(self._settings.average_decay, (1 + n) / (10 + n))
        )
        factor = 1 - decay if has_begun else 1.0
        with torch.no_grad():
            torch._foreach_lerp_(
                [self.weights[key] for key in self._floats],
                [self._source[key] for key in self._floats],
                factor,
            )
