"""The optimiser steps of a run."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NoReturn

import torch

from ..core.device import Precision, autocast, compiled
from ..core.tasks import TASKS, Task
from .build_loss import build_loss
from .config import RunConfig
from .data.dataset import Plan, SequenceDataset
from .data.feeding import build_feed
from .errors import TemporalError, cannot_compile
from .nets.frameworks import Framework, Outputs
from .nets.state import State, detached, restarted, selected
from .optimisation import WeightAverage, build_optimizer, clip_gradients, rate_factor

_CHECKED_STEPS: Final = {"cpu": 1, "cuda": 32}
"""Steps between two looks at whether all losses were finite: on CUDA a look waits for the device.
Steps after one that was not are not taken there, either."""

Losses = dict[Task, torch.Tensor]


class TrainingLoop:
    """Steps over the epochs of a feed.

    Args:
        config: rates and sizes.
        network: what is trained, on the dataset's device.
        dataset: the training split.
        precision: of matrix products.

    Raises:
        TemporalError: there is no label.
    """

    def __init__(
        self,
        config: RunConfig,
        network: Framework,
        dataset: SequenceDataset,
        precision: Precision = "fp32",
    ) -> None:
        self.config = config
        self.network = network
        self.dataset = dataset
        self.precision: Precision = precision
        self.feed = build_feed(dataset, config, config.shown_by or network.tasks)
        self.loss = build_loss(config, dataset.lines, network.tasks, dataset.device)
        self._forward: Callable[..., tuple[Outputs, State]] = network
        if config.compile:
            self._forward = compiled(network, cannot_compile, dynamic=None)
        self._optimizer = build_optimizer(network, self.loss, config)
        learned = list(self.loss.parameters())
        self._parts = [[*network.parameters(), *learned]]
        if config.clip_by == "part":
            self._parts = [list(part.parameters()) for part in network.parts()]
            self._parts += [learned] if learned else []
        self._average = None if config.averaging == "none" else WeightAverage(network, config)
        self.epoch = 0
        """Epochs that are done."""
        self.step = 0
        """Steps of the current epoch that are done."""
        self.n_steps = 0
        """Steps that were taken in all."""
        self._carried: State = None
        self._sums: dict[str, torch.Tensor] = {}
        self._unchecked: list[tuple[Plan, Losses, torch.Tensor]] = []
        self._found_inf = torch.zeros((), device=dataset.device)

    @property
    def learning_rate(self) -> float:
        """Learning rate of the step before."""
        return float(self._optimizer.param_groups[0]["lr"])

    def steps(self) -> Iterator[None]:
        """Take the steps of the current epoch that are left, and yield after each.

        Raises:
            TemporalError: a loss or gradient is not finite; the weights are those before it.
        """
        plans = self.feed.epoch(self.epoch)
        if self.step == 0:
            self._carried, self._sums = None, {}
        self.network.train()
        while self.step < len(plans):
            plan = plans[self.step]
            done = (self.epoch + self.step / len(plans)) / self.config.epochs
            self._take(plan, done, 1 / len(plans) / self.config.epochs)
            self.step += 1
            yield
        self._check()
        self.epoch, self.step = self.epoch + 1, 0

    def losses(self) -> dict[Task, float]:
        """Return each task's loss per labelled element over the epoch so far."""
        return {
            task: float(self._sums[task] / self._sums[f"n_{task}"].clamp(min=1))
            for task in TASKS
            if task in self._sums
        }

    def _take(self, plan: Plan, done: float, step: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = self.config.learning_rate * rate_factor(self.config, done, step)
        if self.config.truth_until > 0:
            rate = self.config.truth_rate * max(0.0, 1 - done / self.config.truth_until)
            self.network.truth_rate.fill_(rate)
        if not plan.has_labels:  # only the state goes on: momentum must not move the weights
            with torch.no_grad():
                self._losses(plan)
            return
        losses, total = self._losses(plan)
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        norm = clip_gradients(self._parts, self.config.clip_norm)
        self._unchecked.append((plan, losses, norm))
        is_bad = ~(torch.isfinite(total.detach()) & torch.isfinite(norm))
        self._found_inf = torch.maximum(self._found_inf, is_bad.float())
        self.n_steps += 1
        if len(self._unchecked) >= _CHECKED_STEPS.get(self.dataset.device.type, 1):
            self._check()
        # What a gradient scaler uses: the step is left out on the device, without a wait for it.
        self._optimizer.found_inf = self._found_inf  # type: ignore[attr-defined]
        self._optimizer.step()
        if self._average is not None:
            self._average.update(done + step)

    def _losses(self, plan: Plan) -> tuple[Losses, torch.Tensor]:
        """Return each task's loss and the weighted sum, and carry the state on."""
        batch = self.dataset.batch(plan)
        state = self._carried if plan.is_start is not None else None
        if plan.kept is not None:
            state = selected(state, plan.kept)
        if plan.is_start is not None:
            state = restarted(state, plan.is_start)
        is_frame = batch.is_frame
        if plan.is_start is not None:
            # Only the last segment of a video is padded, and the state behind it is not used: to a
            # network that looks back only, padding may as well be frames, which costs less.
            is_frame = torch.ones_like(is_frame)
        with autocast(self.dataset.device, self.precision):
            outputs, state = self._forward(batch.features, is_frame, state, batch.labels)
        self._carried = detached(state)
        losses = self.loss.per_task(outputs, batch.labels)
        for task, loss in losses.items():
            n = batch.labels.is_labelled[task].sum()
            for key, value in ((task, loss.detach() * n), (f"n_{task}", n)):
                before = self._sums.get(key)
                self._sums[key] = value if before is None else before + value
        return losses, self.loss.total(losses, batch.labels)

    def _check(self) -> None:
        """Raise TemporalError if a step since the last look was not finite."""
        steps, self._unchecked = self._unchecked, []
        if not steps or not bool(self._found_inf):
            return
        for number, (plan, losses, norm) in enumerate(steps):
            bad = [task for task, loss in losses.items() if not torch.isfinite(loss)]
            if bad or not torch.isfinite(norm):
                what = "loss" if bad else "gradient"
                step = self.n_steps - len(steps) + number + 1
                self._refuse(what, bad or self.network.tasks, step, plan)

    def _refuse(self, what: str, tasks: Sequence[Task], step: int, plan: Plan) -> NoReturn:
        message = (
            f"the {what} must be finite, but that of {', '.join(tasks)} is not at step {step} with "
            f"the videos {', '.join(self.dataset.videos(plan))}; lower learning_rate, or look at "
            f"those features"
        )
        raise TemporalError(message)

    def judged_network(self) -> Framework:
        """Return the network whose weights are judged and kept: the trained one, or its average."""
        if self._average is None:
            return self.network
        judged = copy.deepcopy(self.network)
        judged.load_state_dict(self._average.weights)
        return judged

    def state(self) -> dict[str, Any]:
        """Return all that it takes to go on from here, as tensors and plain values."""
        device = self.dataset.device
        return {
            "epoch": self.epoch,
            "step": self.step,
            "n_steps": self.n_steps,
            "network": self.network.state_dict(),
            "loss": self.loss.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "average": None if self._average is None else self._average.weights,
            "n_averaged": 0 if self._average is None else self._average.n_steps,
            "carried": self._carried,
            "sums": self._sums,
            "rng": torch.get_rng_state(),
            "device_rng": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state` returned."""
        device = self.dataset.device
        self.epoch, self.step, self.n_steps = state["epoch"], state["step"], state["n_steps"]
        self.network.load_state_dict(state["network"])
        self.loss.load_state_dict(state["loss"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._average is not None:
            for key, value in state["average"].items():
                self._average.weights[key].copy_(value)
            self._average.n_steps = state["n_averaged"]
        self._carried = _on(state["carried"], device)
        self._sums = {key: value.to(device) for key, value in state["sums"].items()}
        torch.set_rng_state(state["rng"])
        if state["device_rng"] is not None:
            torch.cuda.set_rng_state(state["device_rng"], device)


def _on(state: State, device: torch.device) -> State:
    if isinstance(state, torch.Tensor):
        return state.to(device)
    return None if state is None else tuple(_on(part, device) for part in state)


@contextmanager
def cpu_threads(n: int) -> Iterator[None]:
    """Run the block with `n` CPU threads per operation."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
