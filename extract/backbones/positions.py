"""A ViT's stored position table on another input size: refused, or resampled on request."""

from typing import Any

import torch

from ...core.errors import UsageError
from ..errors import WeightsError
from .kinds import BackboneKind, Tensors
from .settings import Settings


def fitted_table(
    kind: BackboneKind,
    network: Any,  # noqa: ANN401
    tensors: Tensors,
    settings: Settings,
) -> tuple[Tensors, str]:
    """Return tensors whose position table fits the network, and how it met the input size.

    Resampling is timm's `resample_abs_pos_embed`: bicubic with antialiasing, the rows of class and
    register tokens kept.

    Returns:
        The tensors, and `none`, `stored` or `interpolated`.

    Raises:
        UsageError: interpolation is asked for where there is no table.
        WeightsError: the table is of another size and interpolation was not asked for.
    """
    key = kind.position_table(network)
    table = None if key is None else tensors.get(key)
    if key is None or table is None:
        if settings.position_table == "interpolate":
            message = (
                f"position_table=interpolate needs a network and weights with a position table, "
                f"but {kind.name} has none; leave position_table out"
            )
            raise UsageError(message)
        return tensors, "none" if key is None else "stored"
    wanted = network.get_parameter(key)
    if table.ndim != 3 or table.shape[1] == wanted.shape[1]:
        return tensors, "stored"
    n_patches = int(network.patch_embed.num_patches)
    n_prefix = wanted.shape[1] - n_patches
    side = round(max(table.shape[1] - n_prefix, 0) ** 0.5)
    patch = settings.input_size // round(n_patches**0.5)
    if side * side != table.shape[1] - n_prefix:
        message = (
            f"the position table of {kind.name} must have {n_prefix} rows and those of a square of "
            f"patches, but the weights hold one of {table.shape[1]} rows; give weights of this "
            f"backbone"
        )
        raise WeightsError(message)
    if settings.position_table != "interpolate":
        message = (
            f"input_size={settings.input_size} needs a position table of {wanted.shape[1]} rows (a "
            f"class token and {n_patches} patches), but the weights hold one of {table.shape[1]} "
            f"rows, learnt for {side * patch} pixels; use --set input_size={side * patch}, or "
            f"--set position_table=interpolate to resample the table"
        )
        if n_prefix != 1:
            message = message.replace("a class token and", f"{n_prefix} for other tokens and")
        raise WeightsError(message)
    import timm

    with torch.inference_mode():
        resampled = timm.layers.pos_embed.resample_abs_pos_embed(
            table.float(),
            new_size=list(network.patch_embed.grid_size),
            old_size=[side, side],
            num_prefix_tokens=n_prefix,
            interpolation="bicubic",
            antialias=True,
        )
    return {**tensors, key: resampled.clone()}, "interpolated"
