"""Where runs are carried out: the one place that another engine, such as a cluster's, is added to.

A job is a function with its arguments, both of which pickle; it is given a `Report`, through which
it tells how far it is. Nothing else of a sweep or a search knows of processes.
"""

import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait as wait_for
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any, Final, Protocol

from .fitting import EpochReport

MOST_DEATHS: Final = 3
"""Times that a job may be under way when a worker dies before it is given up."""
_PATIENCE: Final = 0.2
"""Seconds between two looks at what jobs report."""

Report = Callable[[EpochReport], None]
"""Takes what a run tells after each epoch."""
Watch = Callable[[str, EpochReport], None]
"""Takes the name of a job and what it tells."""


@dataclass(frozen=True)
class Job:
    """Something to carry out elsewhere."""

    name: str
    """Of its own among the jobs."""
    work: Callable[..., Any]
    """Called with a `Report` and the arguments; what goes wrong in it that a user can cause is part
    of what it returns. A function of a module, so that it pickles."""
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    job: Job
    value: Any
    """What its work returned; None if it was given up."""
    error: str | None = None
    """Why it was given up: its process died again and again."""


class Executor(Protocol):
    """Carries out jobs, some of them at the same time."""

    def run(self, jobs: Iterable[Job], watch: Watch) -> Generator[Outcome, None, None]:
        """Yield what becomes of each job, as they end.

        A job is taken from the iterable when there is room for it, not before.
        """


@dataclass(frozen=True)
class ProcessExecutor:
    """Carries out jobs in processes of this machine."""

    n_processes: int

    def run(self, jobs: Iterable[Job], watch: Watch) -> Generator[Outcome, None, None]:
        """Yield what becomes of each job, as they end.

        A worker that dies takes its pool with it; what was under way then is begun again (a run
        goes on from the state that it had saved), and given up when it was there at too many
        deaths. An error in a job's work ends everything, for it is a bug.
        """
        waiting: list[Job] = []
        deaths: dict[str, int] = {}
        source = iter(jobs)
        first = next(source, None)
        while first is not None:
            waiting.append(first)
            broken = yield from self._pool(waiting, source, watch)
            waiting = []
            for job in broken:
                deaths[job.name] = deaths.get(job.name, 0) + 1
                if deaths[job.name] < MOST_DEATHS:
                    waiting.append(job)
                else:
                    text = f"its process died {MOST_DEATHS} times; is there memory for it?"
                    yield Outcome(job, None, text)
            first = waiting.pop(0) if waiting else next(source, None)

    def _pool(self, waiting: list[Job], source: Iterator[Job], watch: Watch) -> Any:  # noqa: ANN401 - a generator that returns the jobs under way at a death
        """Yield outcomes of one pool of workers until all is done or a worker dies."""
        context = get_context("spawn")
        reports: Queue[tuple[str, EpochReport]] = context.Queue()
        pool = ProcessPoolExecutor(self.n_processes, context, _begin_worker, (reports,))
        futures: dict[Future[Any], Job] = {}
        broken: list[Job] = []
        with pool, _ended_on_error():
            while True:
                while not broken and len(futures) < self.n_processes:
                    job = waiting.pop(0) if waiting else next(source, None)
                    if job is None:
                        break
                    with _begun_without_interrupts():
                        futures[pool.submit(_work, job)] = job
                if not futures:
                    break
                done = wait(futures, timeout=_PATIENCE, return_when=FIRST_COMPLETED).done
                for name, report in _drained(reports):
                    watch(name, report)
                for future in done:
                    job = futures.pop(future)
                    try:
                        value = future.result()
                    except BrokenProcessPool:
                        broken.append(job)
                        continue
                    yield Outcome(job, value)
        return [*broken, *waiting]


def _drained(reports: "Queue[tuple[str, EpochReport]]") -> Iterator[tuple[str, EpochReport]]:
    while True:
        try:
            yield reports.get_nowait()
        except queue.Empty:
            return


@contextmanager
def _begun_without_interrupts() -> Iterator[None]:
    """Keep Ctrl-C from a process that is begun here: it is the parent's, also before all is set up.

    A process has the signals blocked that were so where it was begun.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _ended_on_error() -> Iterator[None]:
    """End the workers at once when all ends early: their runs go on from saved states."""
    try:
        yield
    except BaseException:
        for child in active_children():
            child.terminate()
        raise


_reports: "Queue[tuple[str, EpochReport]] | None" = None
"""In a worker: where it tells how far it is."""


def _begin_worker(reports: "Queue[tuple[str, EpochReport]]") -> None:
    """Leave Ctrl-C to the parent, and a worker's messages out of its display."""
    global _reports
    _reports = reports
    reports.cancel_join_thread()  # what is not read any more does not keep a worker from ending
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - as long as the process


def _end_with_parent() -> None:
    """End this process when its parent has been killed.

    It would go on otherwise, and write into folders of runs that the next start works on.
    """
    parent = parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    os._exit(1)


def _work(job: Job) -> Any:  # noqa: ANN401
    def report(told: EpochReport) -> None:
        assert _reports is not None
        _reports.put((job.name, told))

    return job.work(report, *job.arguments)
