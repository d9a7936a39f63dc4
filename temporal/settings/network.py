"""What is trained: encoder, framework and heads, and their sizes."""

from typing import Annotated, Literal

from pydantic import Field

from .base import Count, CountOrNone, Rate, Settings, Share, Widths

Norm = Literal["post", "pre"]
Positions = Literal["sinusoidal", "rotary", "none"]


class NetworkSettings(Settings):
    """Settings of the network."""

    encoder: str = "gru"
    """Registered name of the temporal network, or `file.py:Class` of one of your own."""
    framework: str = "se"
    """How tasks share it: single, se, sbe, sbe-hsf:GRAPH or label-feedback:GRAPH; a graph is
    written `valence+au>arousal`, several edges joined by commas."""
    projection: CountOrNone = 128
    """Width of the linear layer in front of the encoder; 0 leaves it out."""
    input_dropout: Rate = 0.2
    """Share of feature dimensions left out at random, in front of that layer."""
    hidden_size: Count = 128
    """Width of the encoder's output; in two directions each has half."""
    layers: Annotated[int, Field(ge=1, le=100)] = 1
    """Layers of the encoder of the frameworks `single` and `se`."""
    shared_layers: Annotated[int, Field(ge=0, le=100)] = 1
    """Layers that the tasks share in the frameworks with a shared bottom; of 0 they share nothing:
    each has a projection of its own, too."""
    task_layers: Annotated[int, Field(ge=0, le=100)] = 1
    """Layers of each task's own encoder on top of those."""
    bidirectional: bool = True
    """Whether a frame also sees what follows it; a network that does not can run live."""
    dropout: Rate = 0.3
    """Share of values left out at random behind the projection and the encoder and in the heads."""
    head_hidden: Widths = (64,)
    """Widths of each head's hidden layers."""

    heads: Annotated[int, Field(ge=1, le=1024)] = 4
    """Attention heads of the transformer."""
    task_heads: Annotated[int, Field(ge=0, le=1024)] = 0
    """Attention heads of each task's own transformer; 0 is as many as `heads`."""
    ffn_size: CountOrNone = 0
    """Width of the transformer's feed-forward layers; 0 is twice `hidden_size`."""
    norm: Norm = "pre"
    """Where the transformer normalises: behind each residual sum (as published), or in front of
    each branch."""
    positions: Positions = "rotary"
    """How the transformer knows the order of frames."""
    attention_context: CountOrNone = 0
    """Frames that a frame attends to on each side (in one direction: before it); 0 is all."""

    feedback_gradient: bool = True
    """Whether the loss of a task that is fed from others also trains those (published: no)."""
    label_width: Count = 32
    """Width of the label embeddings of `label-feedback`."""
    truth_rate: Share = 1.0
    """Share of labelled frames whose true label is fed back, in place of the prediction, when
    training begins."""
    truth_until: Share = 0.5
    """Share of the training steps over which that falls to 0."""
