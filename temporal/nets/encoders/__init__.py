"""Temporal encoders by name; importing an encoder's module registers it.

Every encoder maps `(B, T, F), is_frame (B, T), state` to `(B, T, H), state`. What it gives for a
real frame depends neither on padding nor on the other sequences of the batch.
"""

from .base import ENCODERS, Encoder, State
from .gru import GruEncoder

__all__ = ["ENCODERS", "Encoder", "GruEncoder", "State"]
