"""Sample data: drawn face videos with annotations in the challenge's own form.

`write_sample` draws people whose brows, eyes, mouths and cheeks follow smooth action-unit
trajectories; expression, valence and arousal follow from the action units by the rules of
`sample.rules`. Needs numpy and Pillow only.
"""

from .settings import (
    DIFFICULTIES,
    PRESETS,
    SAMPLE_VERSION,
    Difficulty,
    SampleSettings,
    settings_from_text,
)
from .write import DrawnVideo, SampleSummary, SplitCount, draw_videos, write_sample

__all__ = [
    "DIFFICULTIES",
    "Difficulty",
    "DrawnVideo",
    "PRESETS",
    "SAMPLE_VERSION",
    "SampleSettings",
    "SampleSummary",
    "SplitCount",
    "draw_videos",
    "settings_from_text",
    "write_sample",
]
