"""Losses of the four tasks, over labelled frames only.

Every loss is a sum over labelled frames divided by their number, so it depends neither on padding
nor on how much of a batch is annotated. A batch without a label of a task gives exactly 0, with a
gradient of 0.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..core.tasks import TASKS, Task

_LEAST_SCATTER = 1e-6
"""Added to the CCC's denominator: batches of constant labels and outputs stay finite."""


@dataclass(frozen=True)
class Labels:
    """Labels of a batch; values where `is_labelled` is False do not matter."""

    values: dict[Task, torch.Tensor]
    """(B, T) valence, arousal float; (B, T) expression int64; (B, T, 12) AUs float."""
    is_labelled: dict[Task, torch.Tensor]
    """Booleans of the same shapes."""


def masked_mean(values: torch.Tensor, is_labelled: torch.Tensor) -> torch.Tensor:
    """Return the mean over labelled elements; 0 if there are none."""
    return _labelled_only(values, is_labelled).sum() / is_labelled.sum().clamp(min=1)


def _labelled_only(values: torch.Tensor, is_labelled: torch.Tensor) -> torch.Tensor:
    """Return a copy with 0 where there is no label.

    Losses are computed from such copies, never from what stands elsewhere: a NaN there would leave
    the value alone but make the gradient 0 * NaN.
    """
    return torch.where(is_labelled, values, torch.zeros_like(values))


def mse_loss(y_pred: torch.Tensor, y_true: torch.Tensor, is_labelled: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error over labelled frames."""
    pred, true = _labelled_only(y_pred, is_labelled), _labelled_only(y_true, is_labelled)
    return masked_mean((pred - true) ** 2, is_labelled)


def ccc_loss(y_pred: torch.Tensor, y_true: torch.Tensor, is_labelled: torch.Tensor) -> torch.Tensor:
    """Return 1 - CCC over all labelled frames of the batch, population moments; 0 if none."""
    pred, true = _labelled_only(y_pred, is_labelled), _labelled_only(y_true, is_labelled)
    n = is_labelled.sum().clamp(min=1)
    mean_pred, mean_true = pred.sum() / n, true.sum() / n
    d_pred = _labelled_only(pred - mean_pred, is_labelled)
    d_true = _labelled_only(true - mean_true, is_labelled)
    scatter = ((d_pred**2).sum() + (d_true**2).sum()) / n + (mean_pred - mean_true) ** 2
    ccc = 2 * (d_pred * d_true).sum() / n / (scatter + _LEAST_SCATTER)
    return (1 - ccc) * is_labelled.any()


def expression_loss(
    logits: torch.Tensor,
    y_true: torch.Tensor,
    is_labelled: torch.Tensor,
    class_weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the cross-entropy over labelled frames.

    Args:
        logits: (B, T, 8).
        y_true: (B, T) int64.
        is_labelled: (B, T).
        class_weight: (8,); a frame weighs as its class, and weights are not divided out again.
    """
    per_frame = F.cross_entropy(
        _labelled_only(logits, is_labelled[..., None]).flatten(0, -2),  # (B * T, 8)
        _labelled_only(y_true, is_labelled).flatten(),
        weight=class_weight,
        reduction="none",
    )
    return masked_mean(per_frame, is_labelled.flatten())


def au_loss(
    logits: torch.Tensor,
    y_true: torch.Tensor,
    is_labelled: torch.Tensor,
    positive_weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the binary cross-entropy over labelled elements.

    Args:
        logits: (B, T, 12).
        y_true: (B, T, 12) float, 0 or 1.
        is_labelled: (B, T, 12).
        positive_weight: (12,), weight of each AU's positives.
    """
    per_element = F.binary_cross_entropy_with_logits(
        _labelled_only(logits, is_labelled),
        _labelled_only(y_true, is_labelled),
        pos_weight=positive_weight,
        reduction="none",
    )
    return masked_mean(per_element, is_labelled)


class MultiTaskLoss:
    """The weighted sum of the tasks' losses.

    Args:
        task_weight: task -> factor.
        ccc_share: share of 1 - CCC in the loss of valence and arousal; the rest is MSE.
        class_weight: (8,) weights of the expressions, or None.
        positive_weight: (12,) weights of the AUs' positives, or None.
    """

    def __init__(
        self,
        task_weight: dict[Task, float],
        ccc_share: float,
        class_weight: torch.Tensor | None = None,
        positive_weight: torch.Tensor | None = None,
    ) -> None:
        self.task_weight = task_weight
        self.ccc_share = ccc_share
        self.class_weight = class_weight
        self.positive_weight = positive_weight

    def per_task(
        self, outputs: dict[Task, torch.Tensor], labels: Labels
    ) -> dict[Task, torch.Tensor]:
        """Return each task's loss, without its weight."""
        losses: dict[Task, torch.Tensor] = {}
        for task in TASKS:
            arguments = outputs[task], labels.values[task], labels.is_labelled[task]
            if task == "expression":
                losses[task] = expression_loss(*arguments, self.class_weight)
            elif task == "au":
                losses[task] = au_loss(*arguments, self.positive_weight)
            else:
                share = self.ccc_share
                losses[task] = share * ccc_loss(*arguments) + (1 - share) * mse_loss(*arguments)
        return losses

    def total(self, losses: dict[Task, torch.Tensor]) -> torch.Tensor:
        """Return the weighted sum of `per_task`'s losses."""
        return torch.stack([self.task_weight[task] * losses[task] for task in TASKS]).sum()
