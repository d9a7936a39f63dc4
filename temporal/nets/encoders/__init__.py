"""Temporal encoders by name; importing an encoder's module registers it.

Every encoder maps `(B, T, F), is_frame (B, T), state` to `(B, T, H), state`. What it gives for a
real frame depends neither on padding nor on the other sequences of the batch.
"""

from ..state import State
from .base import ENCODERS, Encoder, EncoderBuilder
from .lookup import encoder_identity, find_encoder
from .none import NoEncoder
from .recurrent import GruEncoder, LstmEncoder
from .transformer import TransformerEncoder

__all__ = [
    "ENCODERS",
    "Encoder",
    "EncoderBuilder",
    "GruEncoder",
    "LstmEncoder",
    "NoEncoder",
    "State",
    "TransformerEncoder",
    "encoder_identity",
    "find_encoder",
]
