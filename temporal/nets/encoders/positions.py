"""How a transformer knows the order of frames: codes that are added, or turns of queries and keys.

Both are computed for the places asked for, so no table limits how long a sequence may be.
"""

from typing import Final

import torch

_BASE: Final = 10000.0
Turn = tuple[torch.Tensor, torch.Tensor]
"""Cosines and sines, each (B or 1, 1, T, d / 2)."""


def sinusoidal(place: torch.Tensor, width: int, dtype: torch.dtype) -> torch.Tensor:
    """Return the codes (…, T, width) of places (…, T): sines at even columns, cosines at odd ones.

    Column i of place p is the sine or cosine of p / 10000^(2 floor(i / 2) / width).
    """
    angle = _angles(place, width, dtype)  # (…, T, ceil(width / 2))
    code = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(-2)
    return code[..., :width].to(dtype)


def turns(place: torch.Tensor, width: int, dtype: torch.dtype) -> Turn:
    """Return the turns of heads of an even width at places (B or 1, T)."""
    angle = _angles(place, width, dtype)[:, None]  # (B or 1, 1, T, width / 2)
    return angle.cos().to(dtype), angle.sin().to(dtype)


def turned(x: torch.Tensor, turn: Turn) -> torch.Tensor:
    """Return queries or keys (B, heads, T, d) turned by their places (RoFormer, arXiv 2104.09864).

    The product of a query and a key then depends on how far apart they are, not on where. Pairs
    are a head's first half with its second.
    """
    cos, sin = turn
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def _angles(place: torch.Tensor, width: int, dtype: torch.dtype) -> torch.Tensor:
    # Half-precision numbers cannot count to 10,000.
    exact = torch.promote_types(dtype, torch.float32)
    column = torch.arange(0, width, 2, device=place.device, dtype=exact)
    return place[..., None].to(exact) * _BASE ** (-column / width)
