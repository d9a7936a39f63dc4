"""What a run of a study is that is no model to predict with."""

from typing import Annotated

from pydantic import BeforeValidator

from ...core.tasks import Task
from .base import Settings


def _tasks(value: object) -> object:
    return [part for part in value.split("+") if part] if isinstance(value, str) else value


class StudySettings(Settings):
    """Settings of studies."""

    chosen_by: Annotated[tuple[Task, ...], BeforeValidator(_tasks)] = ()
    """Tasks by whose measures the checkpoint is chosen, `valence+au`; none is all that are
    trained."""
    shown_by: Annotated[tuple[Task, ...], BeforeValidator(_tasks)] = ()
    """Tasks of which a window, or video, must hold a label to be shown in training; none is those
    that are trained. So runs of different tasks can take the very same steps."""
    oracle: bool = False
    """Whether `label-feedback` is fed the true labels, in training throughout and when it is
    judged: an upper bound. Such a run cannot predict, and its scores are marked."""
