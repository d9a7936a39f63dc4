"""Many kills of one extraction: what is left is whole, and what is lost is bounded."""

import os
import random
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from abaw.cache import StoreMissingError, open_store

from .made import ONE_THREAD, assert_same, extract, request, write_tree

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread"), pytest.mark.timeout(3600)]

RECORD = struct.Struct("<qdq")
"""As `logged.py` writes: process, time, frames. Importing that would log this process too."""
KILLS = int(os.environ.get("ABAW_TEST_KILLS", "50"))
VIDEOS = {**{f"v{n:02d}": 40 for n in range(30)}, "z-long": 1200}
N_FRAMES = sum(VIDEOS.values())
COMMIT_EVERY = 0.3
SLACK = 1.5
"""Seconds beside `COMMIT_EVERY` that a kill may cost: a batch and a part being written."""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("kills") / "frames", VIDEOS)


class Extraction:
    """One extraction that is begun again and again."""

    def __init__(self, tree: Path, folder: Path, dtype: str) -> None:
        self.tree, self.cache, self.log, self.dtype = tree, folder / "c", folder / "log", dtype
        self.log.touch()

    def begin(self, *more: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(Path(__file__).with_name("logged.py")), "extract"]
        command += [str(self.tree), "--backbone", "denseface", "--weights", "random:0", "-q"]
        command += ["--name", "face", "--set", f"dtype={self.dtype}", "--cache", str(self.cache)]
        command += ["--commit-every", str(COMMIT_EVERY), "--batch-size", "8"]
        command += ["--precision", "fp32", *more]
        return subprocess.Popen(
            command,
            env={**ONE_THREAD, "ABAW_TEST_LOG": str(self.log)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )

    def records(self) -> list[tuple[int, float, int]]:
        data = self.log.read_bytes()
        return list(RECORD.iter_unpack(data[: len(data) // RECORD.size * RECORD.size]))

    def n_complete(self) -> int:
        try:
            with open_store(self.cache / "face") as store:
                return len(store)
        except StoreMissingError:
            return 0

    def is_under_way(self) -> bool:
        return 0 < self.n_complete() < len(VIDEOS)

    def wait_for_work(self, pid: int, process: subprocess.Popen[bytes], most: int = 5) -> bool:
        """Wait until `pid` has computed 1 to `most` batches; False if the run ended before."""
        wanted = random.Random(len(self.records())).randint(1, most)
        while sum(record[0] == pid for record in self.records()) < wanted:
            if process.poll() is not None:
                return False
            time.sleep(0.01)
        return True

    def check(self, tmp_path: Path, killed: dict[int, float], name: str) -> None:
        """The store equals one made in one go; kills cost no more than they may."""
        face = request("face", dtype=self.dtype)
        extract(self.tree, tmp_path / "whole", face)
        assert_same(tmp_path / "whole" / "face", self.cache / "face")
        with open_store(self.cache / "face") as store:
            assert store.n_parts == 0
        n_computed = sum(n for _, _, n in self.records())
        most = sum(
            n
            for pid, at, n in self.records()
            if pid in killed and at >= killed[pid] - COMMIT_EVERY - SLACK
        )
        print(
            f"{name}: {len(killed)} kills, each with 0 < complete < {len(VIDEOS)} videos; "
            f"{n_computed} frames computed for {N_FRAMES}, {n_computed - N_FRAMES} twice, of "
            f"at most {most}"
        )
        assert N_FRAMES <= n_computed <= N_FRAMES + most
        assert len(killed) >= KILLS


@pytest.fixture
def extraction(many: Path, tmp_path: Path, dtype: str) -> Extraction:
    return Extraction(many, tmp_path, dtype)


def run_with_kills(extraction: Extraction, number: int) -> dict[int, float]:
    killed: dict[int, float] = {}
    while True:
        process = extraction.begin("--device", "cpu")
        if len(killed) >= KILLS:
            assert process.wait() == 0
            return killed
        # An interrupted run keeps all it computed, and so would soon be at its end.
        most = 8 if number == signal.SIGKILL else 3
        assert extraction.wait_for_work(process.pid, process, most), "the run is too short"
        process.send_signal(number)
        at = time.time()
        assert process.wait() == (-number if number == signal.SIGKILL else 128 + number)
        if extraction.is_under_way():
            killed[process.pid] = at


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_an_extraction_that_is_killed_again_and_again(
    extraction: Extraction, tmp_path: Path, dtype: str
):
    killed = run_with_kills(extraction, signal.SIGKILL)
    extraction.check(tmp_path, killed, f"SIGKILL {dtype}")


@pytest.mark.parametrize("dtype", ["float32"])
def test_an_extraction_that_is_interrupted_again_and_again(extraction: Extraction, tmp_path: Path):
    killed = run_with_kills(extraction, signal.SIGINT)
    extraction.check(tmp_path, killed, "SIGINT float32")
    # Every batch that was computed was kept.
    assert sum(n for _, _, n in extraction.records()) == N_FRAMES


def children(pid: int) -> Iterator[int]:
    with suppress(FileNotFoundError, ProcessLookupError):  # one of them has just ended
        for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            if b"spawn_main" in Path(f"/proc/{text}/cmdline").read_bytes():
                yield int(text)


@pytest.mark.parametrize("dtype", ["float32"])
def test_a_worker_that_is_killed_again_and_again(extraction: Extraction, tmp_path: Path):
    killed: dict[int, float] = {}
    dead: set[int] = set()
    # A device whose processes die on and on with nothing committed is given up, too.
    process = extraction.begin("--devices", "cpu,cpu", "--commit-every", "0.05")
    chooser = random.Random(0)
    while len(killed) < KILLS:
        # A device whose processes die before a batch has come back is given up.
        wanted = chooser.randint(3, 6)
        n_batches = Counter(record[0] for record in extraction.records())
        ready = [
            pid for pid in children(process.pid) if pid not in dead and n_batches[pid] >= wanted
        ]
        if not ready:
            assert process.poll() is None, "the run is too short"
            time.sleep(0.005)
            continue
        os.kill(ready[0], signal.SIGKILL)
        dead.add(ready[0])
        if extraction.is_under_way():
            killed[ready[0]] = time.time()
    assert process.wait() == 0
    extraction.check(tmp_path, killed, "SIGKILL of a worker, float32")


@pytest.mark.parametrize("dtype", ["float32"])
def test_one_of_four_shards_that_is_killed_again_and_again(extraction: Extraction, tmp_path: Path):
    killed: dict[int, float] = {}
    jobs = {n: extraction.begin("--device", "cpu", "--shard", f"{n}/4") for n in (1, 2, 3, 4)}
    while len(killed) < KILLS:
        # The shard of the long video lasts longest, so it is the one to be killed.
        number = max(jobs, key=lambda n: (jobs[n].poll() is None, -n))
        process = jobs[number]
        assert extraction.wait_for_work(process.pid, process), "the run is too short"
        process.kill()
        at = time.time()
        process.wait()
        if extraction.is_under_way():
            killed[process.pid] = at
        jobs[number] = extraction.begin("--device", "cpu", "--shard", f"{number}/4")
    assert [job.wait() for job in jobs.values()] == [0] * 4
    extraction.check(tmp_path, killed, "SIGKILL of one of four shards, float32")
