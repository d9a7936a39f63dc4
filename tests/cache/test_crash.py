"""A writer is ended before each of its writes in turn, and killed at random times.

After each: the store opens, every visible video is right, every committed video is there, and the
resumed store is bit-identical to the uninterrupted one.
"""

import io
import json
import os
import shutil
import signal
import threading
import time
import traceback
import warnings
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr

from abaw.cache import CacheError, StoreMissingError, h5_store, open_store, zarr_store, zarr_tree
from abaw.core.files import TEMPORARY_MARK

CRASHED = 77
BATCH = 3


# --- the job: what an extraction does with a writer -------------------------------------------


def run_job(kit, path, sources, dtype, acknowledge=lambda videos: None):
    """Bring the store to `sources`, whatever is there: only what is missing is added."""
    done = []
    with kit.open_writer(path, kit.make_spec(dtype=dtype)) as writer:
        for n_adds, (source, start, stop, version) in enumerate(work(writer, sources)):
            writer.add(source.video, **source.piece(start, stop, version))
            if stop == source.total:
                done.append(source.video)
            if n_adds % 2:
                writer.flush()
                acknowledge(done)
        writer.flush()
        acknowledge(done)
        writer.compact()
        acknowledge([source.video for source in sources])


def work(writer, sources):
    """Yield (source, start, stop, version) of the batches that the store lacks."""
    for source in sources:
        state, version, gaps = writer.state(source.video), 1, [(0, source.total)]
        if state is not None:
            is_current = all(
                piece.input_hash
                == source.hash(piece.source_start, piece.source_start + piece.source_length)
                for piece in state.pieces
            )
            version = state.version + (0 if is_current else 1)
            gaps = state.missing if is_current else gaps
        for first, last in gaps:
            for start in range(first, last, BATCH):
                yield source, start, min(start + BATCH, last), version


def make_sources(kit, seed=0):
    """Return videos of all kinds: short, long, partly and wholly unreadable."""
    return [
        kit.make_source("long", 8, seed, unreadable=[4]),
        kit.make_source("short", 2),
        kit.make_source("a/nested", 3),
        kit.make_source("unreadable", 2, unreadable=[0, 1]),
    ]


# --- the fault: the process ends before its k-th write ----------------------------------------


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

    for name in ("replace", "rename", "mkdir", "unlink", "rmdir", "link", "truncate"):
        is_move = name in {"replace", "rename", "link"}
        setattr(os, name, before(getattr(os, name), lambda *args, n=int(is_move): args[n]))
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


def crash_everywhere(kit, path, old, new, dtype, fault=lambda: None, stride=1):
    """End the writer before each of its writes in turn; return how many crashes fired.

    Args:
        old: sources the store holds before, or None for no store.
        new: sources that the writer brings it to.
        fault: breaks the writer on purpose, in the writer's process.
        stride: 1 for every write; else every write that a reader could see (its target has no
            temporary name) and, of the others, one in `stride`.
    """
    start = path.with_name("start")
    expected_path = path.with_name(f"whole{path.suffix}")
    start.mkdir(parents=True)
    if old is not None:
        first = start / path.name
        assert in_child(lambda _: run_job(kit, first, old, dtype))[0] == 0
        shutil.copytree(start, path.with_name("copy"))
        shutil.move(path.with_name("copy") / path.name, expected_path)
    assert in_child(lambda _: run_job(kit, expected_path, new, dtype))[0] == 0
    expected = kit.snapshot(expected_path)

    n_fired = 0
    for at in points_of(start, lambda store: run_job(kit, store, new, dtype), path, fault, stride):
        shutil.rmtree(path.parent / "job", ignore_errors=True)
        shutil.copytree(start, path.parent / "job")
        store = path.parent / "job" / path.name

        def crash(acknowledge, store=store, at=at):
            fault()
            arm(Trigger(at))
            run_job(kit, store, new, dtype, acknowledge)

        status, acknowledged = in_child(crash)
        assert status in {0, CRASHED}
        if status == 0:
            continue
        n_fired += 1
        check_after_crash(kit, store, old or [], new, acknowledged)
        assert in_child(lambda _, store=store: run_job(kit, store, new, dtype))[0] == 0
        assert kit.snapshot(store) == expected
        left = [p.name for p in (path.parent / "job").rglob("*") if ".tmp-" in p.name]
        assert not left, "temporaries of a dead writer stay"
    return n_fired


def points_of(start, job, path, fault, stride):
    """Return which writes, by number, the writer is to be ended before."""
    shutil.copytree(start, path.parent / "trace")

    def trace(tell):
        fault()
        trigger = Trigger()
        arm(trigger)
        job(path.parent / "trace" / path.name)
        tell(trigger.targets)

    status, targets = in_child(trace)
    assert status == 0
    return [n + 1 for n, target in enumerate(targets) if n % stride == 0 or is_visible(target)]


def is_visible(target):
    """Return whether a reader could see a change of this path."""
    # rmtree names what it removes from a temporary folder without the folder
    return TEMPORARY_MARK not in target and Path(target).is_absolute()


def check_after_crash(kit, path, old, new, acknowledged):
    """Assert that what is visible is right and that nothing committed is lost."""
    before = {source.video: source for source in old}
    after = {source.video: source for source in new}
    try:
        store = open_store(path)
    except StoreMissingError:
        assert not before
        assert not acknowledged
        return
    with store:
        for video, record in store.items():
            is_new = record.input_hash == after[video].hash()
            kit.assert_holds(store, (after if is_new else before)[video])
        must = {v for v, source in (before | after).items() if source.is_readable.any()}
        must &= before.keys() | set(acknowledged)
        assert must <= store.keys()
        for video in must & set(acknowledged):
            assert store[video].input_hash == after[video].hash()


# --- two faults that the check has to catch ----------------------------------------------------


def write_under_the_final_name():
    """Leave out the temporary name."""
    h5_store.temporary_path = zarr_store.temporary_path = lambda path: path


class _Later:
    """Remembers the rows, writes everything else at once."""

    def __init__(self, writer):
        self.writer = writer
        self.blocks = {}

    def create_rows(self, name, shape, dtype):
        self.writer.create_rows(name, shape, dtype)
        self.blocks[name] = [np.empty((0, *shape[1:]), dtype)]

    def append_rows(self, name, block):
        self.blocks[name].append(np.array(block))

    def write_array(self, name, array):
        self.writer.write_array(name, array)

    def write_attributes(self, attributes):
        self.writer.write_attributes(attributes)


def write_index_before_rows():
    """Publish a tree whose index is there and whose rows are written afterwards."""
    whole_file, whole_group = h5_store.write_file, zarr_store.write_group
    for kind in (h5_store._H5TreeWriter, zarr_tree.ZarrTreeWriter):
        kind.check_filled = lambda self: None

    @contextmanager
    def write_file(path):
        with whole_file(path) as writer:
            later = _Later(writer)
            yield later
            for name, blocks in later.blocks.items():  # room for the rows
                if any(map(len, blocks)):
                    writer._file[name][...] = 0
        with h5_store.WholeFile(path, "r+b") as stream, h5py.File(stream, "r+") as file:
            for name, blocks in later.blocks.items():
                file[name][...] = np.concatenate(blocks)

    @contextmanager
    def write_group(path):
        with whole_group(path) as writer:
            later = _Later(writer)
            yield later
        group = zarr.open_group(path, mode="r+")
        for name, blocks in later.blocks.items():
            if group[name].size:
                group[name][...] = np.concatenate(blocks)

    h5_store.write_file, zarr_store.write_group = write_file, write_group


# --- tests -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("is_update", [False, True], ids=["new", "update"])
@pytest.mark.heavy
def test_a_crash_at_a_visible_write_loses_nothing_that_was_committed(kit, path, is_update, dtype):
    old = make_sources(kit) if is_update else None
    new = [*make_sources(kit, seed=1), kit.make_source("new", 4)]
    n_fired = crash_everywhere(kit, path, old, new, dtype, stride=1_000)
    print(f"{n_fired} crash points fired at visible writes, {path.suffix}, {dtype}")
    assert n_fired >= 10


def make_few_sources(kit, seed=0):
    """Return the least that has every kind of write: pieces of a video, a failure, two videos.

    A Zarr tree takes some eighty writes where an HDF5 file takes a dozen, so the larger job would
    be two thousand crashes of nearly a second each.
    """
    return [kit.make_source("long", 5, seed, unreadable=[1]), kit.make_source("short", 1)]


def sweep(kit, path, is_update, dtype):
    """End the writer before every single write; return how many crashes fired."""
    make = make_few_sources if path.suffix == ".zarr" else make_sources
    if not is_update:
        return crash_everywhere(kit, path, None, make(kit), dtype)
    changed = [*make(kit, seed=1), kit.make_source("new", 2)]
    return crash_everywhere(kit, path, make(kit), changed, dtype)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    ("is_update", "dtype"),
    [(False, "float16"), (True, "float32"), (False, "float32"), (True, "float16")],
)
def test_a_crash_at_any_write_loses_nothing(kit, path, is_update, dtype, record_property):
    n_fired = sweep(kit, path, is_update, dtype)
    record_property("crash points", n_fired)
    print(f"{n_fired} crash points fired: update {is_update}, {path.suffix}, {dtype}")
    assert n_fired >= 100


@pytest.mark.heavy
@pytest.mark.parametrize("fault", [write_under_the_final_name, write_index_before_rows])
def test_the_crash_check_catches_a_writer_that_is_wrong(kit, path, fault):
    with pytest.raises((AssertionError, CacheError)) as caught:
        crash_everywhere(kit, path, None, make_sources(kit), "float32", fault, stride=1_000)
    print(f"{fault.__name__}, {path.suffix}: {type(caught.value).__name__}: {caught.value}")
