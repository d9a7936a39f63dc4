"""The thread that stores, and what happens when it cannot."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from abaw.cache import open_store
from abaw.extract.writing import BackgroundWriter

from .made import ONE_THREAD, assert_same, extract, request

FACE = request("face", "thumbnail", "none", dtype="float32")

LIMITED = """
import resource, sys
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from abaw.cli import main
main()
"""


def test_calls_run_in_their_order_in_another_thread():
    seen: list[tuple[int, str]] = []
    with BackgroundWriter() as background:
        for number in range(100):
            background.submit(
                lambda number=number: seen.append((number, threading.current_thread().name))
            )
        background.join()
        assert [number for number, _ in seen] == list(range(100))
    assert {name for _, name in seen} == {"abaw-write"}
    assert not [t for t in threading.enumerate() if t.name == "abaw-write"]


def test_the_first_error_is_raised_and_later_calls_are_dropped():
    seen: list[int] = []

    def fail() -> None:
        message = "no room"
        raise OSError(message)

    def work() -> None:
        with BackgroundWriter() as background:
            background.submit(fail)
            for number in range(100):
                background.submit(lambda number=number: seen.append(number))
            background.join()

    with pytest.raises(OSError, match="no room"):
        work()
    assert seen == []


def test_an_error_in_the_block_is_not_hidden_by_one_of_the_thread():
    def fail() -> None:
        raise OSError

    def work() -> None:
        with BackgroundWriter() as background:
            background.submit(fail)
            raise KeyError

    with pytest.raises(KeyError):
        work()


@pytest.mark.heavy
@pytest.mark.parametrize("store", ["hdf5", "zarr"])
def test_a_full_disk_is_told_and_what_was_committed_stays(tree: Path, tmp_path: Path, store: str):
    """No file may be larger than 25,000 bytes: parts fit, the one file of all does not."""
    command = [sys.executable, "-c", LIMITED, "25000", "extract", str(tree), "--backbone"]
    command += ["thumbnail", "--weights", "none", "--name", "face", "--set", "dtype=float32"]
    command += ["--cache", str(tmp_path / "c"), "--store", store, "-q", "--batch-size", "8"]
    command += ["--commit-every", "0", "--device", "cpu", "--precision", "fp32"]
    done = subprocess.run(command, env=ONE_THREAD, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("Error: "), done.stderr
    assert "needs more room than there is (File too large" in line
    assert "make room and run the same command again" in line
    before = open_store(tmp_path / "c" / "face")
    assert before.n_parts > 0
    assert not list((tmp_path / "c").rglob("*.tmp-*"))
    summary = extract(tree, tmp_path / "c", FACE, batch_size=None)
    assert summary.embeddings[0].n_frames < 61
    extract(tree, tmp_path / "whole", FACE, store=store)
    assert_same(tmp_path / "whole" / "face", tmp_path / "c" / "face")
