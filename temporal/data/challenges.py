"""What the files of each challenge hold: their columns, and the first line that names them."""

from collections.abc import Sequence
from typing import Final

from ...core.tasks import AUS, EXPRESSIONS, TASKS, Task
from .annotation_rows import VALUE_NAMES
from .published import Challenge

HEADERS: Final[dict[Challenge, tuple[str, ...]]] = {
    "mtl": ("valence", "arousal", "expression", "aus"),
    "va": ("valence", "arousal"),
    "expr": EXPRESSIONS,
    "au": AUS,
}
"""Names in the first line of every file; before them lists and submissions have one for the path.
An expression is one number all the same, and `aus` are twelve."""
COLUMNS: Final[dict[Challenge, range]] = {
    "mtl": range(len(VALUE_NAMES)),
    "va": range(2),
    "expr": range(2, 3),
    "au": range(3, len(VALUE_NAMES)),
}
"""Which of `VALUE_NAMES` a line has."""
TASKS_OF: Final[dict[Challenge, tuple[Task, ...]]] = {
    "mtl": TASKS,
    "va": ("valence", "arousal"),
    "expr": ("expression",),
    "au": ("au",),
}


def named_in(line: str) -> tuple[str, ...]:
    """Return the names in a first line, in lower case and without a comma at its end."""
    return tuple(cell.strip().lower() for cell in line.strip().rstrip(",").split(","))


def challenge_of(names: Sequence[str]) -> Challenge | None:
    """Return the challenge whose columns have these names, in lower case; None if none has."""
    for challenge, header in HEADERS.items():
        if tuple(names) == tuple(name.lower() for name in header):
            return challenge
    return None
