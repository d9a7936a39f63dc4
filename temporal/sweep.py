"""Trains many runs: skips those that are done, goes on with those broken off, records failures.

A sweep is a folder: `sweep.yaml` says what is trained, each run has its folder in it, and
`failures.json` holds the error of each run that failed. Which run is done is told by its own
folder, so a sweep that was killed anywhere goes on when it is started again.
"""

import json
import traceback
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from ..core.errors import AbawError, UsageError
from ..core.files import write_json_atomic
from ..core.table import text_table
from .config import RunConfig
from .data.shared_features import remove_shared
from .errors import TemporalError
from .executor import Executor, Job, ProcessExecutor, Report
from .found_runs import FAILURES_FILE, read_failures
from .metrics import figure
from .sweep_display import SweepDisplay
from .sweep_jobs import carried_out, choose, threads_each
from .sweep_plan import PlannedRun, plan_sweep
from .sweep_spec import SweepSpec, spec_from_file, write_spec
from .train import train
from .trial import Division

SPEC_FILE: Final = "sweep.yaml"
ERROR_FILE: Final = "error.txt"
"""In the folder of a run that an unexpected error ended: where it came from."""
SHARED_FOLDER: Final = ".shared-features"
"""While several runs are under way: the features that they have in common."""


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


def sweep(
    spec: SweepSpec,
    cache: Path,
    out: Path,
    *,
    jobs: int | None = 1,
    retry: bool = False,
    progress: bool = True,
) -> SweepResult:
    """Train all runs of a sweep that are not done.

    Args:
        spec: the runs. If it does not say `threads`, the cores are divided among the jobs.
        cache: folder of the stores.
        out: folder of the sweep.
        jobs: processes that train side by side; None tries how many are quickest.
        retry: train runs again that failed before.
        progress: show on stderr how far it is.

    Raises:
        CacheError, TemporalError, UsageError: stores are missing, or a combination cannot be; what
            goes wrong in a run is a failure of the sweep, not an error.
    """
    runs = plan_sweep(spec, cache, out)
    result = SweepResult(out)
    before = read_failures(out)
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
    shared = out / SHARED_FOLDER
    remove_shared(shared)  # of a sweep that was killed
    is_asked = "threads" in spec.fixed or "threads" in spec.grid
    try:
        if todo:
            if jobs is None:
                division = choose(todo, cache, out, shared, is_asked=is_asked)
            else:
                n = min(jobs, len(todo))
                division = Division(n, threads_each(n))
            work = _jobs(todo, cache, division, shared, is_asked=is_asked)
            _train_all(work, result, division.jobs, progress=progress)
        elif before:
            _write_failures(result)
    finally:
        remove_shared(shared)
    return result


def _jobs(
    todo: Sequence[PlannedRun], cache: Path, division: Division, shared: Path, *, is_asked: bool
) -> list[Job]:
    """Return the work of a sweep; one run at a time has nobody to share features with."""
    share = shared if division.jobs > 1 else None
    return [
        Job(
            run.folder.name,
            _train_one,
            (carried_out(run.config, division, is_asked=is_asked), cache, run.folder, share),
        )
        for run in todo
    ]


def _train_all(work: Sequence[Job], result: SweepResult, n_jobs: int, *, progress: bool) -> None:
    """Train runs and add what becomes of them to the result."""
    executor: Executor = ProcessExecutor(n_jobs)
    n_before = len(result.rows)
    told: set[str] = set()
    with (
        SweepDisplay(len(work) + n_before, n_before, n_jobs, progress=progress) as display,
        closing(executor.run(work, display.told)) as outcomes,
    ):
        for outcome in outcomes:
            name = outcome.job.name
            ended = outcome.value or Ended(error=outcome.error)
            for note in ended.notes:
                if note not in told:
                    told.add(note)
                    display.write(f"{name}: {note}")
            if ended.error is not None:
                result.failures[name] = ended.error
                display.failed(name, ended.error)
            else:
                score = _score(result.folder / name)
                result.rows.append((name, score, ended.seconds))
                display.ended(name, score, ended.seconds)
            try:
                _write_failures(result)
            except OSError as error:  # a full disk: the runs that are under way are not to blame
                display.write(f"{FAILURES_FILE} could not be written: {error}")


@dataclass(frozen=True)
class Ended:
    """What became of a run."""

    seconds: float = 0.0
    error: str | None = None
    """What went wrong, in a sentence."""
    notes: tuple[str, ...] = ()
    """What did not go as it was meant to."""


def _train_one(
    report: Report, config: RunConfig, cache: Path, folder: Path, share: Path | None
) -> Ended:
    """Train a run, whatever becomes of it: the others must not stop for its sake."""
    start = perf_counter()
    try:
        run = train(config, cache, folder, progress=False, watch=report, share=share)
    except AbawError as error:
        return Ended(error=" ".join(str(error).split()))
    except OSError as error:
        return Ended(error=f"{type(error).__name__}: {error}")
    except Exception as error:  # of a user's encoder, of memory, or a bug
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ERROR_FILE).write_text(traceback.format_exc())
            text += f" (unexpected; where it came from is in {folder / ERROR_FILE})"
        return Ended(error=text)
    with suppress(FileNotFoundError):
        (folder / ERROR_FILE).unlink()  # of an earlier start
    return Ended(perf_counter() - start, notes=run.notes)


def _write_failures(result: SweepResult) -> None:
    write_json_atomic(result.folder / FAILURES_FILE, dict(sorted(result.failures.items())))


def _score(folder: Path) -> float | None:
    facts: dict[str, Any] = json.loads((folder / "run.json").read_text())
    scores = facts["scores"]
    return None if scores is None else scores["P_MTL"]
