"""Errors of stage 1."""

from ..core.errors import AbawError, FramesError

__all__ = ["ExtractError", "FramesError", "WeightsError"]


class ExtractError(AbawError):
    """Frames, weights or settings of stage 1 are not as needed."""


class WeightsError(ExtractError):
    """A weights file cannot be read, is not safe, or does not fit its backbone."""


def cannot_compile(reason: str) -> ExtractError:
    """Return the error for a network that torch.compile cannot compile here."""
    return ExtractError(
        f"--compile needs a network that torch.compile can compile, and a C++ compiler (on a GPU: "
        f"triton), but it failed: {reason}; install what is missing, or leave --compile out (with "
        f"a new --name where a store was begun with it)"
    )
