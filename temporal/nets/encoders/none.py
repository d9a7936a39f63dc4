"""No temporal network: what is in front of it goes straight to the heads."""

import torch

from ...config import RunConfig
from ..state import State
from .base import ENCODERS, Encoder


@ENCODERS.register("none")
class NoEncoder(Encoder):
    """The frame by frame control: gives back what it gets.

    Args:
        n_features: F, which is H too.
        config: nothing of it is used.
        layers: as little.
    """

    def __init__(self, n_features: int, config: RunConfig, layers: int) -> None:
        super().__init__()
        self.n_outputs = n_features
        self.is_causal = True

    def forward(
        self,
        features: torch.Tensor,
        is_frame: torch.Tensor,
        state: State = None,
    ) -> tuple[torch.Tensor, State]:
        """Return the features and no state."""
        return features, None
