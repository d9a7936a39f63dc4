"""Temporal encoders by name; importing an encoder's module registers it.

Every encoder maps `(B, T, F), is_frame (B, T), state` to `(B, T, H), state`. What it gives for a
real frame depends neither on padding nor on the other sequences of the batch.
"""

from ..state import State
from .base import ENCODERS, Encoder, EncoderBuilder
from .gru import GruEncoder
from .none import NoEncoder

__all__ = ["ENCODERS", "Encoder", "EncoderBuilder", "GruEncoder", "NoEncoder", "State"]
