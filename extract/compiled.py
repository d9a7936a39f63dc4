"""Networks through `torch.compile`, for those who ask for it."""

from collections.abc import Callable

import torch

from ..core.device import in_own_thread
from .errors import ExtractError

Forward = Callable[[torch.Tensor], list[torch.Tensor]]


def compiled(forward: Forward) -> Forward:
    """Return what computes the same, compiled by the first call for its shape of batches.

    Raises:
        ExtractError: by a call: the network, or any network on this machine, cannot be compiled.
    """
    from torch._dynamo.exc import TorchDynamoException  # a second to import

    fast: Forward = torch.compile(forward, dynamic=False)

    def run(frames: torch.Tensor) -> list[torch.Tensor]:
        try:
            return fast(frames)
        except TorchDynamoException as error:
            raise _cannot(error) from error

    return run


def check_compiler(device: torch.device) -> None:
    """Compile a trifle on the device, before any store is begun.

    Raises:
        ExtractError: torch cannot compile there.
    """
    trifle = compiled(lambda numbers: [torch.relu(numbers + 1)])
    in_own_thread(lambda: trifle(torch.ones(8, device=device)))


def _cannot(error: Exception) -> ExtractError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return ExtractError(
        f"--compile needs a network that torch.compile can compile, and a C++ compiler (on a GPU: "
        f"triton), but it failed: {reason}; install what is missing, or leave --compile out (with "
        f"a new --name where a store was begun with it)"
    )
