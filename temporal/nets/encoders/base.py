"""What an encoder is."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

import torch
from torch import nn

from ....core.registry import Registry
from ...config import RunConfig

State = torch.Tensor | None
"""What an encoder carries from one segment to the next; None is the start of a video."""


class Encoder(nn.Module, ABC):
    """A temporal network over segments.

    Args:
        n_features: F.
        config: sizes and rates.
    """

    n_outputs: int
    """H, the width of what it gives for a frame."""
    is_causal: bool
    """Whether a frame's output depends on earlier frames only, so that state can be carried."""

    @abstractmethod
    def forward(
        self, features: torch.Tensor, is_frame: torch.Tensor, state: State = None
    ) -> tuple[torch.Tensor, State]:
        """Encode a batch of segments.

        Args:
            features: (B, T, F) float.
            is_frame: (B, T) boolean, True = real; padding is at the end only.
            state: what an earlier call returned for the segments before; None at video starts.

        Returns:
            (B, T, H), and the state after the last frame.
        """


ENCODERS: Final[Registry[Callable[[int, RunConfig], Encoder]]] = Registry("encoder")
