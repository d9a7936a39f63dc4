"""In which precision a run's matrix products are computed."""

from typing import Final

import torch

from ..core.device import Precision, resolve_precision
from .config import RunConfig

_LEAST_WIDTH: Final = 256
"""Of hidden layers for which a processor's bf16 products gain more than the casts around them
cost."""


def training_precision(config: RunConfig, device: torch.device) -> Precision:
    """Return the precision that a config names; `auto` is bf16 where that is quicker here.

    What the device is fast at is measured, see `resolve_precision`; on a processor small networks
    stay in fp32 all the same. float16 is never taken: its gradients would have to be scaled.
    """
    if config.precision != "auto":
        return config.precision
    if device.type == "cpu" and config.hidden_size < _LEAST_WIDTH:
        return "fp32"
    return "bf16" if resolve_precision("auto", device) == "bf16" else "fp32"
