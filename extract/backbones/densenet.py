"""DenseNet-121 (timm's) and DenseFace, the small grey DenseNet of facial expression work.

Huang et al., "Densely Connected Convolutional Networks", CVPR 2017. DenseFace is a DenseNet-BC of
growth 12 and depth 100 on 64 x 64 grey faces, 342 dimensions; its checkpoints' key names are read
as they are.
"""

import re
from collections import OrderedDict
from typing import Any

import timm
import torch
from torch import nn

from .base import BACKBONES, BackboneKind, Embedder, Settings, Tensors
from .initialise import initialise_cnn

_GROWTH = 12
_LAYERS = 16
_BLOCKS = 3
_STEM = 24
_BOTTLENECK = 4
_CLASSES = 8

FACE_MEAN = 63.987095 / 255
FACE_STD = 43.00519 / 255
"""Defaults of DenseFace's published extractor. They are a corpus's own grey statistics, not the
model's: set `mean` and `std` to those the weights were trained with."""


_OLD_KEY = re.compile(r"(\.denselayer\d+\.(?:norm|conv))\.([12])(?=\.)")


class DenseLayer(nn.Module):
    """norm, ReLU, 1x1 convolution, norm, ReLU, 3x3 convolution; appended to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(width, _BOTTLENECK * _GROWTH, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(_BOTTLENECK * _GROWTH)
        self.conv2 = nn.Conv2d(_BOTTLENECK * _GROWTH, _GROWTH, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, width + 12, H, W)."""
        new = self.conv1(torch.relu(self.norm1(x)))
        new = self.conv2(torch.relu(self.norm2(new)))
        return torch.cat([x, new], dim=1)


class Transition(nn.Module):
    """norm, ReLU, 1x1 convolution to half the width, 2x2 average pool."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width)
        self.conv = nn.Conv2d(width, width // 2, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, width / 2, H / 2, W / 2)."""
        return nn.functional.avg_pool2d(self.conv(torch.relu(self.norm(x))), 2)


class DenseFace(nn.Module):
    """Three dense blocks of 16 layers; `forward` gives features, `classifier` stays unused.

    Nothing follows the stem's convolution: no norm, no ReLU, no pooling.
    """

    def __init__(self) -> None:
        super().__init__()
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        parts["conv0"] = nn.Conv2d(1, _STEM, 3, stride=2, padding=1, bias=False)
        width = _STEM
        for block in range(1, _BLOCKS + 1):
            layers: OrderedDict[str, nn.Module] = OrderedDict(
                (f"denselayer{n}", DenseLayer(width + (n - 1) * _GROWTH))
                for n in range(1, _LAYERS + 1)
            )
            parts[f"denseblock{block}"] = nn.Sequential(layers)
            width += _LAYERS * _GROWTH
            if block < _BLOCKS:
                parts[f"transition{block}"] = Transition(width)
                width //= 2
        parts["norm3"] = nn.BatchNorm2d(width)
        self.features = nn.Sequential(parts)
        self.dim = width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features (B, 342) of grey faces (B, 1, 64, 64)."""
        return torch.relu(self.features(x)).mean(dim=(2, 3))  # maps of 8x8


def _adapt_classifier(tensors: Tensors, settings: Settings) -> tuple[Tensors, list[str]]:
    dropped = [key for key in tensors if key.startswith(("classifier.", "fc."))]
    return {key: value for key, value in tensors.items() if key not in dropped}, dropped


def _adapt_densenet(tensors: Tensors, settings: Settings) -> tuple[Tensors, list[str]]:
    """Besides, read the key names of torchvision's older files: `norm.1` for `norm1`."""
    kept, dropped = _adapt_classifier(tensors, settings)
    return {_OLD_KEY.sub(r"\1\2", key): value for key, value in kept.items()}, dropped


def _build_timm(name: str, settings: Settings) -> Embedder:
    network: Any = timm.create_model(name, pretrained=False, num_classes=0)
    return Embedder(network, lambda owner, x: owner(x), network.num_features, flip=settings.flip)


def _build_face(settings: Settings) -> Embedder:
    network = DenseFace()
    return Embedder(network, lambda owner, x: owner(x), network.dim, flip=settings.flip)


BACKBONES.add(
    "densenet121",
    BackboneKind(
        name="densenet121",
        # 112: the challenge's crops are 112 x 112, and a larger input adds cost but no detail.
        defaults=Settings(
            input_size=112,
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
            interpolation="bicubic",
            pool="mean",
        ),
        channels="rgb",
        pools=("mean",),
        build=lambda settings: _build_timm("densenet121", settings),
        initialise=initialise_cnn,
        adapt=_adapt_densenet,
        smallest_input=32,  # five halvings
        hub_id="timm/densenet121.ra_in1k",
        formats="timm or torchvision state dict (.pth, .safetensors), pretrained",
    ),
)

BACKBONES.add(
    "denseface",
    BackboneKind(
        name="denseface",
        defaults=Settings(
            input_size=64,
            mean=(FACE_MEAN,),
            std=(FACE_STD,),
            interpolation="opencv-bilinear",
            pool="mean",
        ),
        channels="grey",
        pools=("mean",),
        build=_build_face,
        initialise=initialise_cnn,
        adapt=_adapt_classifier,
        fixed_input=True,
        formats="DenseFace state dict (.pt, .safetensors), with or without its classifier",
    ),
)
