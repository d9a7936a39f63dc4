"""IResNet, the face recognition network of ArcFace, with insightface's checkpoint keys.

Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019; the
"improved residual unit" of its appendix: batch normalisation first, PReLU inside, no activation
after the addition. 112 x 112 RGB crops, 512 dimensions.
"""

import re

import torch
from torch import nn

from .initialise import initialise_cnn
from .kinds import BACKBONES, BackboneKind, Tensors
from .settings import Settings

DEPTHS: dict[int, tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 14, 3),
    100: (3, 13, 30, 3),
    200: (6, 26, 60, 6),
}
"""Residual units per stage."""

_WIDTHS = (64, 128, 256, 512)
_DIM = 512
_BN_EPS = 1e-5
_PRELU_SLOPE = 0.25
_HEAD = re.compile(
    r"(head|heads|arcface|cosface|margin|margin_fc|metric_fc|fc7|partial_fc|softmax_fc|classifier)\."
    r"|(weight|kernel|weight_activated)\Z"
)
"""Keys of the layer that holds one centre a person: ArcFace, CosFace, PartialFC and so on."""


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=_BN_EPS)


class ResidualUnit(nn.Module):
    """bn, conv, bn, PReLU, conv with the stride, bn; plus the input."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.bn1 = _norm(width_in)
        self.conv1 = nn.Conv2d(width_in, width, 3, padding=1, bias=False)
        self.bn2 = _norm(width)
        self.prelu = nn.PReLU(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn3 = _norm(width)
        self.downsample: nn.Module | None = None
        if stride != 1 or width_in != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(width_in, width, 1, stride=stride, bias=False), _norm(width)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, width, H / stride, W / stride)."""
        inner: torch.Tensor = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        inner = self.bn3(self.conv2(inner))
        if self.downsample is not None:
            x = self.downsample(x)
        return inner + x


class IResNet(nn.Module):
    """A stem at full size, four stages that each halve it, and a linear embedding.

    Args:
        units: residual units per stage.
    """

    def __init__(self, units: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, _WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = _norm(_WIDTHS[0])
        self.prelu = nn.PReLU(_WIDTHS[0])
        width_in = _WIDTHS[0]
        for stage, (width, n_units) in enumerate(zip(_WIDTHS, units, strict=True), start=1):
            blocks = [ResidualUnit(width_in, width, stride=2)]
            blocks += [ResidualUnit(width, width, stride=1) for _ in range(n_units - 1)]
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
            width_in = width
        self.bn2 = _norm(_WIDTHS[-1])
        self.fc = nn.Linear(_WIDTHS[-1] * 7 * 7, _DIM)
        self.features = nn.BatchNorm1d(_DIM, eps=_BN_EPS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return embeddings (B, 512), not normalised, of faces (B, 3, 112, 112)."""
        x = self.prelu(self.bn1(self.conv1(x)))  # (B, 64, 112, 112)
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)  # (B, width, 112 / 2^stage, ...)
        x = self.fc(self.bn2(x).flatten(1))  # channels first, then rows: (B, 25088) -> (B, 512)
        embedding: torch.Tensor = self.features(x)
        return embedding


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Set an IResNet's weights from a seed so that float16 holds its embeddings.

    Kaiming for the PReLU slope of 0.25; the last normalisation of each residual branch is scaled
    by 1 / sqrt(number of units), so that the sum over all branches keeps the variance of one. The
    published start, normal with deviation 0.1 everywhere, ends near 4e7.
    """
    initialise_cnn(network, generator, negative_slope=_PRELU_SLOPE)
    units = [module for module in network.modules() if isinstance(module, ResidualUnit)]
    with torch.no_grad():
        for unit in units:
            unit.bn3.weight.fill_(len(units) ** -0.5)


def _adapt(tensors: Tensors, settings: Settings) -> tuple[Tensors, list[str]]:
    """Leave out the margin head of face recognition training, which stands beside the backbone."""
    inner = {
        key.removeprefix("backbone."): tensor
        for key, tensor in tensors.items()
        if key.startswith("backbone.")
    }
    rest = [key for key in tensors if not key.startswith("backbone.")]
    if inner and all(_HEAD.match(key) for key in rest):
        return inner, rest
    dropped = [key for key in rest if _HEAD.match(key)]
    return {key: tensor for key, tensor in tensors.items() if key not in dropped}, dropped


def _register(depth: int, units: tuple[int, int, int, int]) -> None:
    BACKBONES.add(
        f"iresnet{depth}",
        BackboneKind(
            name=f"iresnet{depth}",
            defaults=Settings(
                input_size=112,
                mean=(0.5, 0.5, 0.5),
                std=(0.5, 0.5, 0.5),
                interpolation="bilinear",
                pool="none",
            ),
            channels="rgb",
            pools=("none",),
            cpu_batch_size_bf16=16,
            build=lambda settings, n_classes: IResNet(units),
            trunk=lambda network, frames: network(frames),
            initialise=initialise,
            adapt=_adapt,
            fixed_input=True,
            formats="insightface state dict (.pth, .safetensors), with or without ArcFace head",
            dim=_DIM,
        ),
    )


for _depth, _units in DEPTHS.items():
    _register(_depth, _units)
