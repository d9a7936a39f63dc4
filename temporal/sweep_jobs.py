"""How many runs go side by side, and with how many threads each."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from tqdm import tqdm

from ..core.device import resolve_device
from ..core.errors import UsageError
from ..core.machine import free_memory, usable_cpus
from .config import RunConfig
from .executor import Executor, Job, ProcessExecutor
from .run_folder import open_embeddings
from .sweep_cost import estimate
from .sweep_plan import PlannedRun
from .trial import Division, try_divisions

_MOST_THREADS: Final = 8
"""Given to a run that does not ask for more: small matrices are not worth them."""
_TRIAL_SECONDS: Final = 1.5
"""Of each division that is tried."""
_START_SECONDS: Final = 6.0
"""About what it takes a process to load torch and to read its data."""
_WORTH: Final = 10
"""A trial takes place if the sweep lasts this many times longer."""
_PROCESS_BYTES: Final = 600 << 20
"""About what a process that trains has of its own, on the host or, its context, on a GPU."""
_SHARE_OF_FREE: Final = 0.8


def parse_jobs(text: str) -> int | None:
    """Return how many runs go side by side; None for `auto`.

    Raises:
        UsageError: it is neither.
    """
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        message = f"--jobs must be a number from 1, or auto, but is {text!r}"
        raise UsageError(message)
    return int(text)


def threads_each(jobs: int) -> int:
    """Return the CPU threads of each of some runs side by side that do not ask for any."""
    return min(_MOST_THREADS, max(1, usable_cpus() // jobs))


def by_cores(threads: int) -> int:
    """Return how many runs of some threads each the cores hold, at least one."""
    return max(1, usable_cpus() // threads)


def carried_out(config: RunConfig, division: Division, *, is_asked: bool) -> RunConfig:
    """Return how a run is carried out beside others; what it is stays the same.

    Args:
        config: the run's settings.
        division: of the machine.
        is_asked: its threads were asked for.
    """
    changes: dict[str, int | float] = {} if is_asked else {"threads": division.threads}
    device = resolve_device(config.device)
    if device.type == "cuda" and division.jobs > 1:
        # Each would take half of what is free when it begins; two splits share a run's part.
        free = torch.cuda.mem_get_info(device)[0]
        most = _SHARE_OF_FREE * free / division.jobs - _PROCESS_BYTES
        changes["resident_gb"] = min(config.resident_gb, max(0.0, most / 2) / 2**30)
    return config.model_copy(update=changes)


def most_jobs(todo: Sequence[PlannedRun], cache: Path, threads: int) -> tuple[int, str]:
    """Return how many runs can go side by side, and what limits them, for people to read.

    On a GPU each process has its context and its features in the device's memory, and needs a core
    that feeds it.
    """
    config = todo[0].config
    device = resolve_device(config.device)
    limits = {
        "no more are left": len(todo),
        f"{usable_cpus()} cores": max(1, usable_cpus() // threads),
    }
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        each = _PROCESS_BYTES + _features_bytes(config, cache)
        text = f"{free / 1e9:.0f} GB free on the GPU at about {each / 1e9:.1f} GB a run"
        limits[text] = max(1, int(_SHARE_OF_FREE * free / each))
    elif device.type == "mps":
        limits["its device does not tell how much memory is free"] = 1
    if (free_host := free_memory()) is not None:
        text = f"{free_host / 1e9:.0f} GB of memory free at about {_PROCESS_BYTES / 1e9:.1f} GB"
        limits[f"{text} a process"] = max(1, int(_SHARE_OF_FREE * free_host / _PROCESS_BYTES))
    least = min(limits.values())
    return least, next(text for text, n in limits.items() if n == least)


def _features_bytes(config: RunConfig, cache: Path) -> int:
    """Return at most how large the features are that a run keeps."""
    stores = open_embeddings(cache, config.features)
    n_means = 1 + (config.context_mean > 0) + (config.video_mean == "add")
    rows = max(store.n_frames for store in stores)
    whole = 4 * rows * n_means * sum(store.dim for store in stores)
    return int(min(whole, 2 * config.resident_gb * 2**30))


def choose(
    todo: Sequence[PlannedRun], cache: Path, out: Path, share: Path, *, is_asked: bool
) -> Division:
    """Return how the machine is divided for a sweep, and tell on stderr why.

    Args:
        todo: runs that are left.
        cache: folder of the stores.
        out: folder of the sweep.
        share: folder of features in common.
        is_asked: threads were asked for, so only the number of runs is chosen.
    """
    asked = max(run.config.threads for run in todo)
    most, limit = most_jobs(todo, cache, asked if is_asked else 1)
    divisions = _divisions(most, asked if is_asked else None)
    widest = Division(most, asked if is_asked else threads_each(most))
    if most == 1:
        return _told(widest, limit)
    costs = estimate(todo, cache, out)
    trial = _START_SECONDS + _TRIAL_SECONDS * len(divisions)
    whole = None if costs is None else costs.side_by_side(most)
    if whole is not None and whole < _WORTH * trial:
        text = f"about {whole:.0f} s are too short for a trial of {trial:.0f} s; {limit}"
        return _told(widest, text)
    tqdm.write("--jobs auto: trying how many runs side by side are quickest", file=sys.stderr)
    rates = measured(todo[0].config, cache, divisions, share)
    if isinstance(rates, str):
        return _told(widest, f"a trial was not possible ({rates}); {limit}")
    best = min(
        zip(divisions, rates, strict=True),
        key=lambda found: -(-len(todo) // found[0].jobs) * found[0].jobs / found[1],
    )[0]
    tried = [
        f"{_text(division)} {rate:.1f}" for division, rate in zip(divisions, rates, strict=True)
    ]
    return _told(best, f"steps/s in all: {', '.join(tried)}")


def _divisions(most: int, threads: int | None) -> list[Division]:
    """Return what is tried: 1, 2, 4, ... runs, and as many as there can be.

    >>> _divisions(6, None)[0].jobs, _divisions(6, 2)[-1]
    (1, Division(jobs=6, threads=2))
    """
    counts = sorted({*(2**k for k in range(most.bit_length())), most})
    found = [Division(n, threads or max(1, usable_cpus() // n)) for n in counts]
    if found[-1].threads > 1 and threads is None:  # few runs on many cores
        found.append(Division(most, 1))
    return found


def measured(
    config: RunConfig, cache: Path, divisions: Sequence[Division], share: Path
) -> list[float] | str:
    """Return the steps per second of all runs together in each division, or why there are none.

    Every division is tried with the same processes, of which some wait.
    """
    n_processes = max(division.jobs for division in divisions)
    executor: Executor = ProcessExecutor(n_processes)
    with tempfile.TemporaryDirectory() as folder:
        arguments = (divisions, _TRIAL_SECONDS, Path(folder), share)
        work = [
            Job(f"trial {number}", try_divisions, (config, cache, number, *arguments))
            for number in range(n_processes)
        ]
        outcomes = [
            outcome.error or outcome.value for outcome in executor.run(work, lambda *_: None)
        ]
    failed = [outcome for outcome in outcomes if isinstance(outcome, str)]
    if failed:
        return min(failed, key=lambda text: "another process" in text)  # the one that was first
    return [sum(rates) for rates in zip(*outcomes, strict=True)]


def _told(division: Division, why: str) -> Division:
    tqdm.write(f"--jobs auto: {_text(division)} ({why})", file=sys.stderr)
    return division


def _text(division: Division) -> str:
    runs = "1 run" if division.jobs == 1 else f"{division.jobs} runs"
    threads = "1 thread" if division.threads == 1 else f"{division.threads} threads"
    return f"{runs} with {threads}{' each' if division.jobs > 1 else ''}"
