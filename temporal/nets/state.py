"""What a network carries from one segment of a video to the next."""

import torch

State = torch.Tensor | tuple["State", ...] | None
"""Tensors with the batch first, of which zeros stand for the start of a video, or tuples of such;
None is the start for the whole batch."""


def detached(state: State) -> State:
    """Return the state without its history: gradients end at the border of a segment."""
    if isinstance(state, torch.Tensor):
        return state.detach()
    return None if state is None else tuple(detached(part) for part in state)


def restarted(state: State, is_start: torch.Tensor) -> State:
    """Return the state with the start of a video in the rows (B,) where `is_start`."""
    if isinstance(state, torch.Tensor):
        where = is_start.reshape(-1, *[1] * (state.ndim - 1))
        return torch.where(where, torch.zeros((), dtype=state.dtype, device=state.device), state)
    return None if state is None else tuple(restarted(part, is_start) for part in state)


def selected(state: State, rows: torch.Tensor) -> State:
    """Return the state of some rows (n,)."""
    if isinstance(state, torch.Tensor):
        return state.index_select(0, rows)
    return None if state is None else tuple(selected(part, rows) for part in state)
