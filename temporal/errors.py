"""Errors of stage 2."""

from ..core.errors import AbawError


class TemporalError(AbawError):
    """Labels, features or predictions of stage 2 are not as needed."""


class AnnotationError(TemporalError):
    """An annotation file is not of the challenge's form."""


class PredictionError(TemporalError):
    """A prediction file is not of its form, or lacks rows."""
