"""Frameworks whose tasks feed each other: hidden states, or labels."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

from ...core.tasks import N_AUS, N_EXPRESSIONS, Task
from ..config import RunConfig
from ..losses import Labels
from .frameworks import FRAMEWORKS, Outputs, graph_of
from .heads import TaskHead, outputs_of
from .sharing import TaskEncoders
from .state import State

PAPER_GRAPH = "valence+au>arousal"
"""What the winners' training script feeds."""


@FRAMEWORKS.register("sbe-hsf")
class HiddenFeedback(TaskEncoders):
    """Share bottom whose targets also get the hidden states of other tasks (the paper's SBE-HSF).

    A source's hidden state is that of the last hidden layer of its head, as in the published
    code; of a head without one, its encoder's output. Targets get the shared layers' output, then
    their sources' states in the order of the graph. Without edges it is `sbe`.

    Args:
        n_features: F.
        config: as for `sbe`; `feedback_gradient` says whether a target's loss trains its sources.
        tasks: those that are trained.
        graph: `valence+au>arousal`; by default that, as far as its tasks are trained.
    """

    def __init__(
        self, n_features: int, config: RunConfig, tasks: Sequence[Task], graph: str | None = None
    ) -> None:
        super().__init__(n_features, config, tasks, graph_of(graph, tasks, PAPER_GRAPH))

    def fed_width(self, source: Task) -> int:
        """Return the width of the last hidden layer of a task's head."""
        return self._head(source).n_hidden

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
        states: dict[Task, torch.Tensor] = {}
        for task in self.order:
            fed = [states[source] for source in self.graph.sources.get(task, ())]
            if not self.config.feedback_gradient:
                fed = [source.detach() for source in fed]
            x = torch.cat([hidden[task], *fed], dim=2) if fed else hidden[task]  # (B, T, H + …)
            y, own[task] = self.encoders[task](x, is_frame, own[task])
            head = self._head(task)
            states[task] = head.hidden(y)  # (B, T, last hidden width)
            outputs[task] = outputs_of(head.out(states[task]), task)
        return self.in_order(outputs), self.end(shared, own)

    def _head(self, task: Task) -> TaskHead:
        return cast(TaskHead, self.heads[task])


@FRAMEWORKS.register("label-feedback")
class LabelFeedback(TaskEncoders):
    """Share bottom whose targets also get what was predicted for other tasks, embedded.

    Valence and arousal scale one learned vector by (value + 1) / 2; expressions and AUs mix one
    vector a class by their probabilities, AUs as a sum. In training, a share `truth_rate` of the
    labelled frames is fed its true label instead; frames without a label never are. An `oracle` is
    fed the true label of every labelled frame, always.

    Args:
        n_features: F.
        config: as for `sbe`; `label_width` of the vectors; `feedback_gradient`.
        tasks: those that are trained.
        graph: as for `sbe-hsf`.
    """

    def __init__(
        self, n_features: int, config: RunConfig, tasks: Sequence[Task], graph: str | None = None
    ) -> None:
        super().__init__(n_features, config, tasks, graph_of(graph, tasks, PAPER_GRAPH))
        fed = {source for sources in self.graph.sources.values() for source in sources}
        self.embeddings = nn.ModuleDict(
            {
                task: nn.Linear(_N_VECTORS.get(task, 1), config.label_width, bias=False)
                for task in self.tasks
                if task in fed
            }
        )

    def fed_width(self, source: Task) -> int:
        """Return the width of a label embedding."""
        return self.config.label_width

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
        embedded: dict[Task, torch.Tensor] = {}
        for task in self.order:
            fed = [embedded[source] for source in self.graph.sources.get(task, ())]
            x = torch.cat([hidden[task], *fed], dim=2) if fed else hidden[task]
            y, own[task] = self.encoders[task](x, is_frame, own[task])
            outputs[task] = outputs_of(self.heads[task](y), task)
            if task in self.embeddings:
                embedded[task] = self.embeddings[task](self._fed(task, outputs[task], labels))
        return self.in_order(outputs), self.end(shared, own)

    def _fed(self, task: Task, output: torch.Tensor, labels: Labels | None) -> torch.Tensor:
        """Return the weights (B, T, n) of a task's vectors: predicted, or partly true."""
        if not self.config.feedback_gradient:
            output = output.detach()
        predicted = _weights(task, output)
        if labels is None or not (self.training or self.config.oracle):
            return predicted
        is_labelled = labels.is_labelled[task]
        true = _true_weights(task, labels.values[task]).to(predicted.dtype)
        if is_labelled.ndim == 2:
            is_labelled = is_labelled[..., None]
        if self.config.oracle:
            return torch.where(is_labelled, true, predicted)
        chance = torch.rand(output.shape[:2], device=output.device)[..., None]  # (B, T, 1)
        return torch.where(is_labelled & (chance < self.truth_rate), true, predicted)


_N_VECTORS: dict[Task, int] = {"expression": N_EXPRESSIONS, "au": N_AUS}


def _weights(task: Task, output: torch.Tensor) -> torch.Tensor:
    """Return the weights (B, T, n) of the vectors of what was predicted."""
    if task == "expression":
        return output.softmax(dim=-1)
    if task == "au":
        return output.sigmoid()
    return ((output + 1) / 2)[..., None]


def _true_weights(task: Task, values: torch.Tensor) -> torch.Tensor:
    """Return the weights (B, T, n) of the vectors of true labels."""
    if task == "expression":
        # Unlike `one_hot`, this takes whatever stands where there is no label.
        return values[..., None] == torch.arange(N_EXPRESSIONS, device=values.device)
    if task == "au":
        return values
    return ((values + 1) / 2)[..., None]
