"""Which threads a run leaves behind: any that torch keeps slow the network down."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .made import write_tree

SCRIPT = """
import os, sys, threading
from pathlib import Path
from abaw.extract import EmbeddingRequest, RunOptions, run

def threads():  # that are not Python's
    return len(os.listdir("/proc/self/task")) - threading.active_count()

before = threads()
# The classifier of 12 million numbers is drawn and copied by several threads.
request = EmbeddingRequest(name="x", backbone="iresnet18", weights="random:0")
options = RunOptions(device="cpu", precision=sys.argv[3])
run([Path(sys.argv[1])], [request], Path(sys.argv[2]), options, progress=False)
print(before, threads())
"""


@pytest.mark.heavy
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's list of threads")
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
@pytest.mark.parametrize("precision", ["fp32", "auto"])  # auto measures with torch, too
def test_no_thread_of_torchs_is_left_to_the_main_thread(tmp_path: Path, precision: str):
    tree = write_tree(tmp_path / "frames", {"a": 9})
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "XDG_CACHE_HOME": str(tmp_path / "xdg")}
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tree), str(tmp_path / "c"), precision],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    before, after = map(int, result.stdout.split())
    assert after == before
