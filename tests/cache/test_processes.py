"""Readers beside a writer, several writers, and writers that are killed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from abaw.cache import StoreMissingError, open_store

WRITER = """
import importlib.util, sys, time
from pathlib import Path
spec = importlib.util.spec_from_file_location("kit", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
kit, path, dtype = module.Kit, Path(sys.argv[2]), sys.argv[3]
pause, ids = float(sys.argv[4]), sys.argv[5]
with kit.open_writer(path, kit.make_spec(dtype=dtype)) as writer:
    for n in range(*map(int, ids.split("-"))):
        source = kit.make_source(f"v{n:02d}", 4, unreadable=[2])
        state = writer.state(source.video)
        for start, stop in [(0, 2), (2, 4)] if state is None else state.missing:
            writer.add(source.video, **source.piece(start, stop))
            writer.flush()
            time.sleep(pause)
        if n % 5 == 4:
            writer.compact()
    writer.compact()
"""


def start_writer(path, dtype="float16", pause=0.0, ids="0-12"):
    kit_file = Path(__file__).with_name("conftest.py")
    command = [sys.executable, "-c", WRITER, str(kit_file), str(path), dtype, str(pause), ids]
    return subprocess.Popen(command)


def sources_of(kit, n=12):
    return {f"v{k:02d}": kit.make_source(f"v{k:02d}", 4, unreadable=[2]) for k in range(n)}


def check(kit, path, sources):
    """Assert that every visible video is right; return how many there are."""
    try:
        with open_store(path) as store:
            for video in store:
                kit.assert_holds(store, sources[video])
            return len(store)
    except StoreMissingError:
        return 0


@pytest.mark.heavy
def test_readers_beside_a_writer_see_whole_videos_and_are_never_refused(kit, path):
    sources = sources_of(kit)
    writer = start_writer(path, pause=0.01)
    seen, n_opened = [0], 0
    while writer.poll() is None:
        seen.append(check(kit, path, sources))
        n_opened += 1
    assert writer.returncode == 0
    assert seen == sorted(seen), "a video was visible and is gone"
    assert any(0 < n < 12 for n in seen)
    assert check(kit, path, sources) == 12
    assert n_opened >= 10


@pytest.mark.heavy
def test_three_processes_write_one_store(kit, path):
    writers = [start_writer(path, ids=ids) for ids in ("0-4", "4-8", "8-12")]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    with kit.open_writer(path) as writer:
        writer.compact()
    assert check(kit, path, sources_of(kit)) == 12
    whole = path.parent / "whole" / path.name
    assert start_writer(whole).wait() == 0
    assert kit.snapshot(path) == kit.snapshot(whole)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_20_kills_at_random_times_lose_nothing(kit, path, dtype):
    rng = random.Random(0)
    sources = sources_of(kit)
    whole = path.parent / "whole" / path.name
    began = time.monotonic()
    assert start_writer(whole, dtype, pause=0.01).wait() == 0
    seconds = time.monotonic() - began
    n_hit = n_tried = 0
    while n_hit < 20:
        n_tried += 1
        assert n_tried < 400, f"only {n_hit} kills hit"
        store = path.parent / f"kill{n_tried}" / path.name
        writer = start_writer(store, dtype, pause=0.01)
        time.sleep(rng.uniform(0.2, 1.0) * seconds)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        n_visible = check(kit, store, sources)
        n_hit += 0 < n_visible < 12
        assert start_writer(store, dtype).wait() == 0
        assert kit.snapshot(store) == kit.snapshot(whole)
    print(f"{n_hit} of {n_tried} kills hit while videos were missing: {path.suffix}, {dtype}")
