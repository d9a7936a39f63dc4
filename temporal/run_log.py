"""What a run tells while it trains: `metrics.jsonl`, the same curves for TensorBoard, its best."""

import json
import math
from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..core.files import write_text_atomic
from ..core.tasks import Task
from .metrics import Scores
from .run_folder import METRICS_FILE

_KEYS = ("CCC_V", "CCC_A", "F1_EXPR", "F1_AU", "P_MTL")


class RunLog:
    """One line an epoch.

    Args:
        folder: of the run.
        lines: of the epochs before, when a run goes on.
    """

    def __init__(self, folder: Path, lines: Sequence[str] = ()) -> None:
        from torch.utils.tensorboard import SummaryWriter

        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()  # of a run that was broken off: its curves are drawn again
        self._path = folder / METRICS_FILE
        self.lines: list[str] = []
        self._board: Any = SummaryWriter(str(folder))
        for line in lines:
            self._add(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._board.close()

    def write(
        self,
        epoch: int,
        losses: dict[Task, float],
        learning_rate: float,
        scores: dict[str, Scores],
    ) -> None:
        """Add an epoch; `scores` are by split."""
        line: dict[str, Any] = {"epoch": epoch, "learning_rate": learning_rate, "loss": losses}
        for split, found in scores.items():
            line[split] = {key: getattr(found, key) for key in _KEYS}
        self._add(json.dumps(line, allow_nan=False))
        write_text_atomic(self._path, "\n".join(self.lines) + "\n")

    def _add(self, line: str) -> None:
        self.lines.append(line)
        facts = json.loads(line)
        for group, figures in facts.items():
            for key, value in figures.items() if isinstance(figures, dict) else ():
                if value is not None:
                    self._board.add_scalar(f"{group}/{key}", value, facts["epoch"])


class BestEpoch:
    """The best epoch so far, by P_MTL, or by its terms of some tasks only.

    Args:
        chosen_by: those tasks.
        patience: epochs without a better one after which training ends; 0 never does.
    """

    def __init__(self, chosen_by: Collection[Task], patience: int = 0) -> None:
        self._chosen_by = chosen_by
        self._patience = patience
        self.value = -math.inf
        self.epoch = 0

    def improves(self, epoch: int, scores: Scores) -> bool:
        """Take note of an epoch; return whether it is the best."""
        value = choice_value(scores, self._chosen_by)
        if value <= self.value:
            return False
        self.value, self.epoch = value, epoch
        return True

    def is_over(self, epoch: int) -> bool:
        """Return whether training ends after an epoch, for want of a better one."""
        return bool(self._patience) and epoch - self.epoch >= self._patience


def choice_value(scores: Scores, chosen_by: Collection[Task]) -> float:
    """Return what a checkpoint is chosen by: P_MTL's terms of the tasks, as far as labelled.

    With all four tasks, all annotated, that is P_MTL; AUs without a labelled row are left
    out of their mean.
    """
    per_au = list(scores.per_au.values())
    terms: dict[Task, float | None] = {
        "valence": None if scores.CCC_V is None else scores.CCC_V / 2,
        "arousal": None if scores.CCC_A is None else scores.CCC_A / 2,
        "expression": scores.F1_EXPR,
        "au": sum(per_au) / len(per_au) if per_au else None,
    }
    return sum(value for task, value in terms.items() if task in chosen_by and value is not None)
