"""From a config and the training split's labels to the loss."""

from collections.abc import Sequence

import numpy as np
import torch

from ..core.tasks import N_AUS, N_EXPRESSIONS, Task
from .config import RunConfig
from .data.timeline import Timeline
from .losses import MultiTaskLoss


def build_loss(
    config: RunConfig, lines: Sequence[Timeline], tasks: Sequence[Task], device: torch.device
) -> MultiTaskLoss:
    """Return the loss of a run, its class and positive weights from the training split's labels.

    Args:
        config: `weight_...`, `balance_...` and what else shapes the loss.
        lines: the training split.
        tasks: those that are trained.
        device: where its parameters and weights are.
    """
    class_weight = positive_weight = None
    if "expression" in tasks and config.balance_expression > 0:
        class_weight = torch.from_numpy(_class_weight(lines, config.balance_expression))
    if "au" in tasks and config.balance_au > 0:
        positive_weight = torch.from_numpy(_positive_weight(lines, config.balance_au))
    weights = config.task_weights
    return MultiTaskLoss(
        {task: weights[task] for task in tasks},
        ccc_share=config.ccc_share,
        va_distance=config.va_distance,
        class_weight=class_weight,
        positive_weight=positive_weight,
        label_smoothing=config.label_smoothing,
        focal=config.focal,
        weighting=config.weighting,
    ).to(device)


def _class_weight(lines: Sequence[Timeline], power: float) -> np.ndarray:
    """Return (8,) float32, inverse frequency to a power; 0 for a class that does not occur."""
    count = np.zeros(N_EXPRESSIONS)
    for line in lines:
        found = line.values["expression"][line.is_labelled["expression"]]
        count += np.bincount(found, minlength=N_EXPRESSIONS)
    weight = (count.sum() / np.maximum(count, 1)) ** power
    weight = np.where(count > 0, weight, 0)
    # Mean 1 over the training frames, so that the task's weight does not change with balancing.
    weight /= max(1e-12, (weight * count).sum() / max(1, count.sum()))
    return weight.astype(np.float32)


def _positive_weight(lines: Sequence[Timeline], power: float) -> np.ndarray:
    """Return (12,) float32, negatives over positives to a power, either at least one."""
    positives, negatives = np.zeros(N_AUS), np.zeros(N_AUS)
    for line in lines:
        mask, au = line.is_labelled["au"], line.values["au"] > 0
        positives += (au & mask).sum(axis=0)
        negatives += (~au & mask).sum(axis=0)
    weight = (np.maximum(negatives, 1) / np.maximum(positives, 1)) ** power
    return weight.astype(np.float32)
