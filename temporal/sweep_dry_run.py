"""What a sweep would do, and about how long that takes, without any training."""

from pathlib import Path

from tqdm import tqdm

from .found_runs import read_failures
from .sweep_cost import estimate
from .sweep_jobs import most_jobs
from .sweep_plan import plan_sweep, plan_text
from .sweep_spec import SweepSpec


def dry_run_text(spec: SweepSpec, cache: Path, out: Path, jobs: int | None) -> str:
    """Return the runs of a sweep, what differs between them, and an estimate of the time.

    Args:
        spec: the runs.
        cache: folder of the stores.
        out: folder of the sweep; it need not be there.
        jobs: runs side by side; None is as many as there can be, for no trial takes place here.

    Raises:
        CacheError, TemporalError, UsageError: stores are missing, or a combination cannot be.
    """
    runs = plan_sweep(spec, cache, out)
    failed = read_failures(out)
    todo = [run for run in runs if not run.is_done and run.folder.name not in failed]
    how = [f"{jobs} at a time"] if jobs is not None else []
    if todo:
        if jobs is None:
            jobs, limit = most_jobs(todo, cache, 1)
            how.append(f"at most {jobs} at a time ({limit}), which a trial would decide")
        costs = estimate(todo, cache, out)
        if costs is None:
            how.append("and no time estimate: none of them could take a step")
        else:
            span = tqdm.format_interval(round(costs.side_by_side(jobs)))
            how.append(f"about {span} (from {costs.source()})")
    return plan_text(runs, list(failed), how)
