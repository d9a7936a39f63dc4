"""Frameworks whose tasks share layers, or nothing: `single`, `se`, `sbe`."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ...core.tasks import Task
from ..config import RunConfig
from ..losses import Labels
from .frameworks import (
    FRAMEWORKS,
    Framework,
    Outputs,
    Projection,
    build_encoder,
    no_graph,
    task_head,
)
from .graph import TaskGraph
from .heads import outputs_of
from .state import State


@FRAMEWORKS.register("se")
class ShareEncoder(Framework):
    """One encoder for all tasks, one head a task (the paper's SE).

    Args:
        n_features: F.
        config: sizes and rates; the encoder has `layers`.
        tasks: those that are trained.
        graph: None.
    """

    def __init__(
        self, n_features: int, config: RunConfig, tasks: Sequence[Task], graph: str | None = None
    ) -> None:
        super().__init__(config, tasks)
        no_graph("se", graph)
        self.projection = Projection(n_features, config)
        self.encoder = build_encoder(self.projection.n_outputs, config, config.layers)
        self.is_causal = self.encoder.is_causal
        self.heads = nn.ModuleDict(
            {task: task_head(self.encoder.n_outputs, task, config) for task in self.tasks}
        )

    def forward(
        self,
        features: torch.Tensor,
        is_frame: torch.Tensor,
        state: State = None,
        labels: Labels | None = None,
    ) -> tuple[Outputs, State]:
        """Return the outputs of all trained tasks, and the encoder's state."""
        hidden, state = self.encoder(self.projection(features), is_frame, state)
        return {task: outputs_of(self.heads[task](hidden), task) for task in self.tasks}, state


class TaskEncoders(Framework):
    """Layers that all tasks share, then an encoder and a head of each task's own.

    With `shared_layers` 0 the tasks share nothing: the projection is each task's own, too.

    Args:
        n_features: F.
        config: `shared_layers` and `task_layers` of the encoder's kind.
        tasks: those that are trained.
        graph: which tasks feed which; what a task is fed comes beside the shared layers' output.
    """

    def __init__(
        self, n_features: int, config: RunConfig, tasks: Sequence[Task], graph: TaskGraph
    ) -> None:
        super().__init__(config, tasks)
        self.graph = graph
        self.order = graph.order(self.tasks)
        """The tasks, each after those that feed it."""
        has_shared = config.shared_layers > 0
        self.projection = Projection(n_features, config) if has_shared else None
        width = config.projection or n_features
        self.shared = build_encoder(width, config, config.shared_layers)
        self.projections = nn.ModuleDict(
            {} if has_shared else {task: Projection(n_features, config) for task in self.order}
        )
        """A task's own, where no layer is shared."""
        changes: dict[str, Any] = {"heads": config.task_heads or config.heads}
        if config.shared_layers and config.positions == "sinusoidal":
            changes["positions"] = "none"  # the shared layers have added the code already
        own = config.model_copy(update=changes)
        self.encoders = nn.ModuleDict()
        self.heads = nn.ModuleDict()
        encoders = [self.shared]
        for task in self.order:
            fed = sum(self.fed_width(source) for source in graph.sources.get(task, ()))
            encoder = build_encoder(self.shared.n_outputs + fed, own, config.task_layers)
            self.encoders[task] = encoder
            self.heads[task] = task_head(encoder.n_outputs, task, config)
            encoders.append(encoder)
        self.is_causal = all(encoder.is_causal for encoder in encoders)

    @abstractmethod
    def fed_width(self, source: Task) -> int:
        """Return the width of what a task, already built, feeds to others."""

    def begin(
        self, features: torch.Tensor, is_frame: torch.Tensor, state: State
    ) -> tuple[dict[Task, torch.Tensor], State, dict[Task, State]]:
        """Return what each task's encoder gets at the bottom, the shared state and its own."""
        before, own = state if isinstance(state, tuple) else (None, None)
        states = own if isinstance(own, tuple) else (None,) * len(self.tasks)
        own_states = dict(zip(self.tasks, states, strict=True))
        if self.projection is None:
            bottom = {task: self.projections[task](features) for task in self.tasks}
            return bottom, None, own_states
        hidden, after = self.shared(self.projection(features), is_frame, before)
        return dict.fromkeys(self.tasks, hidden), after, own_states

    def in_order(self, outputs: Outputs) -> Outputs:
        """Return the outputs in the order of the tasks."""
        return {task: outputs[task] for task in self.tasks}

    def end(self, shared: State, own: dict[Task, State]) -> State:
        """Return the state to carry."""
        return (shared, tuple(own[task] for task in self.tasks)) if self.is_causal else None


@FRAMEWORKS.register("sbe")
class ShareBottom(TaskEncoders):
    """Layers that all tasks share, then layers of each task's own (the paper's SBE).

    With `task_layers` 0 it is `se` with `shared_layers` layers.

    Args:
        n_features: F.
        config: `shared_layers` and `task_layers` of the encoder's kind.
        tasks: those that are trained.
        graph: None.
    """

    def __init__(
        self, n_features: int, config: RunConfig, tasks: Sequence[Task], graph: str | None = None
    ) -> None:
        no_graph("sbe", graph)
        super().__init__(n_features, config, tasks, TaskGraph({}))

    def fed_width(self, source: Task) -> int:
        """Return 0: no task feeds another."""
        return 0

    def forward(
        self,
        features: torch.Tensor,
        is_frame: torch.Tensor,
        state: State = None,
        labels: Labels | None = None,
    ) -> tuple[Outputs, State]:
        """Return the outputs of all trained tasks, and the state of all encoders."""
        hidden, shared, own = self.begin(features, is_frame, state)
        outputs: Outputs = {}
        for task in self.tasks:
            y, own[task] = self.encoders[task](hidden[task], is_frame, own[task])
            outputs[task] = outputs_of(self.heads[task](y), task)
        return outputs, self.end(shared, own)


@FRAMEWORKS.register("single")
class SingleTask(Framework):
    """A network for each task, none of which shares anything: the control.

    Args:
        n_features: F.
        config: sizes and rates of each; the encoder has `layers`.
        tasks: those that are trained.
        graph: None.
    """

    def __init__(
        self, n_features: int, config: RunConfig, tasks: Sequence[Task], graph: str | None = None
    ) -> None:
        super().__init__(config, tasks)
        no_graph("single", graph)
        self.networks = nn.ModuleDict(
            {task: ShareEncoder(n_features, config, [task]) for task in self.tasks}
        )
        self.is_causal = all(bool(net.is_causal) for net in self.networks.values())

    def forward(
        self,
        features: torch.Tensor,
        is_frame: torch.Tensor,
        state: State = None,
        labels: Labels | None = None,
    ) -> tuple[Outputs, State]:
        """Return the outputs of all trained tasks, and the state of all networks."""
        before = state if isinstance(state, tuple) else (None,) * len(self.tasks)
        outputs: Outputs = {}
        after: list[State] = []
        for task, own in zip(self.tasks, before, strict=True):
            output, own_after = self.networks[task](features, is_frame, own, labels)
            outputs |= output
            after.append(own_after)
        return outputs, tuple(after) if self.is_causal else None
