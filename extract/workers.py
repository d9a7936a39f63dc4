"""Several devices of one machine: a process each, parts of one store from all."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

from ..core.device import resolve_device
from ..core.errors import AbawError, UsageError
from .compute import Done, compute, positions
from .errors import ExtractError
from .frames import FrameSet
from .interrupt import InterruptedRunError, StopSignal
from .meter import Meter
from .options import RunOptions
from .plan import Job, plan_jobs
from .progress import ProgressBar
from .requests import EmbeddingRequest
from .shards import split

_MOST_DEATHS: Final = 3
"""A device whose process dies as often without having computed anything is given up."""
_MOST_IN_VAIN: Final = 20
"""So is one whose processes die as often, whatever they compute, without anything committed: a
frame that ends each of them would else be tried for ever."""
_REPORT_FRAMES: Final = 32
"""Frames between two reports of a process."""
_WAIT_SECONDS: Final = 0.2


def check_devices(devices: Sequence[str]) -> None:
    """Raise UsageError unless the devices are there and all of one type.

    Embeddings of one store must be equal whatever device of it computed them.
    """
    types = {resolve_device(device).type for device in devices}
    if len(types) > 1:
        message = (
            f"--devices must be of one type, whose kernels give the same digits, but got "
            f"{', '.join(sorted(types))}; leave one type out"
        )
        raise UsageError(message)


@dataclass
class _Task:
    """What a process needs to know."""

    frames: FrameSet
    requests: Sequence[EmbeddingRequest]
    cache: Path
    options: RunOptions


@dataclass
class _Worker:
    """A device with its videos, and the process that is at it."""

    task: _Task
    process: BaseProcess
    connection: Connection
    n_frames: int
    """To be decoded, as the parent or the process found."""
    n_left: int
    meter: Meter
    is_moving: bool = False
    """The process has computed something."""
    n_deaths: int = 0
    """One after another, without anything computed."""
    n_in_vain: int = 0
    """Deaths one after another, without anything committed."""
    n_begun: int = -1
    """Frames that the process found to do; -1 while it looks."""
    is_gone: bool = False
    """The process has ended."""
    done: Done | None = None

    @property
    def device(self) -> str:
        return self.task.options.device


def compute_on_devices(
    jobs: Sequence[Job],
    frames: FrameSet,
    requests: Sequence[EmbeddingRequest],
    cache: Path,
    options: RunOptions,
    progress: ProgressBar,
) -> Done:
    """Have each device of `options.devices` compute its part of the videos.

    The stores must be there already; each process adds parts to them. The videos of a process that
    dies are given to a new one, which goes on from what was committed.

    Args:
        jobs: the embeddings and what is to do.
        frames: all videos of the run.
        requests: the embeddings, for the processes.
        cache: folder of the stores.
        options: how to run.
        progress: shows the sum.

    Raises:
        ExtractError: a process died repeatedly without computing anything.
        InterruptedRunError: after Ctrl-C or SIGTERM, with everything computed committed.
        AbawError: what a process met.
    """
    left = {video: len(positions(jobs, video)) for video in frames.videos}
    left = {video: count for video, count in left.items() if count}
    progress.begin(sum(left.values()))
    workers: list[_Worker] = []
    with StopSignal() as stop:
        try:
            for device, videos in zip(
                options.devices, split(left, len(options.devices)), strict=True
            ):
                if videos:
                    own = replace(
                        options, device=device, devices=(), workers=_threads_of_one(options)
                    )
                    task = _Task(frames.only(videos), requests, cache, own)
                    n_frames = sum(left[video] for video in videos)
                    workers.append(_start(task, n_frames, n_deaths=0))
            _watch(workers, progress, stop)
        finally:
            _end(workers)
    if stop.number is not None:
        message = "interrupted: what was computed is kept; run the same command to go on"
        raise InterruptedRunError(message, stop.number)
    total = Done()
    for worker in workers:
        total.add(worker.done or Done())
    return total


def _threads_of_one(options: RunOptions) -> int:
    return max(1, options.n_workers // len(options.devices))


def _watch(workers: list[_Worker], progress: ProgressBar, stop: StopSignal) -> None:
    """Wait for all processes; a dead one is replaced."""
    n_frames = sum(worker.n_frames for worker in workers)
    while any(worker.done is None for worker in workers):
        running = [worker for worker in workers if worker.done is None]
        wait([worker.connection for worker in running], _WAIT_SECONDS)
        if stop.number is not None:
            return
        for worker in running:
            _hear(worker)
            if worker.done is None and worker.is_gone:
                workers[workers.index(worker)] = _replaced(worker)
        meter = Meter()
        for worker in workers:
            meter.add(worker.meter)
        progress.move_to(n_frames - sum(worker.n_left for worker in workers), meter)


def _hear(worker: _Worker) -> None:
    """Take what a process says."""
    try:
        while worker.connection.poll():
            kind, value = worker.connection.recv()
            if kind == "left":
                worker.n_left, worker.meter = value
                worker.n_begun = worker.n_left if worker.n_begun < 0 else worker.n_begun
            elif kind == "computed":
                worker.is_moving = True
            elif kind == "done":
                worker.done, worker.n_left = value, 0
            else:
                raise value
    except (EOFError, ConnectionResetError):
        worker.is_gone = True  # only its end closes the pipe


def _replaced(worker: _Worker) -> _Worker:
    """Return a new process for the videos of a dead one."""
    worker.process.join()
    code = worker.process.exitcode or 0
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    n_deaths = 0 if worker.is_moving else worker.n_deaths + 1
    is_nearer = 0 <= worker.n_begun < worker.n_frames
    n_in_vain = 0 if is_nearer else worker.n_in_vain + 1
    if n_deaths >= _MOST_DEATHS or n_in_vain >= _MOST_IN_VAIN:
        number, what = (
            (n_deaths, "computed") if n_deaths >= _MOST_DEATHS else (n_in_vain, "committed")
        )
        message = (
            f"the process on {worker.device} {how}, {number} times one after another and before "
            f"it had {what} anything; what the others computed is kept; look for its own message "
            f"above, or leave {worker.device} out of --devices"
        )
        raise ExtractError(message)
    print(
        f"the process on {worker.device} {how}; a new one goes on with its videos", file=sys.stderr
    )
    worker.connection.close()
    n_frames = worker.n_begun if is_nearer else worker.n_frames
    return _start(worker.task, n_frames, n_deaths=n_deaths, n_in_vain=n_in_vain)


def _start(task: _Task, n_frames: int, *, n_deaths: int, n_in_vain: int = 0) -> _Worker:
    # A forked process could not use CUDA, and would hold the parent's locks.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    name = f"abaw-{task.options.device}"
    process = context.Process(target=_work, args=(theirs, task), name=name)
    process.start()
    theirs.close()
    worker = _Worker(task, process, ours, n_frames, n_frames, Meter())
    worker.n_deaths, worker.n_in_vain = n_deaths, n_in_vain
    return worker


def _end(workers: Sequence[_Worker]) -> None:
    """Have all processes commit what they computed, and wait for them."""
    for worker in workers:
        if worker.process.is_alive():
            worker.process.terminate()
    for worker in workers:
        while worker.process.is_alive():
            _drop(worker)
            worker.process.join(_WAIT_SECONDS)
        worker.connection.close()


def _drop(worker: _Worker) -> None:
    """Empty the pipe, so that the process does not wait for room in it."""
    with suppress(EOFError, OSError):
        while worker.connection.poll():
            worker.connection.recv()


class _Report:
    """Progress of a process, told to its parent."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._n_left = 0
        self._is_moving = False

    def begin(self, n_frames: int) -> None:
        self._n_left = n_frames
        self._tell("left", (n_frames, Meter()))

    def advance(self, meter: Meter) -> None:
        self._n_left -= 1
        if not self._is_moving and meter.seconds["device"] > 0:  # a batch has come back
            self._is_moving = True
            self._tell("computed", None)
        if self._n_left % _REPORT_FRAMES == 0:
            self._tell("left", (self._n_left, meter))

    def _tell(self, kind: str, value: Any) -> None:  # noqa: ANN401 - whatever the kind needs
        try:
            self._connection.send((kind, value))
        except BrokenPipeError:
            # The parent is gone: end as if it had asked for it.
            os.kill(os.getpid(), signal.SIGTERM)


def _work(connection: Connection, task: _Task) -> None:
    """Compute the videos of a task; runs in a process of its own."""
    # Ctrl-C goes to all processes of a terminal; the parent passes it on as SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    report = _Report(connection)
    try:
        with ExitStack() as stack:
            pool = stack.enter_context(ThreadPoolExecutor(task.options.n_workers, "decode"))
            jobs = plan_jobs(
                task.requests,
                task.cache,
                task.options,
                task.frames,
                pool,
                stack,
                progress=False,
            )
            done = compute(jobs, task.frames, pool, task.options, report)
    except InterruptedRunError as error:
        sys.exit(error.exit_code)
    except AbawError as error:
        with suppress(BrokenPipeError):
            connection.send(("error", error))
        sys.exit(error.exit_code)
    with suppress(BrokenPipeError):
        connection.send(("done", done))
