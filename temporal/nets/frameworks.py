"""Multi-task frameworks: how tasks share an encoder."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

import torch
from torch import nn

from ...core.registry import Registry
from ...core.tasks import TASK_WIDTH, TASKS, Task
from ..config import RunConfig
from .encoders import ENCODERS, State
from .heads import TaskHead

Outputs = dict[Task, torch.Tensor]
"""Task -> (B, T) for valence and arousal, (B, T, 8) and (B, T, 12) logits for the others."""


class Framework(nn.Module, ABC):
    """A whole temporal multi-task network."""

    is_causal: bool
    """Whether state can be carried over segments."""

    @abstractmethod
    def forward(
        self, features: torch.Tensor, is_frame: torch.Tensor, state: State = None
    ) -> tuple[Outputs, State]:
        """Return the outputs of all tasks for (B, T, F) features, and the state to carry."""


FRAMEWORKS: Final[Registry[Callable[[int, RunConfig], Framework]]] = Registry("framework")


@FRAMEWORKS.register("se")
class ShareEncoder(Framework):
    """One encoder for all tasks, one head a task (the paper's SE).

    Args:
        n_features: F.
        config: sizes and rates; `projection` puts a linear layer in front of the encoder, which
            keeps its size apart from the features'.
    """

    def __init__(self, n_features: int, config: RunConfig) -> None:
        super().__init__()
        self.projection: nn.Module = nn.Identity()
        if config.projection:
            self.projection = nn.Sequential(
                nn.Dropout(config.input_dropout),
                nn.Linear(n_features, config.projection),
                nn.ReLU(),
                nn.Dropout(config.dropout),
            )
            n_features = config.projection
        self.encoder = ENCODERS[config.encoder](n_features, config)
        self.is_causal = self.encoder.is_causal
        self.heads = nn.ModuleDict(
            {
                task: TaskHead(
                    self.encoder.n_outputs, config.head_hidden, TASK_WIDTH[task], config.dropout
                )
                for task in TASKS
            }
        )

    def forward(
        self, features: torch.Tensor, is_frame: torch.Tensor, state: State = None
    ) -> tuple[Outputs, State]:
        """Return the outputs of all tasks for (B, T, F) features, and the state to carry."""
        hidden, state = self.encoder(self.projection(features), is_frame, state)
        outputs: Outputs = {task: self.heads[task](hidden) for task in TASKS}
        for task in TASKS:
            if TASK_WIDTH[task] == 1:
                outputs[task] = outputs[task].squeeze(-1)  # (B, T, 1) -> (B, T)
        return outputs, state


def build_network(n_features: int, config: RunConfig) -> Framework:
    """Return the network of a config, its weights drawn from `config.seed`.

    Raises:
        NameLookupError: there is no such encoder or framework.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return FRAMEWORKS[config.framework](n_features, config)
