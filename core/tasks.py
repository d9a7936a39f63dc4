"""The four tasks of the challenge: their names, orders and sizes.

The order is always valence, arousal, expression, action units. The markers that annotation
files use for "not annotated" (-5 and -1) are not here: they begin and end in
`temporal.data.annotation_rows`, and are written once more by `cache.interop_abaw4_out`, whose
layout has no masks.
"""

from typing import Final, Literal, get_args

Task = Literal["valence", "arousal", "expression", "au"]
TASKS: Final[tuple[Task, ...]] = get_args(Task)

EXPRESSIONS: Final = (
    "Neutral",
    "Anger",
    "Disgust",
    "Fear",
    "Happiness",
    "Sadness",
    "Surprise",
    "Other",
)
"""Index = label value, as in the challenge's files. This is not AffectNet's order."""

AUS: Final = (
    "AU1",
    "AU2",
    "AU4",
    "AU6",
    "AU7",
    "AU10",
    "AU12",
    "AU15",
    "AU23",
    "AU24",
    "AU25",
    "AU26",
)
"""Column order of the challenge's action units."""

N_EXPRESSIONS: Final = len(EXPRESSIONS)
N_AUS: Final = len(AUS)

TASK_WIDTH: Final[dict[Task, int]] = {
    "valence": 1,
    "arousal": 1,
    "expression": N_EXPRESSIONS,
    "au": N_AUS,
}
"""Number of outputs of each task's head."""
