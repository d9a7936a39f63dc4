"""Trains the runs of a sweep, and of a dependency study those that its first runs call for."""

from pathlib import Path

from .dependency import with_shortcuts
from .sweep import SweepResult, open_spec, sweep
from .sweep_spec import DEPENDENCY, SweepSpec


def sweep_with_study(
    spec: SweepSpec,
    cache: Path,
    out: Path,
    *,
    jobs: int | None = 1,
    retry: bool = False,
    progress: bool = True,
) -> SweepResult:
    """Train all runs of a sweep that are not done; see `sweep` for arguments and errors.

    A study whose pairs of tasks are trained then gets the runs that tell which shortcuts the graph
    needs that they suggest.
    """
    result = sweep(spec, cache, out, jobs=jobs, retry=retry, progress=progress)
    if spec.preset == DEPENDENCY and not result.failures:
        more = with_shortcuts(out, cache)
        if more is not None:
            more = open_spec(more, out)
            result = sweep(more, cache, out, jobs=jobs, retry=retry, progress=progress)
    return result
