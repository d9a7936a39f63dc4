"""Which frames a frame attends to, and attention that computes no more than that."""

from dataclasses import dataclass
from math import ceil
from typing import Final

import torch
import torch.nn.functional as F

_LEAST_BLOCK: Final = 64
"""Frames in a block of attention with a context: fewer would not fill matrix products."""


@dataclass(frozen=True)
class View:
    """What each of T frames sees of the keys; made once a forward, for all layers.

    With a context, frames are taken in blocks, each with the keys that any of its frames may see:
    time and memory grow with T, not with its square.
    """

    mask: torch.Tensor | None
    """True = seen: (B or 1, 1, T or 1, keys), or (B * blocks, 1, block, window); None is all."""
    is_causal: bool = False
    """Without a mask: a frame sees itself and those before it."""
    block: int = 0
    """Frames in a block; 0 takes all at once."""
    window: int = 0
    """Keys in front of a block."""
    front: int = 0
    """Keys to be put before the first; none of them is seen."""


def attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, view: View, dropout: float
) -> torch.Tensor:
    """Return (B, heads, T, d) of queries (B, heads, T, d), keys and values (B, heads, S, d)."""
    if not view.block:
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=view.mask, dropout_p=dropout, is_causal=view.is_causal
        )
    B, heads, T, d = q.shape
    blocks = ceil(T / view.block)
    q = F.pad(q, (0, 0, 0, blocks * view.block - T))
    q = q.view(B, heads, blocks, view.block, d).transpose(1, 2).flatten(0, 1)
    y = F.scaled_dot_product_attention(
        q,
        _windows(k, view, blocks),
        _windows(v, view, blocks),
        attn_mask=view.mask,
        dropout_p=dropout,
    )
    y = y.view(B, blocks, heads, view.block, d).transpose(1, 2)
    return y.reshape(B, heads, blocks * view.block, d)[:, :, :T]


def _windows(k: torch.Tensor, view: View, blocks: int) -> torch.Tensor:
    """Return the keys (B, heads, S, d) that each block sees: (B * blocks, heads, window, d)."""
    n_keys = (blocks - 1) * view.block + view.window
    k = F.pad(k, (0, 0, view.front, n_keys - view.front - k.shape[2]))
    windows = k.unfold(2, view.window, view.block)  # (B, heads, blocks, d, window)
    return windows.permute(0, 2, 1, 4, 3).flatten(0, 1)


def view_of_all(is_frame: torch.Tensor, *, is_padded: bool) -> View:
    """Return the view in which a frame sees all real frames.

    Args:
        is_frame: (B, T).
        is_padded: False only if all are real.
    """
    if not is_padded:
        return View(None)
    # A row without a real frame has to see something, else it is 0 / 0; nothing comes of it.
    is_empty = ~is_frame.any(dim=1, keepdim=True)
    return View((is_frame | is_empty)[:, None, None, :])


def view_back(is_frame: torch.Tensor, is_past: torch.Tensor | None) -> View:
    """Return the view in which a frame sees itself and all before it.

    Padding is at the end, so no real frame looks that way.

    Args:
        is_frame: (B, T).
        is_past: (B, P), which of the keys of earlier segments are real; None if there are none.
    """
    if is_past is None:
        return View(None, is_causal=True)
    T = is_frame.shape[1]
    until = torch.ones(T, T, dtype=torch.bool, device=is_frame.device).tril()
    past = is_past[:, None, :].expand(-1, T, -1)
    return View(torch.cat([past, until.expand(len(past), -1, -1)], dim=2)[:, None])


def view_near(
    is_frame: torch.Tensor,
    is_past: torch.Tensor | None,
    context: int,
    *,
    is_padded: bool,
) -> View:
    """Return the view in which a frame sees itself and up to `context` frames on each side.

    Args:
        is_frame: (B, T).
        is_past: (B, context), which of the keys of earlier segments are real: then a frame sees
            only frames before it. None for both sides.
        context: at least 1.
        is_padded: False only if all frames are real.
    """
    B, T = is_frame.shape
    device = is_frame.device
    behind = context if is_past is None else 0
    block = min(T, max(context, _LEAST_BLOCK))
    blocks = ceil(T / block)
    window = context + block + behind
    if is_past is not None:
        is_key = torch.cat([is_past, is_frame], dim=1)
    else:
        is_key = is_frame if is_padded else torch.ones(1, T, dtype=torch.bool, device=device)
        is_key = F.pad(is_key, (context, 0))
    is_key = F.pad(is_key, (0, (blocks - 1) * block + window - is_key.shape[1]))
    is_key = is_key.unfold(1, window, block)  # (B or 1, blocks, window)
    frame = torch.arange(block, device=device)[:, None]
    distance = torch.arange(window, device=device) - context - frame  # (block, window)
    is_near = (distance >= -context) & (distance <= behind)
    # Padding sees itself, else it is 0 / 0; nothing comes of it.
    mask = (is_near & is_key[:, :, None, :]) | (distance == 0)  # (B or 1, blocks, block, window)
    mask = mask.expand(B, -1, -1, -1).flatten(0, 1)[:, None]
    front = context if is_past is None else 0
    return View(mask, block=block, window=window, front=front)
