"""What a network's own initialisation draws, taken over while it is built."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class UniformDraws(TorchDispatchMode):
    """While active, every random number that a network is initialised with comes from one seed.

    Normal draws become uniform ones of the same mean and standard deviation, equal on every
    processor (see `initialise`); so do truncated normal ones, which torch and timm make by
    `erfinv_` of a uniform draw. Other kinds of draws (permutations, Bernoulli) come from torch's
    global generator, which is seeded alike and put back afterwards: those are the same on one
    machine, perhaps not on all.

    Args:
        seed: of every draw.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._seed = seed
        self._generator = torch.Generator().manual_seed(seed)
        self._state = torch.empty(0)

    def __enter__(self) -> "UniformDraws":
        self._state = torch.get_rng_state()
        torch.manual_seed(self._seed)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:  # noqa: ANN401
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        torch.set_rng_state(self._state)

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Run an operator, or draw in its place."""
        ops = torch.ops.aten
        if func is ops.uniform_.default:
            low, high = _pair(args)
            return args[0].copy_(self._uniform(args[0].shape) * (high - low) + low)
        if func is ops.normal_.default:
            mean, deviation = _pair(args)
            return args[0].copy_(self._standard(args[0].shape) * deviation + mean)
        if func is ops.erfinv_.default:
            # Of a uniform draw over (-1, 1): a normal one of deviation sqrt(1/2).
            return args[0].mul_(math.sqrt(3 / 2))
        made = func(*args, **(kwargs or {}))
        if func in (ops.randn.default, ops.randn.generator):
            made.copy_(self._standard(made.shape))
        elif func in (ops.rand.default, ops.rand.generator):
            made.copy_(self._uniform(made.shape))
        return made

    def _uniform(self, shape: torch.Size) -> torch.Tensor:
        return torch.empty(shape).uniform_(generator=self._generator)

    def _standard(self, shape: torch.Size) -> torch.Tensor:
        return (self._uniform(shape) - 0.5) * (2 * math.sqrt(3))


class ZeroDraws(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While active, random draws are 0: for networks whose numbers are all read afterwards.

    That is quicker than drawing them, six seconds for a large ViT, and moves no generator on.
    """

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Run an operator, or fill with zeros in its place."""
        if func in (torch.ops.aten.uniform_.default, torch.ops.aten.normal_.default):
            return args[0].zero_()
        return func(*args, **(kwargs or {}))


def _pair(args: tuple[Any, ...]) -> tuple[float, float]:
    """Return the two numbers after the tensor; torch leaves out those that are 0 and 1."""
    return (args[1] if len(args) > 1 else 0.0), (args[2] if len(args) > 2 else 1.0)
