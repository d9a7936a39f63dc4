"""torch's own layers in place of this project's, to tell what a loop gains apart from them."""

import torch
from torch import nn

from abaw.temporal.nets.dropout import Dropout
from abaw.temporal.nets.encoders.recurrent import RecurrentEncoder


def _never(x: torch.Tensor) -> bool:
    return False


def give_torchs_layers(network: nn.Module) -> None:
    """Have a network use torch's GRU, LSTM and dropout; its weights stay what they are."""
    for module in list(network.modules()):
        if isinstance(module, RecurrentEncoder):
            module.trains_on_cpu = _never  # type: ignore[method-assign]
        for name, child in module.named_children():
            if isinstance(child, Dropout):
                setattr(module, name, nn.Dropout(child.p))
