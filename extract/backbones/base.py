"""A network with how its output becomes one vector a frame, and one pass for several of those."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from ...cache.spec import Flip

Trunk = Callable[[Any, torch.Tensor], Any]
"""From the network and frames (B, C, S, S) to its last unpooled output, of any form."""
Reading = Callable[[Any, Any], torch.Tensor]
"""From the network and an output of it to vectors (B, D)."""


class Embedder(nn.Module):
    """A network and how one of its outputs becomes one vector a frame.

    Several embedders may hold the same network; `forward_all` runs it once for all of them.

    Args:
        network: owns the weights; its state-dict keys are those of published checkpoints.
        trunk: runs the network.
        reading: makes vectors of the output.
        dim: D.
        layer: submodule whose output is read; None for what `trunk` returns.
        flip: the frame (`no`), its mirror image (`mirror`), or the mean of both (`mean`).
    """

    def __init__(
        self,
        network: nn.Module,
        trunk: Trunk,
        reading: Reading,
        dim: int,
        *,
        layer: str | None = None,
        flip: Flip = "no",
    ) -> None:
        super().__init__()
        self.network = network
        self.trunk = trunk
        self.reading = reading
        self.dim = dim
        self.layer = layer
        self.flip: Flip = flip

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the embeddings (B, D) of normalised frames (B, C, S, S)."""
        return forward_all([self], frames)[0]


def forward_all(embedders: Sequence[Embedder], frames: torch.Tensor) -> list[torch.Tensor]:
    """Return the embeddings (B, D) of each embedder, from one pass through their network.

    They are equal, bit for bit, to those of each embedder alone. The pass ends as soon as all that
    is asked for is there. Mirror images, where an embedder wants them, are a second pass.

    Args:
        embedders: at least one; all hold one network.
        frames: normalised, (B, C, S, S).

    Raises:
        ValueError: the embedders do not share one network.
    """
    network = embedders[0].network
    if any(embedder.network is not network for embedder in embedders):
        message = "embedders must hold one and the same network to share a forward pass"
        raise ValueError(message)
    straight = _one_pass([one for one in embedders if one.flip != "mirror"], frames)
    mirrored = _one_pass([one for one in embedders if one.flip != "no"], frames, mirror=True)
    found = []
    for embedder in embedders:
        if embedder.flip == "mean":
            both = straight.pop(0).float() + mirrored.pop(0).float()
            found.append(both / 2)
        else:
            found.append((mirrored if embedder.flip == "mirror" else straight).pop(0))
    return found


class _AllCapturedError(Exception):
    """Nothing further down the network is wanted; ends a forward pass."""


def _one_pass(
    embedders: list[Embedder], frames: torch.Tensor, *, mirror: bool = False
) -> list[torch.Tensor]:
    """Return the embeddings of each embedder for one orientation of the frames."""
    if not embedders:
        return []
    network = embedders[0].network
    found: dict[int, torch.Tensor] = {}
    n_captured = sum(embedder.layer is not None for embedder in embedders)
    runs_through = n_captured < len(embedders)

    def hook(place: int) -> Callable[[nn.Module, Any, Any], None]:
        def capture(_module: nn.Module, _inputs: object, output: Any) -> None:  # noqa: ANN401
            # Read here and copied: a later module may write into this output in place.
            found[place] = embedders[place].reading(network, output).clone()
            if not runs_through and len(found) == n_captured:
                raise _AllCapturedError

        return capture

    handles = [
        network.get_submodule(embedder.layer).register_forward_hook(hook(place))
        for place, embedder in enumerate(embedders)
        if embedder.layer is not None
    ]
    try:
        output = embedders[0].trunk(network, frames.flip(3) if mirror else frames)
    except _AllCapturedError:
        output = None
    finally:
        for handle in handles:
            handle.remove()
    for place, embedder in enumerate(embedders):
        if embedder.layer is None:
            found[place] = embedder.reading(network, output)
    return [found[place] for place in range(len(embedders))]
