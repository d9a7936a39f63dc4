"""Trains many runs: skips those that are done, goes on with those broken off, records failures.

A sweep is a folder: `sweep.yaml` says what is trained, each run has its folder in it, and
`failures.json` holds the error of each run that failed. Which run is done is told by its own
folder, so a sweep that was killed anywhere goes on when it is started again.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from ..core.errors import AbawError, UsageError
from ..core.files import write_json_atomic
from ..core.machine import usable_cpus
from ..core.table import text_table
from .config import RunConfig
from .errors import TemporalError
from .executor import Executor, Job, ProcessExecutor, Report
from .fitting import EpochReport
from .found_runs import FAILURES_FILE
from .metrics import figure
from .sweep_spec import SweepSpec, spec_from_file, write_spec
from .train import planned, train

SPEC_FILE: Final = "sweep.yaml"


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep."""

    config: RunConfig
    folder: Path
    is_done: bool


@dataclass
class SweepResult:
    """What became of a sweep."""

    folder: Path
    rows: list[tuple[str, float | None, float]] = field(default_factory=list)
    """Name, P_MTL and seconds of each run that is done; 0 seconds if it was done before."""
    failures: dict[str, str] = field(default_factory=dict)
    """Name of a run -> its error."""
    n_left: int = 0
    """Runs that failed before and were not tried again."""

    def text(self) -> str:
        """Return the runs, best first, and the failures, for people to read."""
        ranked = sorted(self.rows, key=lambda row: -1.0 if row[1] is None else row[1], reverse=True)
        table = [
            (name, figure(score, 3), f"{seconds:.0f}" if seconds else "-")
            for name, score, seconds in ranked
        ]
        lines = text_table([("run", "P_MTL", "s"), *table], (1, 2)) if table else []
        if self.failures:
            failed = [(name, error) for name, error in sorted(self.failures.items())]
            lines += ["", *text_table([("failed", "error"), *failed], ())]
        lines.append(f"{len(self.rows)} runs done, {len(self.failures)} failed, in {self.folder}")
        if self.n_left:
            lines.append(f"{self.n_left} failed before; --retry tries them again")
        return "\n".join(lines)

    def raise_for_failures(self) -> None:
        """Raise TemporalError if a run has failed."""
        if self.failures:
            message = (
                f"{len(self.failures)} runs of {self.folder} failed, see "
                f"{self.folder / FAILURES_FILE}; mend their settings, or start it with --retry"
            )
            raise TemporalError(message)


def plan_sweep(spec: SweepSpec, cache: Path, out: Path) -> list[PlannedRun]:
    """Return the runs of a sweep and which of them are done.

    Raises:
        CacheError, TemporalError, UsageError: stores are missing, or a combination cannot be.
    """
    runs = []
    for config in spec.configs():
        folder, done = planned(config, cache, out)
        runs.append(PlannedRun(config, folder, done))
    return runs


def plan_text(runs: Sequence[PlannedRun], jobs: int) -> str:
    """Return what a sweep would do, for people to read."""
    rows = [(run.folder.name, "done" if run.is_done else "to do") for run in runs]
    n_left = sum(not run.is_done for run in runs)
    lines = text_table([("run", ""), *rows], ())
    lines.append(f"{len(runs)} runs, {n_left} to do, {jobs} at a time")
    return "\n".join(lines)


def open_spec(spec: SweepSpec | None, out: Path) -> SweepSpec:
    """Return a sweep's spec and keep it in its folder; without one, what the folder holds.

    Raises:
        UsageError: there is none, or the folder holds another sweep.
    """
    path = out / SPEC_FILE
    if spec is None:
        if not path.exists():
            message = f"{out} holds no sweep to go on with; give a YAML file, or --features"
            raise UsageError(message)
        return spec_from_file(path)
    write_spec(path, spec)
    return spec


def n_jobs(text: str, threads: int) -> int:
    """Return how many runs go side by side: a number, or for `auto` what the cores hold.

    Raises:
        UsageError: it is neither.
    """
    if text == "auto":
        return max(1, usable_cpus() // threads)
    if not text.isdecimal() or int(text) < 1:
        message = f"--jobs must be a number from 1, or auto, but is {text!r}"
        raise UsageError(message)
    return int(text)


def sweep(
    spec: SweepSpec,
    cache: Path,
    out: Path,
    *,
    jobs: int = 1,
    retry: bool = False,
    progress: bool = True,
) -> SweepResult:
    """Train all runs of a sweep that are not done.

    Args:
        spec: the runs.
        cache: folder of the stores.
        out: folder of the sweep.
        jobs: processes that train side by side.
        retry: train runs again that failed before.
        progress: show a bar on stderr.

    Raises:
        CacheError, TemporalError, UsageError: stores are missing, or a combination cannot be; what
            goes wrong in a run is a failure of the sweep, not an error.
    """
    runs = plan_sweep(spec, cache, out)
    result = SweepResult(out)
    before = _read_failures(out)
    todo = []
    for run in runs:
        name = run.folder.name
        if run.is_done:
            result.rows.append((name, _score(run.folder), 0.0))
        elif name in before and not retry:
            result.failures[name] = before[name]
            result.n_left += 1
        else:
            todo.append(run)

    def watch(name: str, told: EpochReport) -> None:
        bar.set_description(f"{name} epoch {told.epoch}/{told.n_epochs}")

    with tqdm(
        total=len(runs), initial=len(runs) - len(todo), unit="run", disable=not progress
    ) as bar:
        work = [Job(run.folder.name, _train_one, (run.config, cache, run.folder)) for run in todo]
        executor: Executor = ProcessExecutor(jobs)
        for outcome in executor.run(work, watch):
            name = outcome.job.name
            error = outcome.error or (outcome.value if isinstance(outcome.value, str) else None)
            if error is not None:
                result.failures[name] = error
                tqdm.write(f"{name}: {error}", file=sys.stderr)
            else:
                result.rows.append((name, _score(out / name), outcome.value))
            write_json_atomic(out / FAILURES_FILE, dict(sorted(result.failures.items())))
            bar.update()
            best = max((score for _, score, _ in result.rows if score is not None), default=None)
            bar.set_postfix(best=figure(best, 3), failed=len(result.failures))
    if not todo and before:
        write_json_atomic(out / FAILURES_FILE, dict(sorted(result.failures.items())))
    return result


def _train_one(report: Report, config: RunConfig, cache: Path, folder: Path) -> float | str:
    """Train a run; return its seconds, or the sentence that says what went wrong."""
    start = time.perf_counter()
    try:
        train(config, cache, folder, progress=False, watch=report)
    except AbawError as error:
        return " ".join(str(error).split())
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    return time.perf_counter() - start


def _read_failures(out: Path) -> dict[str, str]:
    try:
        found = json.loads((out / FAILURES_FILE).read_text())
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _score(folder: Path) -> float | None:
    facts: dict[str, Any] = json.loads((folder / "run.json").read_text())
    scores = facts["scores"]
    return None if scores is None else scores["P_MTL"]
