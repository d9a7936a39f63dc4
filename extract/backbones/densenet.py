"""timm's DenseNet-121, 161, 169 and 201, and DenseFace, a small grey DenseNet for expressions.

Huang et al., "Densely Connected Convolutional Networks", CVPR 2017. DenseFace is a DenseNet-BC of
growth 12 and depth 100 on 64 x 64 grey faces, 342 dimensions; its checkpoints' key names are read
as they are.
"""

import re
from collections import OrderedDict

import torch
from torch import nn

from .initialise import initialise_cnn
from .kinds import BACKBONES, BackboneKind, Tensors
from .settings import Settings

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
    """Three dense blocks of 16 layers, and a classifier where one is asked for.

    Nothing follows the stem's convolution: no norm, no ReLU, no pooling.

    Args:
        n_classes: of the classifier; 0 for none.
    """

    def __init__(self, n_classes: int = 0) -> None:
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
        self.classifier = nn.Linear(width, n_classes) if n_classes else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the last map (B, 342, 8, 8) of grey faces (B, 1, 64, 64)."""
        return torch.relu(self.features(x))


def _adapt_face(tensors: Tensors, settings: Settings) -> tuple[Tensors, list[str]]:
    """Read a classifier that is called `fc`."""
    return {re.sub(r"^fc\.", "classifier.", key): value for key, value in tensors.items()}, []


def _adapt_densenet(tensors: Tensors, settings: Settings) -> tuple[Tensors, list[str]]:
    """Read the key names of torchvision's older files: `norm.1` for `norm1`."""
    return {_OLD_KEY.sub(r"\1\2", key): value for key, value in tensors.items()}, []


def _create(name: str, n_classes: int) -> nn.Module:
    import timm  # takes as long as torch itself, and listing the backbones needs none of it

    network: nn.Module = timm.create_model(name, pretrained=False, num_classes=n_classes)
    return network


def _register(name: str, dim: int, hub_id: str) -> None:
    BACKBONES.add(
        name,
        BackboneKind(
            name=name,
            # 112: the challenge's crops are 112 x 112; a larger input adds cost but no detail.
            defaults=Settings(
                input_size=112,
                mean=(0.485, 0.456, 0.406),
                std=(0.229, 0.224, 0.225),
                interpolation="bicubic",
                pool="mean",
            ),
            channels="rgb",
            pools=("mean", "grid3"),
            # Many small layers, each with a cost of its own.
            cpu_batch_size=16,
            cpu_batch_size_bf16=32,
            build=lambda settings, n_classes: _create(name, n_classes),
            trunk=lambda network, frames: network.forward_features(frames),
            readings={"mean": lambda network, x: network.forward_head(x, pre_logits=True)},
            logits={"mean": lambda network, x: network.forward_head(x)},
            classifiers=("classifier",),
            n_classes=1000,
            initialise=initialise_cnn,
            adapt=_adapt_densenet,
            smallest_input=32,  # five halvings
            hub_id=hub_id,
            formats="timm or torchvision state dict (.pth, .safetensors), pretrained",
            dim=dim,
        ),
    )


_register("densenet121", 1024, "timm/densenet121.ra_in1k")
_register("densenet161", 2208, "timm/densenet161.tv_in1k")
_register("densenet169", 1664, "timm/densenet169.tv_in1k")
_register("densenet201", 1920, "timm/densenet201.tv_in1k")

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
        cpu_batch_size=16,
        cpu_batch_size_bf16=32,
        pools=("mean", "grid3"),
        build=lambda settings, n_classes: DenseFace(n_classes),
        trunk=lambda network, frames: network(frames),
        readings={"mean": lambda network, x: x.mean(dim=(2, 3))},
        logits={"mean": lambda network, x: network.classifier(x.mean(dim=(2, 3)))},
        classifiers=("classifier",),
        n_classes=_CLASSES,
        initialise=initialise_cnn,
        adapt=_adapt_face,
        fixed_input=True,
        formats="DenseFace state dict (.pt, .safetensors), with or without its classifier",
        dim=342,
    ),
)
