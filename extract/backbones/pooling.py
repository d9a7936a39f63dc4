"""From an output of a network, tokens, a map or a vector, to one vector a frame.

none
    the vector itself
cls
    the class token
mean
    the mean over patch tokens, without class and register tokens, or over the map
grid3
    patch tokens or map averaged over a 3 x 3 grid of the face, concatenated: keeps where things
    are, which the mean of a network that has learnt nothing forgets
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch

from .base import Reading

GRID = 3


@dataclass(frozen=True)
class Form:
    """What an output is: a vector (B, C), tokens (B, N, C), a map (B, C, H, W) or (B, H, W, C)."""

    kind: Literal["vector", "tokens", "map", "map, channels last"]
    n_prefix: int = 0
    """Class and register tokens, which come first."""
    has_class_token: bool = False
    is_in_rows: bool = True
    """Whether patch tokens are in the order of the picture, row by row."""

    @property
    def text(self) -> str:
        """The form in words."""
        return f"a {self.kind}" if self.kind != "tokens" else "tokens"


def form_of(network: Any, output: torch.Tensor) -> Form | None:  # noqa: ANN401
    """Return the form of a network's output, or None for one of no known form.

    timm's attributes say what a shape cannot: `output_fmt` that channels come last,
    `num_prefix_tokens` how many tokens are no patches, `cls_token` that one is the class token.
    """
    if output.ndim == 2:
        return Form("vector")
    if output.ndim == 3:
        patches = getattr(getattr(network, "patch_embed", None), "num_patches", None)
        has_token = getattr(network, "cls_token", None) is not None
        if has_token and not hasattr(network, "num_prefix_tokens"):
            return None  # where the class token stands is not known
        n_prefix = int(getattr(network, "num_prefix_tokens", 0))
        if output.shape[1] == patches:
            n_prefix = 0  # an output from before the other tokens are put in front
        has_class = n_prefix > 0 and getattr(network, "cls_token", True) is not None
        # Hiera's tokens are in the order of its mask units.
        return Form("tokens", n_prefix, has_class, is_in_rows=not hasattr(network, "unroll"))
    if output.ndim == 4:
        last = str(getattr(network, "output_fmt", "NCHW")) in ("NHWC", "Format.NHWC")
        return Form("map, channels last" if last else "map")
    return None


def pools_of(form: Form, output: torch.Tensor) -> tuple[str, ...]:
    """Return the pools that an output of this form and shape allows, the default first."""
    if form.kind == "vector":
        return ("none",)
    if form.kind == "tokens":
        n_patches = output.shape[1] - form.n_prefix
        side = round(n_patches**0.5)
        is_grid = form.is_in_rows and side * side == n_patches and side >= GRID
        grid = ("grid3",) if is_grid else ()
        return (*(("cls",) if form.has_class_token else ()), "mean", *grid)
    sides = output.shape[2:] if form.kind == "map" else output.shape[1:3]
    return ("mean", "grid3") if min(sides) >= GRID else ("mean",)


def reading_of(pool: str, form: Form) -> Reading:
    """Return the reading that pools outputs of a form."""
    return partial(_pooled, pool, form)


def _pooled(pool: str, form: Form, _network: object, output: torch.Tensor) -> torch.Tensor:
    if pool == "none":
        return output
    if pool == "cls":
        return output[:, 0]
    if form.kind == "tokens":
        patches = output[:, form.n_prefix :]
        if pool == "mean":
            return patches.mean(dim=1)
        return grid_means(square(patches))
    grid = output.permute(0, 2, 3, 1) if form.kind == "map" else output  # (B, H, W, C)
    return grid.mean(dim=(1, 2)) if pool == "mean" else grid_means(grid)


def square(patches: torch.Tensor) -> torch.Tensor:
    """Return patch tokens (B, N, C) as a square map (B, H, W, C)."""
    side = round(patches.shape[1] ** 0.5)
    return patches.reshape(patches.shape[0], side, side, -1)


def grid_means(grid: torch.Tensor) -> torch.Tensor:
    """Return the means of a map (B, H, W, C) over 3 x 3 cells, cell by cell, (B, 9 * C)."""
    # The bins of adaptive average pooling, which MPS offers for sides divisible by 3 only.
    rows, columns = (
        [slice(i * side // GRID, -(-(i + 1) * side // GRID)) for i in range(GRID)]
        for side in grid.shape[1:3]
    )
    cells = [grid[:, row, column].mean(dim=(1, 2)) for row in rows for column in columns]
    return torch.cat(cells, dim=1)
