"""How the losses of the tasks are weighed together: fixed, each by its own size, or learned."""

from collections.abc import Iterable, Mapping
from typing import Final

import torch
from torch import nn

from ..core.tasks import Task
from .settings.loss import Weighting

AFFECT: Final[tuple[Task, ...]] = ("valence", "arousal")
"""The tasks of regression."""
_LEAST_SIZE: Final = 1e-6
"""A loss below this is not enlarged to 1: its gradient would be noise, or 0 / 0."""


class FixedWeighting(nn.Module):
    """The sum of the losses, each times its task's weight.

    Args:
        task_weight: task -> weight.
    """

    def __init__(self, task_weight: Mapping[Task, float]) -> None:
        super().__init__()
        self.task_weight = dict(task_weight)

    def forward(
        self, losses: Mapping[Task, torch.Tensor], is_labelled: Mapping[Task, torch.Tensor]
    ) -> torch.Tensor:
        """Return the total () of losses (), at least one, and what they were computed over."""
        return _weighted_sum(losses.values(), [self.task_weight[task] for task in losses])


class NormalisedWeighting(FixedWeighting):
    """Each loss over its own size, then times its weight: every task pulls by its weight alone.

    The size takes no part in the gradient, so the total is the sum of the weights of the tasks
    with labels, whatever happens, and only its gradient means something.
    """

    def forward(
        self, losses: Mapping[Task, torch.Tensor], is_labelled: Mapping[Task, torch.Tensor]
    ) -> torch.Tensor:
        """Return the total () of losses (), at least one, and what they were computed over."""
        sizes = torch.stack([loss.detach() for loss in losses.values()]).clamp(min=_LEAST_SIZE)
        scaled = torch.stack(list(losses.values())) / sizes
        return _weighted_sum(scaled.unbind(), [self.task_weight[task] for task in losses])


class LearnedWeighting(FixedWeighting):
    """Weights by the uncertainty of each task, learned beside the network (Kendall et al. 2018).

    With s = log sigma^2 of a task, which begins at 0, its share of the total is

        weight * (exp(-s) / 2 * loss + s / 2)     valence, arousal
        weight * (exp(-s)     * loss + s / 2)     expression, au

    so a task's s settles at the logarithm of its loss, or of twice that. A task without a label in
    the batch adds nothing, s / 2 neither: its s does not drift while the loss is not seen.
    """

    def __init__(self, task_weight: Mapping[Task, float]) -> None:
        super().__init__(task_weight)
        self.log_variance = nn.ParameterDict(
            {task: nn.Parameter(torch.zeros(())) for task in task_weight}
        )

    def forward(
        self, losses: Mapping[Task, torch.Tensor], is_labelled: Mapping[Task, torch.Tensor]
    ) -> torch.Tensor:
        """Return the total () of losses (), at least one, and what they were computed over."""
        s = torch.stack([self.log_variance[task] for task in losses])
        has_label = torch.stack([is_labelled[task].any() for task in losses])
        scaled = torch.exp(-s) * torch.stack(list(losses.values()))
        weights = [self.task_weight[task] for task in losses]
        share = [0.5 if task in AFFECT else 1.0 for task in losses]
        return _weighted_sum(
            [*scaled.unbind(), *(s * has_label).unbind()],
            [w * x for w, x in zip(weights, share, strict=True)] + [w / 2 for w in weights],
        )


WEIGHTINGS: Final[dict[Weighting, type[FixedWeighting]]] = {
    "fixed": FixedWeighting,
    "normalised": NormalisedWeighting,
    "learned": LearnedWeighting,
}


def _weighted_sum(terms: Iterable[torch.Tensor], weights: Iterable[float]) -> torch.Tensor:
    """Return the sum of weight * term, one kernel a term."""
    (first, weight), *others = zip(terms, weights, strict=True)
    total = weight * first
    for term, factor in others:
        total = torch.add(total, term, alpha=factor)
    return total
