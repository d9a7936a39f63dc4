"""MAE's vision transformers: timm's ViT, reading facebookresearch/mae checkpoints.

He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022. Only the encoder is
kept, and it sees all patches. `pool` decides what becomes of the tokens:

cls
    the class token after the last norm
mean_post
    the mean of the patch tokens after the last norm (`mean` is short for it)
mean_then_norm
    the last norm of the mean patch token, as MAE's fine-tuning has it
grid3
    patch tokens after the last norm, averaged over a 3 x 3 grid of the face, concatenated: keeps
    where things are, which the mean of a network that has learnt nothing forgets
"""

from functools import partial
from typing import Any

import torch
from torch import nn

from ...core.errors import UsageError
from ..errors import WeightsError
from .initialise import initialise_vit
from .kinds import BACKBONES, BackboneKind, Tensors
from .pooling import GRID, grid_means, square
from .settings import Settings

_POOLS = ("cls", "mean_post", "mean_then_norm", "grid3")
_DECODER = ("decoder_", "mask_token")


def sincos_position_table(dim: int, side: int) -> torch.Tensor:
    """Return MAE's fixed 2-D position table, (1, 1 + side * side, dim), float32.

    The class token's row is zero. Row 1 + r * side + c holds sines and cosines of the column c,
    then of the row r, at dim / 4 frequencies from 1 to 1 / 10000.
    """
    frequency = 10000.0 ** (-torch.arange(dim // 4, dtype=torch.float64) / (dim / 4))
    angle = torch.arange(side, dtype=torch.float64)[:, None] * frequency  # (side, dim / 4)
    code = torch.cat([angle.sin(), angle.cos()], dim=1)  # (side, dim / 2)
    column = code[None].expand(side, side, -1)
    row = code[:, None].expand(side, side, -1)
    table = torch.cat([column, row], dim=2).reshape(side * side, dim)
    return torch.cat([torch.zeros(1, dim, dtype=torch.float64), table])[None].float()


def _tokens(network: Any, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: ANN401
    """Return patches (B, N, D) and class token (B, 1, D), before the last norm."""
    (tokens, prefix), *_ = network.forward_intermediates(
        frames,
        indices=1,
        norm=False,
        output_fmt="NLC",
        return_prefix_tokens=True,
        intermediates_only=True,
    )
    return tokens, prefix


def _pooled(pool: str, network: Any, output: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:  # noqa: ANN401
    tokens, prefix = output
    if pool == "cls":
        return _normed(network, prefix[:, 0])
    if pool == "mean_then_norm":
        return _normed(network, tokens.mean(dim=1))
    tokens = _normed(network, tokens)
    return tokens.mean(dim=1) if pool == "mean_post" else grid_means(square(tokens))


def _normed(network: Any, tokens: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    normed: torch.Tensor = network.norm(tokens)
    return normed


def _logits(pool: str, network: Any, output: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:  # noqa: ANN401
    logits: torch.Tensor = network.head(_pooled(pool, network, output))
    return logits


def _build(timm_name: str, patch: int, settings: Settings, n_classes: int) -> nn.Module:
    import timm

    side, rest = divmod(settings.input_size, patch)
    least = GRID if settings.pool == "grid3" else 1
    if rest or side < least:
        message = (
            f"input_size of a ViT with patches of {patch} must be a multiple of {patch} (of at "
            f"least {GRID * patch} for grid3), but got {settings.input_size}; {8 * patch} and "
            f"{16 * patch} are"
        )
        raise UsageError(message)
    network: nn.Module = timm.create_model(
        timm_name,
        pretrained=False,
        num_classes=n_classes,
        global_pool="",
        img_size=settings.input_size,
    )
    return network


def _initialise(network: nn.Module, generator: torch.Generator) -> None:
    """`initialise_vit`, and MAE's fixed position table for this input size."""
    initialise_vit(network, generator)
    table = network.get_parameter("pos_embed")
    side = round((table.shape[1] - 1) ** 0.5)
    with torch.no_grad():
        table.copy_(sincos_position_table(table.shape[2], side))


def _adapt(tensors: Tensors, settings: Settings) -> tuple[Tensors, list[str]]:
    """Leave the decoder out; find the last norm of fine-tuned weights."""
    dropped = [key for key in tensors if key.startswith(_DECODER)]
    kept = {key: value for key, value in tensors.items() if key not in dropped}
    if "fc_norm.weight" in kept and "norm.weight" not in kept:
        if settings.layer in ("final", "logits") and settings.pool != "mean_then_norm":
            message = (
                f"these weights were fine-tuned on the mean token and hold fc_norm instead of "
                f"norm, which pool={settings.pool} needs; use --set pool=mean_then_norm"
            )
            raise WeightsError(message)
        kept = {key.replace("fc_norm.", "norm."): value for key, value in kept.items()}
    return kept, dropped


def _register(size: str, patch: int, dim: int) -> None:
    name = f"mae_vit_{size}_patch{patch}"
    timm_name = f"vit_{size}_patch{patch}_224"
    BACKBONES.add(
        name,
        BackboneKind(
            name=name,
            defaults=Settings(
                input_size=224,
                mean=(0.485, 0.456, 0.406),
                std=(0.229, 0.224, 0.225),
                interpolation="bicubic",
                pool="cls",
            ),
            channels="rgb",
            pools=_POOLS,
            pool_aliases={"mean": "mean_post"},
            build=partial(_build, timm_name, patch),
            trunk=_tokens,
            readings={pool: partial(_pooled, pool) for pool in _POOLS},
            logits={pool: partial(_logits, pool) for pool in _POOLS if pool != "grid3"},
            classifiers=("head",),
            initialise=_initialise,
            adapt=_adapt,
            position_table=lambda _: "pos_embed",
            channels_last=False,
            objective="unsupervised",
            formats="facebookresearch/mae or timm ViT state dict (.pth, .safetensors)",
            dim=dim,
        ),
    )


for _size, _patch, _dim in (
    ("small", 16, 384),
    ("base", 16, 768),
    ("large", 16, 1024),
    ("huge", 14, 1280),
):
    _register(_size, _patch, _dim)
