"""Whatever happens to a sweep on its way: what is done stays done, and the rest is told."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from abaw.cache import open_store

from .made import write_cache, write_store
from .sweep_process import SMALL, begin, settings, wait_until, workers, written

pytestmark = pytest.mark.heavy

ENCODER = """
import torch
from abaw.temporal.nets.encoders import Encoder


class Moody(Encoder):
    is_causal = False

    def __init__(self, n_features, config, layers):
        super().__init__()
        self.n_outputs = config.hidden_size
        self.layer = torch.nn.Linear(n_features, config.hidden_size)
        self.n_steps = 0

    def forward(self, features, is_frame, state=None):
        self.n_steps += self.training
        return self.layer(features) / (1 // (self.n_steps < 3)), None
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cache(tmp_path_factory.mktemp("cache"))


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has asked about counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_sweep_whose_every_third_run_fails_finishes_the_rest(cache: Path, tmp_path: Path):
    shutil.copy(cache / "face_a.h5", cache / "face_c.h5")
    # The last embedding lacks more frames than are allowed here.
    fixed = SMALL | {"max_missing": 0.0001}
    grid = {"seed": ["0-2"], "features": ["face_a", "face_c", "face_b"]}
    spec = tmp_path / "spec.yaml"
    spec.write_text(yaml.safe_dump({"fixed": fixed, "grid": grid}))
    process = begin(cache, tmp_path / "sweep", str(spec), "--jobs", "2", "-q")
    text, errors = process.communicate(timeout=240)
    assert process.returncode == 1, errors
    assert "6 runs done, 3 failed" in text
    assert len(written(tmp_path)) == 6
    failures = json.loads((tmp_path / "sweep" / "failures.json").read_text())
    assert len(failures) == 3
    for name in failures:
        assert any(line.startswith(name) and "lack" in line for line in text.splitlines())


def test_a_full_disk_fails_the_run_that_meets_it_and_no_other(cache: Path, tmp_path: Path):
    # The wide network's checkpoint is larger than any file can get, the narrow one's is not.
    arguments = ["--features", "face_a", "--seed", "0,1", "--jobs", "2", "-q"]
    small = settings(hidden_size="8|256")
    process = begin(cache, tmp_path, *arguments, *small, file_limit=100_000)
    text, errors = process.communicate(timeout=240)
    assert process.returncode == 1, errors
    assert "2 runs done, 2 failed" in text
    failures = json.loads((tmp_path / "failures.json").read_text())
    assert all("File too large" in error for error in failures.values())
    process = begin(cache, tmp_path, "--retry", "-q")
    text, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert "4 runs done, 0 failed" in text


def test_no_room_for_shared_features_is_told_and_changes_nothing(cache: Path, tmp_path: Path):
    with open_store(cache / "face_a") as store:
        rng = np.random.default_rng(0)
        wide = {
            video: (record.frame, rng.normal(size=(len(record), 256)))
            for video, record in store.items()
        }
    write_store(cache / "wide.h5", wide)
    arguments = ["--features", "wide", "--seed", "0,1", "--jobs", "2", *settings()]
    for name, limit in (("full", 100_000), ("free", None)):
        process = begin(cache, tmp_path / name, *arguments, file_limit=limit)
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
        told = [line for line in errors.splitlines() if "could not be shared" in line]
        assert len(told) == (1 if name == "full" else 0), errors
        if told:
            assert "File too large" in told[0]
            assert "each run keeps a copy of its own" in told[0]
    for path in written(tmp_path / "free"):
        for name in ("model.safetensors", "val_predictions.csv"):
            other = tmp_path / "full" / path.parent.name / name
            assert other.read_bytes() == (path.parent / name).read_bytes()


def test_an_error_that_nobody_foresaw_fails_its_run_and_says_where_it_came_from(
    cache: Path, tmp_path: Path
):
    code = tmp_path / "moody.py"
    code.write_text(ENCODER)
    process = begin(
        cache,
        tmp_path / "sweep",
        *("--features", "face_a", "--encoder", f"gru,{code}:Moody", "-q"),
        *settings(),
    )
    text, errors = process.communicate(timeout=240)
    assert process.returncode == 1, errors
    assert "1 runs done, 1 failed" in text
    assert "ZeroDivisionError" in text
    (trace,) = (tmp_path / "sweep").rglob("error.txt")
    assert "in forward" in trace.read_text()


def test_a_sweep_that_is_killed_twice_does_no_finished_run_again(cache: Path, tmp_path: Path):
    arguments = ["--features", "face_a", "--seed", "0-5", "--jobs", "2", "-q", *settings()]
    seen: dict[Path, int] = {}
    for n_done in (1, 3):
        process = begin(cache, tmp_path, *arguments)
        wait_until(lambda n=n_done: len(written(tmp_path)) >= n)
        own = workers(process)
        os.kill(process.pid, signal.SIGKILL)  # the sweep alone: its workers must end by themselves
        process.communicate()
        wait_until(lambda own=own: all(is_gone(pid) for pid in own), 20)
        assert seen.items() <= written(tmp_path).items()
        seen = written(tmp_path)
        arguments = ["--jobs", "2", "-q"]  # without flags it goes on
    process = begin(cache, tmp_path, *arguments)
    text, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert "6 runs done, 0 failed" in text
    assert seen.items() <= written(tmp_path).items()
    assert not (tmp_path / ".shared-features").exists()


def test_a_worker_that_is_killed_loses_no_run(cache: Path, tmp_path: Path):
    arguments = ["--features", "face_a", "--seed", "0-2", "--jobs", "2", "-q"]
    process = begin(cache, tmp_path, *arguments, *settings(epochs=30))
    wait_until(lambda: list(tmp_path.rglob("metrics.jsonl")))
    os.kill(workers(process)[0], signal.SIGKILL)
    text, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert "3 runs done, 0 failed" in text


@pytest.mark.parametrize("when", ["at the start", "in training"])
def test_ctrl_c_ends_the_workers_and_says_how_to_go_on(cache: Path, tmp_path: Path, when: str):
    arguments = ["--features", "face_a", "--seed", "0-2", "--jobs", "2", *settings(epochs=300)]
    process = begin(cache, tmp_path, *arguments)
    wait_until(lambda: workers(process))
    if when == "at the start":
        time.sleep(0.7)  # they load torch, and have not been told yet whose Ctrl-C is
    else:
        wait_until(lambda: list(tmp_path.rglob("metrics.jsonl")))
    own = workers(process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to all of them
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"`abaw temporal-sweep --out {tmp_path} --cache {cache} --jobs 2`" in errors
    assert "Traceback" not in errors
    assert all(is_gone(pid) for pid in own)
    assert not (tmp_path / ".shared-features").exists()


def test_ctrl_c_does_nothing_to_a_worker_not_even_before_it_has_begun(cache: Path, tmp_path: Path):
    arguments = ["--features", "face_a", "--seed", "0,1", "--jobs", "2", "-q", *settings()]
    process = begin(cache, tmp_path, *arguments)
    wait_until(lambda: workers(process))
    time.sleep(0.7)  # they load torch, and have not been told yet whose Ctrl-C is
    for pid in workers(process):
        os.kill(pid, signal.SIGINT)
    text, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "2 runs done, 0 failed" in text
    assert "Traceback" not in errors
