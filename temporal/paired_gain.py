"""Whether a measure gains: tested over seeds and recordings together.

Of each seed there is a run with and one without what is tested, judged on the same recordings. A
gain must hold for other seeds and for other recordings, so both are drawn at random in the test,
as readers and cases are where several readers judge the same cases: the analysis of variance of
jackknife pseudovalues of Dorfman, Berbaum and Metz (Investigative Radiology 27, 1992), with
pseudovalues normalised as Hillis has them (Statistics in Medicine 26, 2007). His degrees of freedom
take cases to be many; there are few recordings, so their part has R - 1 here (Satterthwaite).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ..core.tasks import Task
from .errors import TemporalError
from .score import RowLabels
from .task_measure import counting_rows, task_measure

Array = NDArray[np.float64]
SIGNIFICANT = 0.05
"""Largest chance of any false gain among all that are tested."""


@dataclass(frozen=True)
class Gain:
    """How much higher a measure is with something than without it."""

    value: float
    """Mean over seeds of the difference on all recordings."""
    error: float
    """Its standard error over seeds and recordings."""
    df: float
    """Degrees of freedom of that."""
    p: float
    """Two-sided, of this gain alone."""

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval."""
        half = float(stats.t.ppf(0.975, self.df)) * self.error
        return self.value - half, self.value + half


def pseudovalues(
    task: Task, predicted: NDArray[Any], rows: RowLabels, recording: Sequence[str]
) -> Array:
    """Return the jackknife pseudovalue of a task's measure of each recording, shape (R,).

    R m - (R - 1) m without the recording, moved so that their mean is the measure m of all rows.

    Args:
        task: whose measure.
        predicted: of each row, as `task_measure` takes it.
        rows: annotations.
        recording: of each row; those without a label of the task have no value.

    Raises:
        TemporalError: fewer than two recordings are labelled.
    """
    counts = counting_rows(task, rows)
    has_label = counts.any(axis=1) if counts.ndim == 2 else counts
    names = np.asarray(recording)
    found = np.unique(names[has_label])
    n = len(found)
    if n < 2:
        message = f"a gain of {task} is tested over recordings, which needs 2 with labels, not {n}"
        raise TemporalError(message)
    whole = _measure(task, predicted, rows, np.ones(len(names), np.bool_))
    without = np.array([_measure(task, predicted, rows, names != name) for name in found])
    values = n * whole - (n - 1) * without
    return np.asarray(values + (whole - values.mean()))


def _measure(
    task: Task, predicted: NDArray[Any], rows: RowLabels, is_chosen: NDArray[np.bool_]
) -> float:
    value = task_measure(task, predicted, rows, is_chosen)
    assert value is not None  # at least one other recording is labelled
    return value


def paired_gain(with_it: Array, without: Array) -> Gain:
    """Return the gain of pseudovalues (S, R) over others of the same S seeds and R recordings.

    Raises:
        ValueError: the shapes differ, or there are fewer than two seeds or recordings.
    """
    if with_it.shape != without.shape or with_it.ndim != 2 or min(with_it.shape) < 2:
        message = f"two tables of 2 seeds and 2 recordings at least, not {with_it.shape}"
        raise ValueError(message)
    difference = with_it - without  # (S, R)
    n_seeds, n_recordings = difference.shape
    mean = float(difference.mean())
    of_seed, of_recording = difference.mean(axis=1), difference.mean(axis=0)
    by_seed = n_recordings * of_seed.var(ddof=1)
    by_recording = n_seeds * of_recording.var(ddof=1)
    rest = difference - of_seed[:, None] - of_recording[None] + mean
    by_both = (rest**2).sum() / ((n_seeds - 1) * (n_recordings - 1))
    of_cases = max(by_recording - by_both, 0.0)
    spread = float(by_seed + of_cases)
    if spread == 0:  # every seed gains the very same
        return Gain(mean, 0.0, float(n_seeds - 1), 1.0 if mean == 0 else 0.0)
    error = (spread / difference.size) ** 0.5
    df = float(spread**2 / (by_seed**2 / (n_seeds - 1) + of_cases**2 / (n_recordings - 1)))
    return Gain(mean, error, df, float(2 * stats.t.sf(abs(mean) / error, df)))


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number, in their order (Holm, 1979).

    What is below a limit has, with all that is, at most that chance of one false find or more.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p)), key=lambda place: p[place])
    adjusted = [0.0] * len(p)
    least = 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = least
    return adjusted
