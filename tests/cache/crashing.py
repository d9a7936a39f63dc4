"""A process that ends before its k-th change of the file system, for every k in turn."""

import io
import json
import os
import shutil
import signal
import threading
import time
import traceback
import warnings
from pathlib import Path

import pytest

from abaw.cache import h5_store
from abaw.core.files import TEMPORARY_MARK

CRASHED = 77


class Trigger:
    """Counts down and ends the process, with no clean-up, when it reaches zero."""

    def __init__(self, at=None):
        self.at = at
        self.targets = []
        self.lock = threading.Lock()

    def step(self, target):
        with self.lock:
            self.targets.append(str(target))
            if len(self.targets) == self.at:
                os._exit(CRASHED)


def arm(trigger):
    """Make every change of the file system in this process a step of `trigger`.

    An fsync changes nothing that a process could find after a kill, so it is no step.
    """

    def before(function, target=lambda *args: args[-1]):
        def stepping(*args, **kwargs):
            trigger.step(target(*args))
            return function(*args, **kwargs)

        return stepping

    for name in ("mkdir", "unlink", "rmdir", "truncate"):
        setattr(os, name, before(getattr(os, name), lambda *args: args[0]))
    for name in ("replace", "rename", "link"):
        setattr(os, name, before(getattr(os, name), lambda *args: max(args[:2], key=is_visible)))
    open_descriptor = os.open

    def stepping_os_open(file, flags, *args, **kwargs):
        if flags & os.O_CREAT:
            trigger.step(file)
        return open_descriptor(file, flags, *args, **kwargs)

    os.open = stepping_os_open
    whole = h5_store.WholeFile
    whole.__init__ = before(whole.__init__, lambda self, path, *_: path)
    for kind in ("write", "truncate"):
        setattr(whole, kind, before(getattr(whole, kind), lambda self, *_: self.name))

    class SteppingFile(io.FileIO):
        write = before(io.FileIO.write, lambda self, *_: self.name)
        truncate = before(io.FileIO.truncate, lambda self, *_: self.name)

    open_file = io.open

    def stepping_open(file, mode="r", *args, **kwargs):
        if not set(mode) & set("wax+"):
            return open_file(file, mode, *args, **kwargs)
        assert "b" in mode, f"text mode {mode} is not counted"
        trigger.step(file)
        return io.BufferedWriter(SteppingFile(file, mode))

    io.open = stepping_open


def in_child(work, timeout=120):
    """Run `work(acknowledge)` in a forked process; return (exit status, acknowledged videos)."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads
        child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            work(lambda videos: os.write(writer, json.dumps(videos).encode() + b"\n"))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writer)
    deadline = time.monotonic() + timeout
    with os.fdopen(reader, "rb") as stream:
        lines = stream.read().splitlines()
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status), json.loads(lines[-1]) if lines else []
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail("the writer hangs")


def crash_everywhere(start, job, check, *, fault=lambda: None, stride=1, most=None):
    """End a process before each of its changes in turn; return how many crashes fired.

    Args:
        start: folder as the job finds it; it is left alone, and each crash has a copy beside it.
        job: called with (folder, acknowledge).
        check: called after each crash with (folder, what was acknowledged last).
        fault: breaks the job on purpose, in the job's process.
        stride: 1 for every change; else every change that a reader could see (its target has no
            temporary name) and, of the others, one in `stride`.
        most: take so many of these, evenly spread; None takes all.
    """
    n_fired = 0
    points = _points(start, job, fault, stride)
    for at in points[:: -(-len(points) // most) if most else 1]:
        folder = start.with_name("job")
        shutil.copytree(start, folder)

        def crash(acknowledge, folder=folder, at=at):
            fault()
            arm(Trigger(at))
            job(folder, acknowledge)

        status, acknowledged = in_child(crash)
        assert status in {0, CRASHED}
        if status == CRASHED:
            n_fired += 1
            try:
                check(folder, acknowledged)
            except BaseException as error:
                error.add_note(f"ended before change {at}")
                raise
        shutil.rmtree(folder)
    return n_fired


def _points(start, job, fault, stride):
    """Return which changes, by number, the job is to be ended before."""
    folder = start.with_name("trace")
    shutil.copytree(start, folder)

    def trace(tell):
        fault()
        trigger = Trigger()
        arm(trigger)
        job(folder, lambda _: None)
        tell(trigger.targets)

    status, targets = in_child(trace)
    assert status == 0
    shutil.rmtree(folder)
    return [n + 1 for n, target in enumerate(targets) if n % stride == 0 or is_visible(target)]


def is_visible(target):
    """Return whether a reader could see a change of this path."""
    # rmtree names what it removes from a temporary folder without the folder
    return TEMPORARY_MARK not in str(target) and Path(target).is_absolute()
