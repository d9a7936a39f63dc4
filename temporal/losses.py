"""Losses of the four tasks, over labelled frames only.

Every loss is a sum over labelled elements divided by their number, so it depends neither on padding
nor on how much of a batch is annotated. A batch without a label of a task gives exactly 0, with a
gradient of exactly 0; what stands at unlabelled places, NaN too, reaches neither value nor
gradient. Outputs of less than float32 are computed in float32.

Nothing here waits for the device: no value is read on the way. What all weigh together is in
`weighting`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import nn

from ..core.tasks import TASKS, Task
from .settings.loss import Distance, Weighting
from .weighting import AFFECT, WEIGHTINGS

_LEAST_SCATTER: Final = 1e-6
"""Added above and below in 1 - CCC: batches of constant labels and outputs give 1, not 0 / 0."""
_LEAST_DOUBT: Final = 1e-6
"""Least 1 - p of the focal loss, whose power has no finite slope at 0 otherwise."""
_IGNORED: Final = -100


@dataclass(frozen=True)
class Labels:
    """Labels of a batch; values where `is_labelled` is False do not matter."""

    values: dict[Task, torch.Tensor]
    """(B, T) valence, arousal float; (B, T) expression int64; (B, T, 12) AUs float."""
    is_labelled: dict[Task, torch.Tensor]
    """Booleans of the same shapes."""


def affect_loss(
    y_pred: torch.Tensor,
    y_true: torch.Tensor,
    is_labelled: torch.Tensor,
    ccc_share: float,
    distance: Distance = "mse",
) -> torch.Tensor:
    """Return the loss (...) of valence or arousal, each over all its labelled frames.

    `ccc_share` times 1 - CCC plus the rest times the mean squared or absolute error. 1 - CCC is
    the mean squared error over the scatter around the labels' mean, which is how it is computed:
    in this form nothing cancels, also where outputs are close to labels or without spread. Where
    labels or outputs are constant it is 1, and so is it of a single frame.

    Args:
        y_pred: (..., B, T).
        y_true: (..., B, T).
        is_labelled: (..., B, T).
        ccc_share: 0 to 1.
        distance: of the rest.
    """
    unlabelled = ~is_labelled
    found = is_labelled.sum((-2, -1))
    n = found.clamp(min=1)
    # A fill behind a difference keeps NaNs out of the gradient too: a difference passes the
    # gradient on as it is, and the fill has made it 0 there.
    error = (_at_least_float32(y_pred) - y_true).masked_fill(unlabelled, 0)
    squared = error.square()
    mean_squared = squared.sum((-2, -1)) / n
    apart = mean_squared if distance == "mse" else error.abs().sum((-2, -1)) / n
    if ccc_share == 0:
        return apart
    mean_true = y_true.masked_fill(unlabelled, 0).sum((-2, -1), keepdim=True) / n[..., None, None]
    true_from_mean = (y_true - mean_true).masked_fill(unlabelled, 0)
    pred_from_mean = error + true_from_mean
    scatter = (pred_from_mean.square() + true_from_mean.square()).sum((-2, -1)) / n
    least = _LEAST_SCATTER * found.clamp(max=1)  # without a label the loss is 0, not 1
    discord = (mean_squared + least) / (scatter + _LEAST_SCATTER)
    return discord if ccc_share == 1 else ccc_share * discord + (1 - ccc_share) * apart


def expression_loss(
    logits: torch.Tensor,
    y_true: torch.Tensor,
    is_labelled: torch.Tensor,
    class_weight: torch.Tensor | None = None,
    label_smoothing: float = 0.0,
    focal: float = 0.0,
) -> torch.Tensor:
    """Return the cross-entropy over labelled frames.

    A frame of class y with probability p_y counts

        class_weight[y] * (1 - p_y)^focal * (-(1 - s) log p_y - s mean of log p over all classes)

    with s for `label_smoothing`; weights are not divided out again.

    Args:
        logits: (B, T, 8).
        y_true: (B, T) int64.
        is_labelled: (B, T).
        class_weight: (8,), or None for 1.
        label_smoothing: share of the target that is spread over all classes.
        focal: power; 0 is plain cross-entropy.
    """
    unlabelled = ~is_labelled
    x = _at_least_float32(logits).masked_fill(unlabelled[..., None], 0).flatten(0, -2)  # (B * T, 8)
    y = y_true.masked_fill(unlabelled, _IGNORED).flatten()  # (B * T,)
    n = is_labelled.sum().clamp(min=1)
    if class_weight is not None:
        class_weight = class_weight.to(x.dtype)
    if label_smoothing == 0 and focal == 0:
        return F.cross_entropy(x, y, class_weight, reduction="sum", ignore_index=_IGNORED) / n
    log_p = F.log_softmax(x, dim=-1)
    surprise = F.nll_loss(log_p, y, reduction="none", ignore_index=_IGNORED)  # (B * T,)
    per_frame = surprise
    if label_smoothing:
        per_frame = (1 - label_smoothing) * surprise - label_smoothing * log_p.mean(dim=-1)
    if focal:
        doubt = -torch.expm1(-surprise)  # 1 - p of the true class, with all its digits
        per_frame = per_frame * doubt.clamp(min=_LEAST_DOUBT).pow(focal)
    if class_weight is not None:
        per_frame = per_frame * class_weight[y.clamp(min=0)]
    return per_frame.masked_fill(unlabelled.flatten(), 0).sum() / n


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
        positive_weight: (12,), weight of each AU's positives, or None for 1.
    """
    unlabelled = ~is_labelled
    x = _at_least_float32(logits).masked_fill(unlabelled, 0)
    total = F.binary_cross_entropy_with_logits(
        x,
        y_true.masked_fill(unlabelled, 0).to(x.dtype),
        weight=is_labelled.to(x.dtype),
        pos_weight=positive_weight,
        reduction="sum",
    )
    return total / is_labelled.sum().clamp(min=1)


def _at_least_float32(x: torch.Tensor) -> torch.Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


class MultiTaskLoss(nn.Module):
    """What a run minimises: the losses of its tasks, weighed together.

    Learned weights are its parameters: they are trained with the network's, without weight decay,
    clipped with them and saved with the state of training.

    Args:
        task_weight: trained task -> factor; other tasks have no part in it.
        ccc_share: share of 1 - CCC in the loss of valence and arousal.
        va_distance: what the rest of that loss is.
        class_weight: (8,) weights of the expressions, or None.
        positive_weight: (12,) weights of the AUs' positives, or None.
        label_smoothing: of the expressions' targets.
        focal: power of the focal loss of expressions.
        weighting: what else a task's loss is multiplied by.
    """

    class_weight: torch.Tensor | None
    positive_weight: torch.Tensor | None

    def __init__(
        self,
        task_weight: Mapping[Task, float],
        *,
        ccc_share: float,
        va_distance: Distance = "mse",
        class_weight: torch.Tensor | None = None,
        positive_weight: torch.Tensor | None = None,
        label_smoothing: float = 0.0,
        focal: float = 0.0,
        weighting: Weighting = "fixed",
    ) -> None:
        super().__init__()
        self.tasks: tuple[Task, ...] = tuple(task for task in TASKS if task in task_weight)
        self.ccc_share = ccc_share
        self.va_distance: Distance = va_distance
        self.label_smoothing = label_smoothing
        self.focal = focal
        # They follow from the labels and are computed again from them, so they are not saved.
        self.register_buffer("class_weight", class_weight, persistent=False)
        self.register_buffer("positive_weight", positive_weight, persistent=False)
        self.weighting = WEIGHTINGS[weighting](
            {task: float(task_weight[task]) for task in self.tasks}
        )

    def per_task(
        self, outputs: Mapping[Task, torch.Tensor], labels: Labels
    ) -> dict[Task, torch.Tensor]:
        """Return the loss of each trained task among the outputs, not yet weighed."""
        tasks = [task for task in self.tasks if task in outputs]
        losses: dict[Task, torch.Tensor] = {}
        affect = [task for task in tasks if task in AFFECT]
        if affect:  # both at once: half the kernels
            found = affect_loss(
                torch.stack([outputs[task] for task in affect]),
                torch.stack([labels.values[task] for task in affect]),
                torch.stack([labels.is_labelled[task] for task in affect]),
                self.ccc_share,
                self.va_distance,
            )
            losses |= zip(affect, found.unbind(), strict=True)
        if "expression" in tasks:
            losses["expression"] = expression_loss(
                outputs["expression"],
                labels.values["expression"],
                labels.is_labelled["expression"],
                self.class_weight,
                self.label_smoothing,
                self.focal,
            )
        if "au" in tasks:
            losses["au"] = au_loss(
                outputs["au"],
                labels.values["au"],
                labels.is_labelled["au"],
                self.positive_weight,
            )
        return losses

    def total(self, losses: Mapping[Task, torch.Tensor], labels: Labels) -> torch.Tensor:
        """Return what is minimised, of `per_task`'s losses and the labels behind them."""
        total: torch.Tensor = self.weighting(losses, labels.is_labelled)
        return total
