"""Errors of stage 2."""

from ..core.errors import AbawError


class TemporalError(AbawError):
    """Labels, features or predictions of stage 2 are not as needed."""


class AnnotationError(TemporalError):
    """An annotation file is not of the challenge's form."""


class PredictionError(TemporalError):
    """A prediction file is not of its form, or lacks rows."""


class StudyError(TemporalError):
    """The study of a search cannot be read or written, or is another one."""


def cannot_compile(reason: str) -> TemporalError:
    """Return the error for a network that torch.compile cannot compile here."""
    return TemporalError(
        f"compile=true needs a network that torch.compile can compile, and a C++ compiler (on a "
        f"GPU: triton), but it failed: {reason}; install what is missing, or leave it out"
    )
