"""What a multi-task framework is, and what all are made of."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import nn

from ...core.errors import UsageError
from ...core.registry import Registry
from ...core.tasks import TASK_WIDTH, TASKS, Task
from ..config import RunConfig
from ..losses import Labels
from .dropout import Dropout
from .encoders import Encoder, find_encoder
from .encoders.none import NoEncoder
from .graph import TaskGraph
from .heads import TaskHead
from .state import State

Outputs = dict[Task, torch.Tensor]
"""Trained task -> (B, T) for valence and arousal, (B, T, 8) and (B, T, 12) logits."""


class Framework(nn.Module, ABC):
    """A whole temporal multi-task network.

    Args:
        config: sizes and rates.
        tasks: those that are trained; the network has no part for the others.
    """

    is_causal: bool
    """Whether state can be carried over segments."""
    truth_rate: torch.Tensor
    """() share of labelled frames whose true label is fed back; training sets it."""

    def __init__(self, config: RunConfig, tasks: Sequence[Task]) -> None:
        super().__init__()
        self.config = config
        self.tasks: tuple[Task, ...] = tuple(task for task in TASKS if task in tasks)
        self.register_buffer("truth_rate", torch.zeros(()), persistent=False)

    @abstractmethod
    def forward(
        self,
        features: torch.Tensor,
        is_frame: torch.Tensor,
        state: State = None,
        labels: Labels | None = None,
    ) -> tuple[Outputs, State]:
        """Return the outputs of all trained tasks, and the state to carry.

        Args:
            features: (B, T, F).
            is_frame: (B, T) boolean.
            state: what the segment before returned.
            labels: of a training batch; only `label-feedback` looks at them.
        """

    def parts(self) -> list[nn.Module]:
        """Return the encoders, heads and what else there is, for gradients clipped part by part."""
        found: list[nn.Module] = []
        for child in self.children():
            found += child.children() if isinstance(child, nn.ModuleDict) else [child]
        return [part for part in found if any(True for _ in part.parameters())]


FrameworkBuilder = Callable[[int, RunConfig, Sequence[Task], str | None], Framework]
FRAMEWORKS: Final[Registry[FrameworkBuilder]] = Registry("framework")
"""Each takes F, the config, the trained tasks and the text after the colon of its name, if any."""


def split_name(framework: str) -> tuple[str, str | None]:
    """Return (name, graph) of a setting like `sbe-hsf:valence+au>arousal`.

    >>> split_name("sbe-hsf:au>arousal"), split_name("se")
    (('sbe-hsf', 'au>arousal'), ('se', None))
    """
    name, colon, graph = framework.partition(":")
    return name, graph if colon else None


def no_graph(name: str, graph: str | None) -> None:
    """Refuse a graph given to a framework whose tasks do not feed each other.

    Raises:
        UsageError: there is one.
    """
    if graph is not None:
        message = (
            f"the framework {name} takes no graph, but got {graph!r}; use sbe-hsf or label-feedback"
        )
        raise UsageError(message)


def graph_of(graph: str | None, tasks: Sequence[Task], default: str) -> TaskGraph:
    """Return the graph of a framework, checked against the trained tasks.

    Without a text it is `default`, without the tasks that are not trained.
    """
    if graph is not None:
        found = TaskGraph.parse(graph)
        found.order(tasks)
        return found
    whole = TaskGraph.parse(default).sources
    kept = {
        target: tuple(source for source in sources if source in tasks)
        for target, sources in whole.items()
        if target in tasks
    }
    return TaskGraph({target: sources for target, sources in kept.items() if sources})


class Projection(nn.Sequential):
    """A linear layer in front of the encoder, which keeps its size apart from the features'.

    Args:
        n_features: F.
        config: `projection` (0 leaves it out), `input_dropout`, `dropout`.
    """

    def __init__(self, n_features: int, config: RunConfig) -> None:
        self.n_outputs = n_features
        layers: list[nn.Module] = []
        if config.projection:
            layers = [
                Dropout(config.input_dropout),
                nn.Linear(n_features, config.projection),
                nn.ReLU(),
                Dropout(config.dropout),
            ]
        super().__init__(*layers)
        self.n_outputs = config.projection or n_features


def build_encoder(n_features: int, config: RunConfig, layers: int) -> Encoder:
    """Return an encoder of the config's kind; of 0 layers it gives back what it gets.

    Raises:
        NameLookupError: there is no such encoder.
        UsageError: it cannot be built with these settings, or is a user's own and not sound.
    """
    if layers == 0:
        return NoEncoder(n_features, config, 0)
    return find_encoder(n_features, config, layers)[0]


def task_head(n_inputs: int, task: Task, config: RunConfig) -> TaskHead:
    """Return the head of a task."""
    return TaskHead(n_inputs, config.head_hidden, TASK_WIDTH[task], config.dropout)
