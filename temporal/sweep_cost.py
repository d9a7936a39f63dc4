"""How long the runs of a sweep take: from runs like them that are done, else from a probe."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import torch

from ..core.errors import AbawError
from .config import CARRIED_OUT, RunConfig
from .run_folder import RUN_FILE, read_run
from .sweep_plan import PlannedRun
from .trial import TrialRun

_OTHER_ONLY: Final = ("seed", "data_seed", "fold", "folds", *CARRIED_OUT)
"""Settings that do not change how long a run takes, or hardly."""
_PROBE_SECONDS: Final = 0.5
_MOST_SECONDS: Final = 20.0
"""After this long no more kinds of run are probed."""


@dataclass
class Costs:
    """About how long each run takes."""

    seconds: list[float] = field(default_factory=list)
    """Of each run, on one core, in the order of the runs."""
    n_finished: int = 0
    """Finished runs that were looked at, of the same settings but for seed and fold."""
    n_probed: int = 0
    """Kinds of run whose first steps were taken to see."""
    n_guessed: int = 0
    """Kinds that the mean of the others stands for, for probing them all takes too long."""

    def side_by_side(self, jobs: int) -> float:
        """Return about how many seconds all take, some at the same time."""
        if not self.seconds:
            return 0.0
        return max(sum(self.seconds) / min(jobs, len(self.seconds)), max(self.seconds))

    def source(self) -> str:
        """Return what the figures are from, for people to read."""
        parts = []
        if self.n_finished:
            parts.append(_counted(self.n_finished, "finished run") + " like these")
        if self.n_probed:
            parts.append("a probe of " + _counted(self.n_probed, "kind"))
        if self.n_guessed:
            parts.append(_counted(self.n_guessed, "more kind") + " taken as their mean")
        return ", ".join(parts)


def estimate(todo: Sequence[PlannedRun], cache: Path, out: Path) -> Costs | None:
    """Return about how long runs take; None if not even one can be told.

    Finished runs under `out` are looked at first; of kinds of run that have none the first one is
    probed: it takes steps for half a second in this process, and nothing of it is kept.
    """
    found = _finished(out)
    costs = Costs()
    of_kind: dict[str, float | None] = {}
    end = time.monotonic() + _MOST_SECONDS
    for run in todo:
        kind = _kind(run.config)
        if kind in of_kind:
            continue
        of_kind[kind] = None
        if kind in found:
            of_kind[kind] = sum(found[kind]) / len(found[kind])
            costs.n_finished += len(found[kind])
        elif time.monotonic() < end:
            of_kind[kind] = _probed(run.config, cache)
            costs.n_probed += of_kind[kind] is not None
    known = [value for value in of_kind.values() if value is not None]
    if not known:
        return None
    costs.n_guessed = len(of_kind) - len(known)
    mean = sum(known) / len(known)
    for run in todo:
        value = of_kind[_kind(run.config)]
        costs.seconds.append(mean if value is None else value)
    return costs


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _kind(config: RunConfig) -> str:
    """Return the settings that runs of like cost have in common."""
    kept = {key: value for key, value in config.to_dict().items() if key not in _OTHER_ONLY}
    return json.dumps(kept, sort_keys=True)


def _finished(out: Path) -> dict[str, list[float]]:
    """Return kind of run -> the seconds of each finished run under a folder."""
    found: dict[str, list[float]] = {}
    for path in sorted(out.glob(f"*/{RUN_FILE}")):
        try:
            facts = read_run(path.parent)
            config = RunConfig.from_dict(facts["config"], str(path))
            seconds = float(facts["cost"]["seconds"])
        except (AbawError, KeyError):  # of an older version, or no run: it tells nothing
            continue
        found.setdefault(_kind(config), []).append(seconds)
    return found


def _probed(config: RunConfig, cache: Path) -> float | None:
    """Return about the seconds of a run from its first steps; None if it cannot take them."""
    try:
        run = TrialRun(config, cache)
        return run.seconds_of_run(run.steps_per_second(config.threads, _PROBE_SECONDS))
    except Exception:  # whatever it is, also of a user's encoder: the run itself will say it
        return None
    finally:
        torch.cuda.empty_cache()  # nothing without a GPU
