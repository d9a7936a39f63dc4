"""How labels follow from action-unit intensities.

An intensity is a number in [0, 1]; each of the 12 AUs has one per frame. From the 12 numbers of a
frame, and nothing else:

AU present
    where its intensity is 0.5 or more.

Expression
    *Neutral* where no AU is present. Else each of the six basic expressions gets the fit

        fit = mean intensity of its own AUs - mean intensity of the AUs foreign to it

    (an AU that often comes along counts for neither); the best fit names the expression if it is
    0.4 or more, else the frame is *Other*.

    ==========  ============  ===============
    expression  own AUs       may come along
    ==========  ============  ===============
    Anger       4, 7, 23      24
    Disgust     10, 15        7
    Fear        1, 2, 4, 25   7
    Happiness   6, 12         7, 25, 26
    Sadness     1, 4, 15      24
    Surprise    1, 2, 25, 26
    ==========  ============  ===============

    The pairing follows the usual EMFACS prototypes as far as the challenge's 12 AUs allow (AU5, 9,
    17 and 20 are not among them).

Valence, arousal
    a weighted sum of the intensities, squashed into (-1, 1) by s / (1 + |s|); the weights are
    `VALENCE` and `AROUSAL` below. A face at rest has valence 0 and arousal -0.444.

Intensities are rounded to 1/4096 first. They are made by operations that IEEE 754 fixes, so the
labels are the same on every machine; the rounding guards against a future operation that is not.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from ..core.tasks import AUS, EXPRESSIONS

Array = npt.NDArray[np.float64]

PRESENT: Final = 0.5
"""Intensity from which an AU counts as present."""
LEAST_FIT: Final = 0.4
"""Fit from which an expression is named; below it an active face is Other."""

OWN: Final[dict[str, tuple[int, ...]]] = {
    "Anger": (4, 7, 23),
    "Disgust": (10, 15),
    "Fear": (1, 2, 4, 25),
    "Happiness": (6, 12),
    "Sadness": (1, 4, 15),
    "Surprise": (1, 2, 25, 26),
}
ALONG: Final[dict[str, tuple[int, ...]]] = {
    "Anger": (24,),
    "Disgust": (7,),
    "Fear": (7,),
    "Happiness": (7, 25, 26),
    "Sadness": (24,),
    "Surprise": (),
}

VALENCE: Final[dict[int, float]] = {
    1: -0.25, 2: 0.15, 4: -0.7, 6: 0.9, 7: -0.1, 10: -0.7, 12: 1.6, 15: -1.0, 23: -0.5, 24: -0.4,
}  # fmt: skip
AROUSAL: Final[dict[int, float]] = {
    1: 0.1, 2: 0.7, 4: 0.2, 6: 0.3, 7: 0.5, 12: 0.3, 15: -0.6, 23: 0.7, 24: 0.1, 25: 0.4, 26: 0.7,
}  # fmt: skip
AROUSAL_AT_REST: Final = -0.8

COLUMN: Final = {int(name.removeprefix("AU")): column for column, name in enumerate(AUS)}
"""AU number -> column."""


def _row(weights: dict[int, float]) -> list[float]:
    """Weights by AU number as a row of 12."""
    row = [0.0] * len(AUS)
    for unit, weight in weights.items():
        row[COLUMN[unit]] = weight
    return row


def _fit_row(name: str) -> list[float]:
    """Weights that give one expression's fit."""
    foreign = set(COLUMN) - set(OWN[name]) - set(ALONG[name])
    own = dict.fromkeys(OWN[name], 1.0 / len(OWN[name]))
    return _row(own | dict.fromkeys(foreign, -1.0 / len(foreign)))


_FIT: Final = np.array([_fit_row(name) for name in OWN])
_CODES: Final = np.array([EXPRESSIONS.index(name) for name in OWN])
_NEUTRAL: Final = EXPRESSIONS.index("Neutral")
_OTHER: Final = EXPRESSIONS.index("Other")
_AFFECT: Final = np.array([_row(VALENCE), _row(AROUSAL)])


def _weighted(intensity: Array, weights: Array) -> Array:
    """Sums over AUs, shape (n, rows), added in AU order; BLAS would not promise an order."""
    total = np.zeros((len(intensity), len(weights)))
    for column in range(len(AUS)):
        total = total + intensity[:, column, None] * weights[None, :, column]
    return total


def labels(intensity: Array) -> tuple[Array, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return what annotators would write, by the rules above.

    Args:
        intensity: shape (n, 12) in [0, 1], columns in the order of `AUS`.

    Returns:
        valence and arousal, shape (n, 2), rounded to 3 decimals; expression, shape (n,), 0 to 7;
        AUs, shape (n, 12), 0 or 1.

    >>> smile = np.zeros((1, 12))
    >>> smile[0, [COLUMN[6], COLUMN[12]]] = 0.9
    >>> affect, expression, au = labels(smile)
    >>> EXPRESSIONS[expression[0]], affect[0].tolist(), int(au.sum())
    ('Happiness', [0.692, -0.206], 2)
    """
    rounded = np.rint(intensity * 4096) / 4096
    au = (rounded >= PRESENT).astype(np.int64)
    fit = _weighted(rounded, _FIT)
    best = _CODES[fit.argmax(axis=1)]
    expression = np.where(fit.max(axis=1) >= LEAST_FIT, best, _OTHER)
    expression = np.where(au.any(axis=1), expression, _NEUTRAL)
    total = _weighted(rounded, _AFFECT) + np.array([0.0, AROUSAL_AT_REST])
    affect = np.rint(total / (1.0 + np.abs(total)) * 1000) / 1000
    return affect, expression.astype(np.int64), au
