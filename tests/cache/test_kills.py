"""Writers and tools are killed at random times; only kills that land while they run are counted."""

import os
import random
import select
import shutil
import signal
import time
import warnings

import pytest

from abaw.cache import (
    StoreMissingError,
    convert_store,
    list_stores,
    merge_stores,
    open_store,
    repair_store,
    verify_store,
)

from .crashing import in_child
from .stores import BACKEND, OTHER, Sources, damage_rows

N_VIDEOS = 2_000
"""So many that a tool takes some tenths of a second."""


def killed(job, seconds):
    """Run a job in a process and kill it after some seconds; return whether it was still at it."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads
        child = os.fork()
    if child == 0:
        status = 1
        try:
            os.write(writer, b"g")
            job()
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        assert stream.read(1) == b"g"
        is_over = select.select([stream], [], [], seconds)[0]  # its end closes the pipe
    os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == (0 if is_over else -signal.SIGKILL) or code == 0
    return code != 0


def seconds_of(job):
    """Return how long a job takes in a process of its own."""
    began = time.monotonic()
    assert in_child(lambda _: job())[0] == 0
    return time.monotonic() - began


def rows_of(path):
    """Return {video: its version and bytes}, empty if there is no store."""
    try:
        with open_store(path) as store:
            return {
                video: (record.version, record.embedding.tobytes(), record.frame.tobytes())
                for video, record in store.items()
            }
    except StoreMissingError:
        return {}


# --- a writer -------------------------------------------------------------------------------------


def write_some(sources, path, n):
    """Bring a store to `n` videos, two parts a video, compacted now and then."""
    with sources.kit.open_writer(path) as writer:
        for number in range(n):
            source = sources(f"v{number:02d}")
            state = writer.state(source.video)
            for start, stop in [(0, 2), (2, 4)] if state is None else state.missing:
                writer.add(source.video, **source.piece(start, stop))
                writer.flush()
            if number % 5 == 4:
                writer.compact()
        writer.compact()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_200_kills_while_videos_are_missing_lose_nothing(kit, path, record_property):
    rng, sources, n = random.Random(0), Sources(kit), 12
    whole = path.parent / "whole" / path.name
    seconds = seconds_of(lambda: write_some(sources, whole, n))
    expected, snapshot = rows_of(whole), kit.snapshot(whole)
    n_hit = n_tried = 0
    while n_hit < 200:
        n_tried += 1
        assert n_tried < 2000, f"only {n_hit} kills hit"
        store = path.parent / "job" / path.name
        is_inside = killed(
            lambda store=store: write_some(sources, store, n), rng.uniform(0, seconds)
        )
        found = rows_of(store)
        assert found.items() <= expected.items()
        n_hit += is_inside and 0 < len(found) < n
        assert in_child(lambda _, store=store: write_some(sources, store, n))[0] == 0
        assert kit.snapshot(store) == snapshot
        shutil.rmtree(store.parent)
    record_property("kills", n_hit)
    print(f"{n_hit} of {n_tried} kills hit while videos were missing: {path.suffix}")


# --- tools ----------------------------------------------------------------------------------------


def names_of(first, last):
    return [f"v{number:05d}" for number in range(first, last)]


def _merge_before(sources, folder, suffix):
    sources.write(folder / "two" / f"mae{suffix}", names_of(N_VIDEOS // 2, N_VIDEOS))
    sources.write(folder / "f" / f"mae{suffix}", names_of(0, N_VIDEOS // 2), [("v00000", 2)])


def _merge(folder, suffix):
    merge_stores([folder / "two" / "mae"], folder / "f" / f"mae{suffix}")


def _store(sources, folder, suffix):
    sources.write(folder / "f" / f"mae{suffix}", names_of(0, N_VIDEOS), [("v00000", 2)])


def _convert(folder, suffix):
    convert_store(folder / "f" / "mae", backend=BACKEND[OTHER[suffix]])


def _damaged(sources, folder, suffix):
    _store(sources, folder, suffix)
    damage_rows(sources, folder / "f" / f"mae{suffix}", "v00777")


def _repair(folder, suffix):
    repair_store(folder / "f" / "mae", verify_store(folder / "f" / "mae", workers=1))


TOOLS = {
    "merge": (_merge_before, _merge),
    "convert": (_store, _convert),
    "repair": (_damaged, _repair),
}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("tool", TOOLS)
def test_20_kills_of_a_tool_that_runs_lose_nothing(kit, path, tool, record_property):
    kill_tool(kit, path, tool, 20, record_property)


@pytest.mark.heavy
@pytest.mark.parametrize("tool", TOOLS)
def test_a_kill_of_a_tool_that_runs_loses_nothing(kit, tmp_path, tool, record_property):
    kill_tool(kit, tmp_path / "f" / "mae.h5", tool, 1, record_property)


def kill_tool(kit, path, tool, n_kills, record_property):
    """Kill a tool until that many kills landed while it ran."""
    rng, sources, suffix = random.Random(0), Sources(kit), path.suffix
    prepare, run = TOOLS[tool]
    start, whole, folder = (path.parent / name for name in ("start", "whole", "job"))
    prepare(sources, start, suffix)
    shutil.copytree(start, whole)
    before = rows_of(start / "f" / "mae")
    seconds = seconds_of(lambda: run(whole, suffix))
    after = rows_of(whole / "f" / "mae")
    n_hit = n_tried = n_left = 0
    while n_hit < n_kills:
        n_tried += 1
        assert n_tried < 30 * n_kills, f"only {n_hit} kills hit"
        shutil.copytree(start, folder)
        n_hit += killed(lambda: run(folder, suffix), rng.uniform(0, seconds))
        n_left += any(".tmp-" in place.name for place in folder.rglob("*"))
        assert rows_of(folder / "f" / "mae") in (before, after)
        assert in_child(lambda _: run(folder, suffix))[0] == 0
        assert rows_of(folder / "f" / "mae") == after
        assert list_stores(folder / "f") == ["mae"]
        assert not [place for place in folder.rglob("*") if ".tmp-" in place.name]
        shutil.rmtree(folder)
    record_property("kills", n_hit)
    print(f"{n_hit} of {n_tried} kills hit, {n_left} left a tree half-written: {tool}, {suffix}")
