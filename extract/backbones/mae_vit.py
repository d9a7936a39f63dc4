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

from typing import Any

import timm
import torch
from torch import nn

from ...core.errors import UsageError
from ..errors import WeightsError
from .base import BACKBONES, BackboneKind, Embedder, Settings, Tensors
from .initialise import initialise_vit

_PATCH = 16
_GRID = 3
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


def _pooled(pool: str, network: Any, frames: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    tokens: torch.Tensor
    (tokens, prefix), *_ = network.forward_intermediates(
        frames,
        indices=1,
        norm=False,
        output_fmt="NLC",
        return_prefix_tokens=True,
        intermediates_only=True,
    )  # (B, L, D) patches and (B, 1, D) class token, before the last norm
    if pool == "cls":
        return _normed(network, prefix[:, 0])
    if pool == "mean_then_norm":
        return _normed(network, tokens.mean(dim=1))
    tokens = _normed(network, tokens)
    if pool == "mean_post":
        return tokens.mean(dim=1)
    side = round(tokens.shape[1] ** 0.5)
    grid = tokens.reshape(tokens.shape[0], side, side, -1)  # (B, side, side, D)
    # The bins of adaptive average pooling, which MPS offers for sides divisible by 3 only.
    bins = [slice(i * side // _GRID, -(-(i + 1) * side // _GRID)) for i in range(_GRID)]
    cells = [grid[:, rows, columns].mean(dim=(1, 2)) for rows in bins for columns in bins]
    return torch.cat(cells, dim=1)  # (B, 9 * D), cell by cell


def _normed(network: Any, tokens: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    normed: torch.Tensor = network.norm(tokens)
    return normed


def _build(timm_name: str, settings: Settings) -> Embedder:
    side, rest = divmod(settings.input_size, _PATCH)
    if rest or side < 1 or (settings.pool == "grid3" and side < _GRID):
        message = (
            f"input_size of a ViT with patches of {_PATCH} must be a multiple of {_PATCH} (of at "
            f"least {_GRID * _PATCH} for grid3), but got {settings.input_size}; 112 and 224 are"
        )
        raise UsageError(message)
    network: Any = timm.create_model(
        timm_name, pretrained=False, num_classes=0, global_pool="", img_size=settings.input_size
    )
    cells = _GRID**2 if settings.pool == "grid3" else 1
    return Embedder(
        network,
        lambda owner, frames: _pooled(settings.pool, owner, frames),
        network.embed_dim * cells,
        flip=settings.flip,
    )


def _initialise(network: nn.Module, generator: torch.Generator) -> None:
    """`initialise_vit`, and MAE's fixed position table for this input size."""
    initialise_vit(network, generator)
    table = network.get_parameter("pos_embed")
    side = round((table.shape[1] - 1) ** 0.5)
    with torch.no_grad():
        table.copy_(sincos_position_table(table.shape[2], side))


def _adapt(tensors: Tensors, settings: Settings) -> tuple[Tensors, list[str]]:
    """Leave the decoder and a classification head out; find the last norm of fine-tuned weights."""
    dropped = [key for key in tensors if key.startswith(_DECODER) or key.startswith("head.")]
    kept = {key: value for key, value in tensors.items() if key not in dropped}
    if "fc_norm.weight" in kept and "norm.weight" not in kept:
        if settings.pool != "mean_then_norm":
            message = (
                f"these weights were fine-tuned on the mean token and hold fc_norm instead of "
                f"norm, which pool={settings.pool} needs; use --set pool=mean_then_norm"
            )
            raise WeightsError(message)
        kept = {key.replace("fc_norm.", "norm."): value for key, value in kept.items()}
    _check_table(kept, settings)
    return kept, dropped


def _check_table(tensors: Tensors, settings: Settings) -> None:
    table = tensors.get("pos_embed")
    needed = (settings.input_size // _PATCH) ** 2 + 1
    if table is not None and table.ndim == 3 and table.shape[1] != needed:
        side = round((table.shape[1] - 1) ** 0.5)
        message = (
            f"input_size={settings.input_size} needs a position table of {needed} rows (a class "
            f"token and {needed - 1} patches), but the weights hold one of {table.shape[1]} rows, "
            f"learnt for {side * _PATCH} pixels; use --set input_size={side * _PATCH}"
        )
        raise WeightsError(message)


def _register(size: str) -> None:
    name = f"mae_vit_{size}_patch16"
    timm_name = f"vit_{size}_patch16_224"
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
            build=lambda settings: _build(timm_name, settings),
            initialise=_initialise,
            adapt=_adapt,
            position_table=lambda _: "pos_embed",
            channels_last=False,
            objective="unsupervised",
            formats="facebookresearch/mae or timm ViT state dict (.pth, .safetensors)",
        ),
    )


for _size in ("small", "base", "large"):
    _register(_size)
