"""What becomes of raw predictions: smoothing over time, and a threshold for each AU."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, get_args

import numpy as np
from numpy.typing import NDArray

from ..core.tasks import AUS, N_AUS, TASKS, Task
from .errors import PredictionError
from .predictions import PredictionTable
from .settings.training import Smoothing
from .smoothing import VideoSmoother
from .thresholds import DEFAULT_THRESHOLD

Array = NDArray[Any]

KINDS: Final[tuple[Smoothing, ...]] = get_args(Smoothing)
_KEYS: Final = ("smoothing", "width", "au_threshold")


@dataclass(frozen=True)
class PostProcess:
    """Parameters of post-processing; by default predictions stay as they are.

    Raises:
        ValueError: there is no such kind, a width is below 0, or a threshold is not in [0, 1].
    """

    kind: Smoothing = "none"
    """How predictions are smoothed; see `smooth`."""
    valence: int = 0
    """Width of smoothing in frame numbers; 0 leaves the task as it is."""
    arousal: int = 0
    expression: int = 0
    """Of the probabilities, before the most probable class is taken."""
    au: int = 0
    """Of the probabilities, before they are compared with the thresholds."""
    threshold: tuple[float, ...] = (DEFAULT_THRESHOLD,) * N_AUS
    """(12,) An AU is present from this probability."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            message = f"smoothing must be one of {', '.join(KINDS)}, but is {self.kind!r}"
            raise ValueError(message)
        if min(self.widths.values()) < 0:
            message = f"widths of smoothing must be 0 or more, but are {self.widths}"
            raise ValueError(message)
        if len(self.threshold) != N_AUS or not all(0 <= value <= 1 for value in self.threshold):
            message = f"thresholds must be {N_AUS} numbers from 0 to 1, but are {self.threshold}"
            raise ValueError(message)

    @property
    def widths(self) -> dict[Task, int]:
        """Task -> width."""
        return {task: getattr(self, task) for task in TASKS}

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters as JSON takes them."""
        return {
            "smoothing": self.kind,
            "width": dict(self.widths),
            "au_threshold": dict(zip(AUS, self.threshold, strict=True)),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str) -> "PostProcess":
        """Return the parameters that `to_dict` gave.

        Raises:
            PredictionError: a part is missing or not of its kind; the message says `where`.
        """
        try:
            width, threshold = values["width"], values["au_threshold"]
            if set(values) != set(_KEYS) or set(width) != set(TASKS) or set(threshold) != set(AUS):
                raise KeyError(_odd_key(values))
            if not all(type(width[task]) is int for task in TASKS):
                raise TypeError(width)
            return cls(
                kind=values["smoothing"],
                **{task: width[task] for task in TASKS},
                threshold=tuple(float(threshold[name]) for name in AUS),
            )
        except (KeyError, TypeError, ValueError) as error:
            message = (
                f"{where} must hold smoothing, a width of each task and a threshold of each AU, "
                f"but does not: {error}; fit it again"
            )
            raise PredictionError(message) from error

    def apply(self, table: PredictionTable) -> PredictionTable:
        """Return the table after post-processing; what is left alone stays bit for bit the same.

        Smoothed valence and arousal are clipped to [-1, 1]. A task that the table does not predict
        is left alone.

        Raises:
            PredictionError: probabilities are needed, but the table has none.
        """
        if self == PostProcess(self.kind):
            return table
        tasks = [task for task in TASKS if task in table.tasks]
        smoother = VideoSmoother(table.video, table.frame)
        changed: dict[str, Array] = {}
        for task in tasks:
            width = getattr(self, task)
            if width > 0 and self.kind != "none":
                column = smoothed_column(table, task, smoother, self.kind, width)
                changed[column_name(task)] = column
                if task == "expression":
                    changed["expression"] = column.argmax(axis=1).astype(np.int8)
        if "au" in tasks:
            changed |= self._present_aus(table, changed.get("p_au"))
        return replace(table, **changed)  # type: ignore[arg-type] # columns by their names

    def _present_aus(self, table: PredictionTable, smoothed: Array | None) -> dict[str, Array]:
        threshold = np.array(self.threshold)
        is_other = (threshold != DEFAULT_THRESHOLD) | (smoothed is not None)
        if not is_other.any():
            return {}
        probability = raw_column(table, "au") if smoothed is None else smoothed
        return {"au": np.where(is_other, is_present(probability, threshold), table.au)}


def _odd_key(values: Mapping[str, Any]) -> str:
    """Return the first key that is missing or not known."""
    for found, known in (
        (values, _KEYS),
        (values["width"], TASKS),
        (values["au_threshold"], AUS),
    ):
        odd = sorted(set(known) ^ set(found))
        if odd:
            return odd[0]
    return ""


def is_present(probability: Array, threshold: Array) -> NDArray[np.int8]:
    """Return the AUs (N, 12) as 0 or 1: present from the threshold on."""
    # In float64: a threshold may lie between two neighbouring float32.
    return (probability.astype(np.float64) >= np.asarray(threshold, np.float64)).astype(np.int8)


def column_name(task: Task) -> str:
    """Return the column of a table that is smoothed for a task: values, or probabilities."""
    return f"p_{task}" if task in {"expression", "au"} else task


def raw_column(table: PredictionTable, task: Task) -> Array:
    """Return the values (N,) or probabilities (N, C) of a task.

    Raises:
        PredictionError: the table has no probabilities.
    """
    column: Array | None = getattr(table, column_name(task))
    if column is None:
        message = (
            f"post-processing of {task} needs probabilities, but the predictions have none (a file "
            f"in submission form?); give a prediction table"
        )
        raise PredictionError(message)
    return column


def smoothed_column(
    table: PredictionTable, task: Task, smoother: VideoSmoother, kind: Smoothing, width: int
) -> NDArray[np.float32]:
    """Return the column of a task as `PostProcess.apply` stores it."""
    column = smoother.smooth(raw_column(table, task), kind, width)
    if task in {"valence", "arousal"}:
        column = column.clip(-1, 1)
    return column.astype(np.float32)
