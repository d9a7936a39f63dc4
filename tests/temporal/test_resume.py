"""A run that was broken off goes on where its state was saved, and comes to the same numbers."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from abaw.core.errors import UsageError
from abaw.temporal.errors import TemporalError
from abaw.temporal.resume import STATE_FILE, load_state, save_state
from abaw.temporal.train import train

from .made import config, write_cache

SAME = ("metrics.jsonl", "val_predictions.csv", "model.safetensors")
KINDS = {
    "windows": {"averaging": "ema"},
    "lanes": {"feeding": "lanes", "bidirectional": False, "layers": 2},
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cache(tmp_path_factory.mktemp("cache"))


def settings_of(kind: str, epochs: int):
    return config(
        features=("face_a",),
        epochs=epochs,
        save_every=1,
        segment_length=8,
        stride=8,
        batch_size=4,
        **KINDS[kind],
    )


def begin(cache: Path, folder: Path, run) -> subprocess.Popen:
    code = (
        "import json, pathlib, sys\n"
        "from abaw.temporal.config import RunConfig\n"
        "from abaw.temporal.train import train\n"
        "config, cache, folder = sys.argv[1:]\n"
        "config = RunConfig.from_dict(json.loads(config), 'test')\n"
        "train(config, pathlib.Path(cache), pathlib.Path(folder), progress=False)\n"
    )
    command = [sys.executable, "-c", code, run.model_dump_json(), str(cache), str(folder)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ)


def kill_until_done(cache: Path, folder: Path, run, n_kills: int, seed: int) -> tuple[int, int]:
    """Kill the run at random moments, each time it has got further; return kills, resumes."""
    rng = random.Random(seed)
    kills = resumed = 0
    while True:
        process = begin(cache, folder, run)
        state = folder / STATE_FILE
        before = state.stat().st_mtime_ns if state.exists() else 0
        if kills < n_kills:
            while process.poll() is None:  # until this process has saved, and some steps more
                if state.exists() and state.stat().st_mtime_ns != before:
                    time.sleep(rng.uniform(0, 0.05))
                    break
                time.sleep(0.001)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
        _, text = process.communicate()
        resumed += b"going on from epoch" in text
        if process.returncode == 0:
            return kills, resumed
        assert process.returncode == -signal.SIGKILL, text.decode()


def check_kills(cache: Path, tmp_path: Path, kind: str, n_kills: int, epochs: int) -> None:
    run = settings_of(kind, epochs)
    whole = train(run, cache, tmp_path / "whole", progress=False)
    kills, resumed = kill_until_done(cache, tmp_path / "killed", run, n_kills, seed=0)
    print(f"{kind}: {kills} kills, {resumed} runs that went on")
    assert kills == n_kills
    assert resumed >= n_kills
    for name in SAME:
        assert (tmp_path / "killed" / name).read_bytes() == (whole.folder / name).read_bytes(), name
    assert not (tmp_path / "killed" / STATE_FILE).exists()


@pytest.mark.heavy
@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_comes_to_the_same_numbers(cache: Path, tmp_path: Path, kind: str):
    check_kills(cache, tmp_path, kind, n_kills=2, epochs=12)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_killed_many_times_comes_to_the_same_numbers(cache: Path, tmp_path: Path, kind: str):
    check_kills(cache, tmp_path, kind, n_kills=25, epochs=150)


def test_a_state_that_is_damaged_or_of_another_run_is_refused(tmp_path: Path):
    save_state(tmp_path, "aa", {"x": torch.ones(2)})
    assert torch.equal(load_state(tmp_path, "aa")["x"], torch.ones(2))
    assert load_state(tmp_path / "other", "aa") is None
    with pytest.raises(UsageError, match=r"broken off \(identity aa, asked for bb"):
        load_state(tmp_path, "bb")
    path = tmp_path / STATE_FILE
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(TemporalError, match=r"training\.pt must hold .*; remove it"):
        load_state(tmp_path, "aa")


def test_no_pickled_object_is_loaded(tmp_path: Path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "run",))

    torch.save({"format": 1, "identity": "aa", "state": Evil()}, tmp_path / STATE_FILE)
    with pytest.raises(TemporalError, match="cannot be read"):
        load_state(tmp_path, "aa")
    assert not (tmp_path / "run").exists()
