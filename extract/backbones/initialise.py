"""Stated random initialisations, the same on every machine.

Frozen random networks are what the project runs where no weights are at hand, so what they do to
their input matters: activations must neither vanish nor overflow float16, with batch
normalisation at its starting statistics (mean 0, variance 1), that is, switched off.

Weights are uniform rather than normal: a uniform draw is one subtraction and one product of a
generator's integers, equal to the last bit on every processor, so `random:0` is one identity
everywhere. A normal draw takes a logarithm and a cosine, which differ between processors.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode


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


class UniformDraws(TorchDispatchMode):
    """While active, every random number that a network is initialised with comes from one seed.

    Normal draws become uniform ones of the same mean and standard deviation, for the reason given
    above; so do truncated normal ones, which torch and timm make by `erfinv_` of a uniform draw.
    Other kinds of draws (permutations, Bernoulli) come from torch's global generator, which is
    seeded alike and put back afterwards: those are the same on one machine, perhaps not on all.

    Args:
        seed: of every draw.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._seed = seed
        self._generator = torch.Generator().manual_seed(seed)
        self._state = torch.empty(0)

    def __enter__(self) -> "UniformDraws":
        self._state = torch.get_rng_state()
        torch.manual_seed(self._seed)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:  # noqa: ANN401
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        torch.set_rng_state(self._state)

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Run an operator, or draw in its place."""
        ops = torch.ops.aten
        if func is ops.uniform_.default:
            low, high = _pair(args)
            return args[0].copy_(self._uniform(args[0].shape) * (high - low) + low)
        if func is ops.normal_.default:
            mean, deviation = _pair(args)
            return args[0].copy_(self._standard(args[0].shape) * deviation + mean)
        if func is ops.erfinv_.default:
            # Of a uniform draw over (-1, 1): a normal one of deviation sqrt(1/2).
            return args[0].mul_(math.sqrt(3 / 2))
        made = func(*args, **(kwargs or {}))
        if func in (ops.randn.default, ops.randn.generator):
            made.copy_(self._standard(made.shape))
        elif func in (ops.rand.default, ops.rand.generator):
            made.copy_(self._uniform(made.shape))
        return made

    def _uniform(self, shape: torch.Size) -> torch.Tensor:
        return torch.empty(shape).uniform_(generator=self._generator)

    def _standard(self, shape: torch.Size) -> torch.Tensor:
        return (self._uniform(shape) - 0.5) * (2 * math.sqrt(3))


def _pair(args: tuple[Any, ...]) -> tuple[float, float]:
    """Return the two numbers after the tensor; torch leaves out those that are 0 and 1."""
    return (args[1] if len(args) > 1 else 0.0), (args[2] if len(args) > 2 else 1.0)
