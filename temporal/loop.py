"""The optimiser steps of a run, and the loss they minimise."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import numpy as np
import torch
from torch.optim.lr_scheduler import LambdaLR

from ..core.tasks import N_AUS, N_EXPRESSIONS, TASKS, Task
from .config import RunConfig
from .data.dataset import Batch, SequenceDataset
from .data.timeline import Timeline
from .errors import TemporalError
from .losses import MultiTaskLoss
from .nets.frameworks import Framework


class TrainingLoop:
    """Optimiser steps over shuffled windows.

    Args:
        config: rates and sizes; `data_seed` draws the order of the windows.
        network: what is trained, on `device`.
        dataset: the training split, on `device`.
        device: where the steps run.

    Raises:
        TemporalError: no window holds a label.
    """

    def __init__(
        self,
        config: RunConfig,
        network: Framework,
        dataset: SequenceDataset,
        device: torch.device,
    ) -> None:
        self._config = config
        self._network = network
        self._dataset = dataset
        self._device = device
        self._segments = dataset.segments(config.segment_length, config.stride)
        if not self._segments:
            message = "training needs labelled frames, but the split has none; check the labels"
            raise TemporalError(message)
        self._generator = torch.Generator().manual_seed(config.data_seed)
        self.loss = build_loss(config, dataset.lines, device)
        self._optimizer = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.steps_per_epoch = math.ceil(len(self._segments) / config.batch_size)
        n_steps = config.epochs * self.steps_per_epoch
        self._schedule = LambdaLR(self._optimizer, warmup_cosine(n_steps, config.warmup))
        self._step = 0

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        return float(self._schedule.get_last_lr()[0])

    def batches(self) -> Iterator[Batch]:
        """Yield all windows once, in the next random order."""
        return self._dataset.shuffled_batches(
            self._segments, self._config.batch_size, self._generator
        )

    def epoch(self) -> dict[Task, float]:
        """Go through all windows once; return each task's loss per labelled element."""
        self._network.train()
        sums = {task: torch.zeros((), device=self._device) for task in TASKS}
        counts = {task: torch.zeros((), device=self._device) for task in TASKS}
        for batch in self.batches():
            for task, loss in self.step(batch).items():
                n = batch.labels.is_labelled[task].sum()
                sums[task] += loss.detach() * n
                counts[task] += n
        return {task: float(sums[task] / counts[task].clamp(min=1)) for task in TASKS}

    def step(self, batch: Batch) -> dict[Task, torch.Tensor]:
        """Take one optimiser step and return each task's loss before it.

        Raises:
            TemporalError: the loss or its gradient is not finite; no weight is changed.
        """
        self._step += 1
        losses = self.backward(batch)
        norm = torch.nn.utils.clip_grad_norm_(self._network.parameters(), self._config.clip_norm)
        if not torch.isfinite(norm):
            self._refuse("gradient", TASKS, batch)
        self._optimizer.step()
        self._schedule.step()
        return losses

    def backward(self, batch: Batch) -> dict[Task, torch.Tensor]:
        """Leave the gradient of the loss in the network and return each task's loss."""
        outputs, _ = self._network(batch.features, batch.is_frame)
        losses = self.loss.per_task(outputs, batch.labels)
        total = self.loss.total(losses)
        if not torch.isfinite(total):
            bad = [task for task, loss in losses.items() if not torch.isfinite(loss)]
            self._refuse("loss", bad, batch)
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        return losses

    def _refuse(self, what: str, tasks: Sequence[Task], batch: Batch) -> NoReturn:
        message = (
            f"the {what} must be finite, but that of {', '.join(tasks)} is not at step "
            f"{self._step} with the videos {', '.join(dict.fromkeys(batch.videos))}; lower "
            f"learning_rate, or look at those features"
        )
        raise TemporalError(message)


def warmup_cosine(n_steps: int, warmup: float) -> Callable[[int], float]:
    """Return step -> factor: rises over the share `warmup` of the steps, then falls to 0.

    The first step is not dead: its factor is above 0.
    """
    n_warm = max(1, round(warmup * n_steps))

    def factor(step: int) -> float:
        if step < n_warm:
            return (step + 1) / n_warm
        share = (step - n_warm) / max(1, n_steps - n_warm)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))

    return factor


def build_loss(config: RunConfig, lines: Sequence[Timeline], device: torch.device) -> MultiTaskLoss:
    """Return the loss with class and positive weights from the training split's labels."""
    expressions = np.zeros(N_EXPRESSIONS)
    positives, negatives = np.zeros(N_AUS), np.zeros(N_AUS)
    for line in lines:
        found = line.values["expression"][line.is_labelled["expression"]]
        expressions += np.bincount(found, minlength=N_EXPRESSIONS)
        mask, au = line.is_labelled["au"], line.values["au"] > 0
        positives += (au & mask).sum(axis=0)
        negatives += (~au & mask).sum(axis=0)
    class_weight = (expressions.sum() / np.maximum(expressions, 1)) ** config.balance_expression
    class_weight = np.where(expressions > 0, class_weight, 0)
    # Mean 1 over the training frames, so that the task's weight does not change with balancing.
    class_weight /= max(1e-12, (class_weight * expressions).sum() / max(1, expressions.sum()))
    positive_weight = (np.maximum(negatives, 1) / np.maximum(positives, 1)) ** config.balance_au
    return MultiTaskLoss(
        task_weight=config.task_weights,
        ccc_share=config.ccc_share,
        class_weight=torch.tensor(class_weight, dtype=torch.float32, device=device),
        positive_weight=torch.tensor(positive_weight, dtype=torch.float32, device=device),
    )


@contextmanager
def cpu_threads(n: int) -> Iterator[None]:
    """Run the block with `n` CPU threads per operation."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
