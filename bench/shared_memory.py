"""Four processes that read all of one store: its memory is counted once.

python bench/shared_memory.py

Each process opens the store of 1 GB, adds up every byte of every video, keeps all records, and
waits while the parent reads `/proc/<pid>/smaps_rollup` of all of them. (Records that are kept cost
most: a video that lies in two chunks of a Zarr store is a copy of the process's own while it is in
use, which is told.) The proportional set size
(PSS) gives a page that n processes map 1/n to each, so that the sum over the processes is the
memory that they take together; resident (RSS) is what each one sees. Stores of both backends are
mapped files; beside them the same bytes as one flat file, by `np.memmap` (the least possible) and
by `np.load` into memory (what is not shared). The processes are begun one by one, not forked from
one that has the store open. Linux only.
"""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from read_store import DIM, FRAMES, N_VIDEOS, write
from timing import spread

from abaw.cache import EmbeddingStore, open_store
from abaw.core.machine import cpu_name

REPEATS = 5
N_PROCESSES = 4
READ = """
import sys
from pathlib import Path
import numpy as np
from abaw.cache import open_store
kind, path = sys.argv[1:]
if kind == "store":
    store = open_store(path)
    records = [store[video] for video in store]
    arrays = [record.embedding for record in records]
    last = [int(record.frame.sum()) for record in records]
else:
    arrays = [np.load(path, mmap_mode="r" if kind == "memmap" else None)]
n_bytes = sum(array.nbytes for array in arrays)
def is_own(array):
    return is_own(array.base) if isinstance(array.base, np.ndarray) else array.flags.owndata
n_copied = sum(array.nbytes for array in arrays if is_own(array))
total = sum(int(np.ascontiguousarray(array).view(np.uint64).sum()) for array in arrays)
print(total % 2**64, n_bytes, n_copied, flush=True)
sys.stdin.read()
"""


def memory_of(process: int) -> dict[str, float]:
    """Return the sizes of a process in MB: Rss, Pss, Pss_File, Pss_Anon and others."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) * 1024 / 1e6 for line in lines}


def measure(kind: str, path: Path, n: int, expected: list[int]) -> list[dict[str, float]]:
    """Return the sizes of `n` processes that have all read the whole of `path`.

    To the sizes of each, `Copied` is added: what it holds of the numbers outside of mapped files.
    """
    sizes = []
    command = [sys.executable, "-c", READ, kind, str(path)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(n)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            *found, copied = map(int, process.stdout.readline().split())
            assert found == expected
            sizes.append({"Copied": copied / 1e6})
        for process, size in zip(processes, sizes, strict=True):
            size |= memory_of(process.pid)
        return sizes
    finally:
        for process in processes:
            process.communicate("")


def summed(sizes: list[dict[str, float]], key: str) -> float:
    """Return the sum over processes."""
    return sum(size[key] for size in sizes)


def main() -> None:
    """Print, of each way to read, the memory of four processes over that of one."""
    if not Path("/proc/self/smaps_rollup").exists():
        print("left out: this system does not tell what processes share")
        return
    n_bytes = N_VIDEOS * FRAMES * DIM * 2
    print(f"{n_bytes / 1e9:.2f} GB, {REPEATS} interleaved repeats, {cpu_name()}")
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        places = {".h5": folder / "h5" / "mae.h5", ".zarr": folder / "zarr" / "mae.zarr"}
        for path in places.values():
            write(path)
        flat = folder / "flat.npy"
        total = save(places[".h5"], flat)
        cases = {
            **{suffix: ("store", path) for suffix, path in places.items()},
            "np.memmap": ("memmap", flat),
            "np.load": ("load", flat),
        }
        found: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
        for _ in range(REPEATS):
            for name, (kind, path) in cases.items():
                expected = [total, n_bytes]
                found[name].append(row(kind, path, expected))
    for name, rows in found.items():
        ratio = [one["four"] / one["one"] for one in rows]
        least = [
            one["four"] / other["four"] for one, other in zip(rows, found["np.memmap"], strict=True)
        ]
        middle = {key: statistics.median(one[key] for one in rows) for key in rows[0]}
        print(
            f"{name:9} {N_PROCESSES} processes together {middle['four']:,.0f} MB (files "
            f"{middle['file']:,.0f}, own {middle['own']:,.0f}, of it numbers "
            f"{middle['copied']:,.0f}), one alone {middle['one']:,.0f} MB: "
            f"ratio {spread(ratio)}; over np.memmap {spread(least)}; each sees "
            f"{middle['seen']:,.0f} MB"
        )


def row(kind: str, path: Path, expected: list[int]) -> dict[str, float]:
    """Return the sizes of one process alone and of all together, in MB."""
    alone = measure(kind, path, 1, expected)
    together = measure(kind, path, N_PROCESSES, expected)
    least = min(size["Rss"] for size in together)
    assert least * 1e6 >= expected[1], "not every page was read"
    return {
        "one": alone[0]["Pss"],
        "four": summed(together, "Pss"),
        "file": summed(together, "Pss_File"),
        "own": summed(together, "Pss_Anon"),
        "copied": summed(together, "Copied"),
        "seen": least,
    }


def save(store_path: Path, flat: Path) -> int:
    """Write the rows of a store as one array; return the sum of their bytes as 64-bit numbers."""
    rows: Any = np.lib.format.open_memmap(flat, "w+", np.float16, (N_VIDEOS * FRAMES, DIM))
    total = 0
    with open_store(store_path) as store:
        assert isinstance(store, EmbeddingStore)
        for n, video in enumerate(store):
            block = store[video].embedding
            rows[n * FRAMES : (n + 1) * FRAMES] = block
            total += int(np.ascontiguousarray(block).view(np.uint64).sum())
    rows.flush()
    return total % 2**64


if __name__ == "__main__":
    main()
