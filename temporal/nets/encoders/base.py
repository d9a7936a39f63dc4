"""What an encoder is."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

import torch
from torch import nn

from ....core.registry import Registry
from ...config import RunConfig
from ..state import State


class Encoder(nn.Module, ABC):
    """A temporal network over segments.

    Args:
        n_features: F.
        config: sizes and rates.
        layers: how many layers, at least 1.
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
            state: what an earlier call returned for the segments before; None at video starts,
                and zeros in the rows that start.

        Returns:
            (B, T, H), and the state after each row's last real frame: a tensor with the batch
            first or a tuple of such; None if nothing is carried.
        """


EncoderBuilder = Callable[[int, RunConfig, int], Encoder]
ENCODERS: Final[Registry[EncoderBuilder]] = Registry("encoder")
