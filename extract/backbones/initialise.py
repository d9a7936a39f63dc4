"""Stated random initialisations, the same on every machine.

Frozen random networks are what the project runs where no weights are at hand, so what they do to
their input matters: activations must neither vanish nor overflow float16, with batch
normalisation at its starting statistics (mean 0, variance 1), that is, switched off.

Weights are uniform rather than normal: a uniform draw is one subtraction and one product of a
generator's integers, equal to the last bit on every processor, so `random:0` is one identity
everywhere. A normal draw takes a logarithm and a cosine, which differ between processors.
"""

import math

import torch
from torch import nn


def draw_(tensor: torch.Tensor, deviation: float, generator: torch.Generator) -> None:
    """Fill a tensor with a uniform draw of mean 0 and the given standard deviation."""
    tensor.uniform_(generator=generator).sub_(0.5).mul_(2 * math.sqrt(3) * deviation)


def initialise_cnn(
    network: nn.Module, generator: torch.Generator, *, negative_slope: float = 0.0
) -> None:
    """Set a convolutional network's weights from a seed.

    Convolutions: Kaiming over the fan-in for the (leaky) ReLU that follows (He et al. 2015,
    eq. 10), which keeps the variance of activations from layer to layer. Linear layers: variance
    1 / fan-in. Biases 0; normalisation layers the identity; PReLU slopes `negative_slope`.
    """
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                gain = math.sqrt(2.0 / (1 + negative_slope**2))
                draw_(module.weight, gain / math.sqrt(module.weight[0].numel()), generator)
            elif isinstance(module, nn.Linear):
                draw_(module.weight, 1 / math.sqrt(module.in_features), generator)
            elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.reset_running_stats()
                module.weight.fill_(1)
            elif isinstance(module, nn.PReLU):
                module.weight.fill_(negative_slope)
            bias = getattr(module, "bias", None)
            if isinstance(bias, torch.Tensor):
                bias.zero_()


def initialise_vit(network: nn.Module, generator: torch.Generator) -> None:
    """Set a ViT's weights from a seed as MAE's pre-training starts (He et al. 2021).

    Linear layers and the patch projection (seen as a linear layer): variance
    2 / (fan-in + fan-out), Xavier; biases 0; layer norms the identity; the class token with
    deviation 0.02. The position table is not set here.
    """
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                fans = module.weight.shape[0] + module.weight[0].numel()
                draw_(module.weight, math.sqrt(2 / fans), generator)
            elif isinstance(module, nn.LayerNorm):
                module.weight.fill_(1)
            bias = getattr(module, "bias", None)
            if isinstance(bias, torch.Tensor):
                bias.zero_()
        draw_(network.get_parameter("cls_token"), 0.02, generator)
