"""One head a task: from what the encoder gives for a frame to the task's outputs."""

from collections.abc import Sequence

import torch
from torch import nn

from ...core.tasks import TASK_WIDTH, Task
from .dropout import Dropout


class TaskHead(nn.Module):
    """Dropout, then Linear, ReLU and dropout for every hidden layer, then a linear output.

    Outputs are raw: valence and arousal without a squashing function, expressions and AUs as
    logits.

    Args:
        n_inputs: H.
        hidden: widths of the hidden layers.
        n_outputs: C.
        dropout: rate in front of every linear layer.
    """

    def __init__(
        self, n_inputs: int, hidden: Sequence[int], n_outputs: int, dropout: float
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [Dropout(dropout)]
        for width in hidden:
            layers += [nn.Linear(n_inputs, width), nn.ReLU(), Dropout(dropout)]
            n_inputs = width
        self.n_hidden = n_inputs
        """Width of what `hidden` gives."""
        self.hidden = nn.Sequential(*layers)
        self.out = nn.Linear(n_inputs, n_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, T, C) of (B, T, H)."""
        y: torch.Tensor = self.out(self.hidden(x))
        return y


def outputs_of(y: torch.Tensor, task: Task) -> torch.Tensor:
    """Return a head's (B, T, C) as the outputs of a task: (B, T) for valence and arousal."""
    return y.squeeze(-1) if TASK_WIDTH[task] == 1 else y
