"""Peak memory of 2,000 and 20,000 frames, and time per frame at the beginning and at the end.

python bench/memory.py

Each extraction is a process of its own. The network is DenseFace, the smallest: what grows with
the number of frames is the pipeline's own.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from timing import spread
from trees import drawn_frames, tree_of

from abaw.core.machine import cpu_name

REPEATS = 3
SMALL, LARGE, EDGE = 2_000, 20_000, 2_000
CHILD = """
import json, resource, sys, time
from pathlib import Path
from abaw.extract import EmbeddingRequest, RunOptions, run
from abaw.extract.lane import Lane
push, times = Lane.push, []
def timed(lane, *frame):
    push(lane, *frame)
    times.append(time.perf_counter())
Lane.push = timed
request = EmbeddingRequest(name="x", backbone="denseface", weights="random:0")
run([Path(sys.argv[1])], [request], Path(sys.argv[2]), RunOptions(device="cpu"), progress=False)
edge = int(sys.argv[3])
first, last = times[edge - 1] - times[0], times[-1] - times[-edge]
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([peak, first / (edge - 1), last / (edge - 1)]))
"""


def measure(tree: Path, cache: Path) -> tuple[float, float, float]:
    """Peak memory in MB, seconds per frame of the first and of the last frames."""
    command = [sys.executable, "-c", CHILD, str(tree), str(cache), str(EDGE)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    peak, first, last = json.loads(done.stdout)
    return peak / 1000, first, last


def main() -> None:
    """Print peaks, their ratio, and the ratio of times per frame."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        found = drawn_frames(folder / "sample")
        trees = {n: tree_of(found, folder / str(n), n) for n in (SMALL, LARGE)}
        peaks: dict[int, list[float]] = {SMALL: [], LARGE: []}
        ratios = []
        for repeat in range(REPEATS):
            for n, tree in trees.items():
                peak, first, last = measure(tree, folder / f"cache{n}-{repeat}")
                peaks[n].append(peak)
            ratios.append(last / first)
    growth = statistics.median(peaks[LARGE]) / statistics.median(peaks[SMALL])
    print(f"{REPEATS} interleaved repeats, {cpu_name()}")
    print(f"peak memory of {SMALL:,} frames: {spread(peaks[SMALL], 0)} MB")
    print(f"peak memory of {LARGE:,} frames: {spread(peaks[LARGE], 0)} MB, ratio {growth:.3f}")
    print(f"time per frame, last {EDGE:,} over first {EDGE:,}: {spread(ratios)}")


if __name__ == "__main__":
    main()
