"""How fast a run takes its steps, alone and beside others: what a sweep is planned by."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from ..core.device import resolve_device
from .config import RunConfig
from .data.dataset import SequenceDataset
from .data.features import FeatureMaker
from .data.shared_features import SharedFeatures
from .data.standardize import fit_standardizer
from .errors import TemporalError
from .executor import Report
from .loop import TrainingLoop, cpu_threads
from .nets.build import build_network
from .precision import training_precision
from .train import begin, read_splits

_WARM_UP: Final = 3
"""Steps before the clock starts: the first ones make what later ones use again."""
_MANY_EPOCHS: Final = 10**6
"""So that a trial on few frames does not come to the end of the schedule."""
_FORWARD: Final = 1 / 3
"""Of a step's time: the backward pass takes about twice as long."""
_PATIENCE: Final = 300.0
"""Seconds that a process of a trial waits for the others to have read their data."""


class TrialRun:
    """The beginning of a run; nothing of it is kept.

    Args:
        config: the run's settings; its network is not compiled.
        cache: folder of the stores.
        share: folder of features that runs side by side have in common, if any.

    Raises:
        CacheError, TemporalError, UsageError: as `train.train`.
    """

    def __init__(self, config: RunConfig, cache: Path, share: Path | None = None) -> None:
        start = time.perf_counter()
        self._config = config.model_copy(update={"epochs": _MANY_EPOCHS, "compile": False})
        self._epochs = config.epochs
        device = self._device = resolve_device(config.device)
        begun = begin(self._config, cache, None, Path())
        splits, _ = read_splits(begun.config, begun.stores, begun.selection, tell=False)
        maker = FeatureMaker(fit_standardizer(splits.train), config)
        shared = None if share is None else SharedFeatures(share, begun.data["stores"])
        dataset = SequenceDataset(
            splits.train, maker, device, resident_bytes=config.resident_gb * 2**30, shared=shared
        )
        with self._as_it_was():
            network = build_network(maker.n_features, begun.config, list(splits.trained)).to(device)
            precision = training_precision(config, device)
            self._loop = TrainingLoop(begun.config, network, dataset, precision)
        plans = self._loop.feed.epoch(0)
        self._n_steps = len(plans)
        self._frames_per_step = sum(plan.rows.numel() for plan in plans) / max(1, len(plans))
        n_val = sum(map(len, splits.val or ()))
        is_causal = network.is_causal
        self._n_judged = n_val if is_causal else n_val / max(1 - config.overlap, 1e-2)
        self._to_begin = time.perf_counter() - start

    def _as_it_was(self) -> AbstractContextManager[None]:
        """Keep what is drawn in the block from what is drawn after it."""
        devices = [self._device] if self._device.type == "cuda" else []
        return torch.random.fork_rng(devices=devices)

    def _steps(self) -> Iterator[None]:
        while True:
            yield from self._loop.steps()

    def steps_per_second(
        self, threads: int, seconds: float, ready: Callable[[], None] = lambda: None
    ) -> float:
        """Take steps for some seconds, at least one, and return how many a second.

        Args:
            threads: CPU threads of one operation.
            seconds: wall time.
            ready: is called when all is warm, before the clock starts.
        """
        with cpu_threads(threads), self._as_it_was():
            steps = self._steps()
            for _ in range(_WARM_UP):
                next(steps)
            self._wait()
            ready()
            start, n = time.perf_counter(), 0
            while n == 0 or time.perf_counter() - start < seconds:
                next(steps)
                n += 1
            self._wait()
            return n / (time.perf_counter() - start)

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        elif self._device.type == "mps":
            torch.mps.synchronize()

    def seconds_of_run(self, rate: float) -> float:
        """Return about how long the whole run takes at a rate of steps per second."""
        judged = self._n_judged / max(1.0, self._frames_per_step) * _FORWARD  # in steps
        n_steps = self._epochs * self._n_steps + (self._epochs + 1) * judged
        return self._to_begin + n_steps / rate


@dataclass(frozen=True)
class Division:
    """How a machine is divided among runs."""

    jobs: int
    """Side by side."""
    threads: int
    """CPU threads of one operation, of each."""


def try_divisions(
    _: Report,
    config: RunConfig,
    cache: Path,
    number: int,
    divisions: Sequence[Division],
    seconds: float,
    meeting: Path,
    share: Path | None,
) -> list[float] | str:
    """Take part in a trial of divisions, one after another; the work of one process.

    Args:
        config: what each process trains.
        cache: folder of the stores.
        number: of this process, from 0; it takes steps in divisions of more jobs than that.
        divisions: what is tried.
        seconds: wall time of each.
        meeting: an empty folder, in which the processes tell each other how far they are.
        share: folder of features in common, if any.

    Returns:
        Steps per second in each division, 0 where it took none; or what went wrong.
    """
    n_processes = max(division.jobs for division in divisions)
    try:
        (meeting / f"begun-{number}").touch(exist_ok=False)  # not twice: a process has died
        run = TrialRun(config, cache, share)
        rates = []
        for place, division in enumerate(divisions):
            _meet(meeting, f"ready-{place}", number, n_processes)
            rate = 0.0
            if number < division.jobs:

                def ready(place: int = place, n: int = division.jobs) -> None:
                    _meet(meeting, f"warm-{place}", number, n)

                rate = run.steps_per_second(division.threads, seconds, ready)
            rates.append(rate)
    except Exception as error:  # of the data, of memory, of a user's encoder: a run will say it too
        (meeting / "failed").touch()
        return " ".join(str(error).split()) or type(error).__name__
    return rates


def _meet(folder: Path, name: str, number: int, n: int) -> None:
    """Wait until all of `n` processes have come here.

    Raises:
        TemporalError: one has failed, or does not come.
    """
    (folder / f"{name}-{number}").touch()
    end = time.monotonic() + _PATIENCE
    while sum(1 for _ in folder.glob(f"{name}-*")) < n:
        if (folder / "failed").exists() or time.monotonic() > end:
            message = "another process of the trial failed, or did not come in time"
            raise TemporalError(message)
        time.sleep(0.002)
