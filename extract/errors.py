"""Errors of stage 1."""

from ..core.errors import AbawError, FramesError

__all__ = ["ExtractError", "FramesError", "WeightsError"]


class ExtractError(AbawError):
    """Frames, weights or settings of stage 1 are not as needed."""


class WeightsError(ExtractError):
    """A weights file cannot be read, is not safe, or does not fit its backbone."""
