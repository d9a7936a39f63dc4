"""Stated random initialisations, from a generator of their own.

Frozen random networks are what the project runs where no weights are at hand, so what they do to
their input matters: activations must neither vanish nor overflow float16, with batch
normalisation at its starting statistics (mean 0, variance 1), that is, switched off.
"""

import math

import torch
from torch import nn


def initialise_cnn(
    network: nn.Module, generator: torch.Generator, *, negative_slope: float = 0.0
) -> None:
    """Set a convolutional network's weights from a seed.

    Convolutions: Kaiming normal over the fan-in for the (leaky) ReLU that follows (He et al. 2015,
    eq. 10), which keeps the variance of activations from layer to layer. Linear layers: normal
    with variance 1 / fan-in. Biases 0; normalisation layers the identity; PReLU slopes
    `negative_slope`.
    """
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                fan_in = module.weight[0].numel()
                gain = math.sqrt(2.0 / (1 + negative_slope**2))
                module.weight.normal_(0, gain / math.sqrt(fan_in), generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.Linear):
                scale = 1 / math.sqrt(module.in_features)
                module.weight.normal_(0, scale, generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.reset_running_stats()
                module.weight.fill_(1)
                module.bias.zero_()
            elif isinstance(module, nn.PReLU):
                module.weight.fill_(negative_slope)


def initialise_vit(network: nn.Module, generator: torch.Generator) -> None:
    """Set a ViT's weights from a seed as MAE's pre-training starts (He et al. 2021).

    Linear layers and the patch projection (seen as a linear layer): Xavier uniform; biases 0;
    layer norms the identity; the class token normal with deviation 0.02; the position table is
    left as it is.
    """
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                weight = module.weight.view(module.weight.shape[0], -1)
                nn.init.xavier_uniform_(weight, generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.LayerNorm):
                module.weight.fill_(1)
                module.bias.zero_()
        token = network.get_parameter("cls_token")
        token.normal_(0, 0.02, generator=generator)
