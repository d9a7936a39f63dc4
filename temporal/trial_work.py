"""Trains the runs of one trial, in a process of its own, and tells the study of their epochs."""

import shutil
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

import torch

from ..core.errors import AbawError
from .config import RunConfig
from .errors import StudyError
from .executor import Report
from .fitting import EpochReport
from .metrics import Scores
from .run_folder import RUN_FILE, read_run
from .run_log import choice_value
from .train import train

_SCORES: Final = ("CCC_V", "CCC_A", "F1_EXPR", "F1_AU", "N", "per_expression", "per_au")


@dataclass(frozen=True)
class TrialWork:
    """One trial, as a worker is given it."""

    url: str
    study: str
    trial_id: int
    runs: tuple[tuple[RunConfig, Path], ...]
    """Settings and folder of each run, in order."""
    cache: Path
    n_epochs: int
    """Most epochs of a run, of all trials."""
    warmup: int | None
    """Epochs before which the trial is not pruned; None never prunes it."""


@dataclass(frozen=True)
class TrialEnd:
    """What became of a trial."""

    kind: Literal["done", "pruned", "failed"]
    value: float | None = None
    """The mean over its runs, or what it had come to when it was pruned."""
    error: str | None = None


class _PoorTrialError(Exception):
    """Ends a run whose trial is worse than most."""

    def __init__(self, value: float) -> None:
        super().__init__(value)
        self.value = value


def train_trial(report: Report, work: TrialWork) -> TrialEnd:
    """Train the runs of a trial one after another; return what became of it.

    Step k * n_epochs + e of a trial is epoch e of its run k (from 0), and its value there the mean
    of the runs before and of that epoch. A run that is pruned leaves nothing behind; the study has
    its curve. Without the study, a trial goes on unpruned: its end is told by its folders.
    """
    study = _Told(work)
    values: list[float] = []
    for place, (config, folder) in enumerate(work.runs):

        def watch(told: EpochReport, place: int = place) -> None:
            step = place * work.n_epochs + told.epoch
            mean = None if told.value is None else (sum(values) + told.value) / (place + 1)
            best = None if told.best is None else (sum(values) + told.best) / (place + 1)
            total = len(work.runs) * work.n_epochs
            report(replace(told, epoch=step, n_epochs=total, value=mean, best=best))
            is_last = told.epoch == told.n_epochs
            if mean is not None and study.is_poor(step, mean) and not is_last:
                raise _PoorTrialError(mean)

        try:
            train(config, work.cache, folder, progress=False, watch=watch)
            values.append(run_value(read_run(folder)))
        except _PoorTrialError as end:
            if not (folder / RUN_FILE).exists():
                shutil.rmtree(folder, ignore_errors=True)  # what stays is no finished run either
            return TrialEnd("pruned", end.value)
        except AbawError as error:
            return TrialEnd("failed", error=" ".join(str(error).split()))
        except (OSError, MemoryError, torch.OutOfMemoryError) as error:
            reason = (str(error).splitlines() or [""])[0]
            return TrialEnd("failed", error=f"{type(error).__name__}: {reason}")
    return TrialEnd("done", sum(values) / len(values))


def run_value(facts: dict[str, Any]) -> float:
    """Return what a run's checkpoint was chosen by: P_MTL, or its terms of the trained tasks.

    Args:
        facts: what `run.json` holds.
    """
    found = {key: facts["scores"][key] for key in _SCORES}
    return choice_value(Scores(**found), facts["tasks"])


class _Told:
    """The study as a trial tells it; once it cannot be reached, it is left in peace."""

    def __init__(self, work: TrialWork) -> None:
        self._work = work
        self._is_there = True

    def is_poor(self, step: int, value: float) -> bool:
        """Tell what the trial has come to; return whether it is worse than most."""
        work = self._work
        if not self._is_there:
            return False
        try:
            study: Any = _study(work.url, work.study, work.warmup)
            return bool(study.report(work.trial_id, step, value))
        except StudyError:
            self._is_there = False
            return False


@lru_cache(maxsize=1)
def _study(url: str, name: str, warmup: int | None) -> Any:  # noqa: ANN401
    """Return the study, opened once in a process: opening takes longer than a short epoch."""
    from .study import SharedStudy

    return SharedStudy(url, name, warmup=warmup)
