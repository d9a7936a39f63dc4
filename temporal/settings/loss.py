"""What is minimised."""

from typing import Annotated, Literal

from pydantic import Field

from .base import Factor, Power, Settings, Share

Distance = Literal["mse", "l1"]
Weighting = Literal["fixed", "normalised", "learned"]


class LossSettings(Settings):
    """Settings of the loss."""

    ccc_share: Share = 0.5
    """Loss of valence and arousal: this share of 1 - CCC, the rest `va_distance`."""
    va_distance: Distance = "mse"
    """Mean squared or mean absolute error."""
    balance_expression: Power = 0.5
    """Class weights: inverse training frequency to this power; 0 is none."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of an expression's target that is spread over all 8."""
    focal: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Power of the focal loss of expressions; 0 is plain cross-entropy."""
    balance_au: Power = 1.0
    """Weight of an AU's positives: (negatives / positives) to this power; 0 is none."""
    weighting: Weighting = "fixed"
    """What else a task's loss is multiplied by: nothing, one over its own size, or a factor that
    is learned (Kendall's uncertainty)."""
    weight_valence: Factor = 1.0
    """Factor of the loss of valence; 0 leaves the task out of the network, as for the others."""
    weight_arousal: Factor = 1.0
    """Factor of the loss of arousal."""
    weight_expression: Factor = 1.0
    """Factor of the cross-entropy of expressions."""
    weight_au: Factor = 1.0
    """Factor of the binary cross-entropy of action units."""
