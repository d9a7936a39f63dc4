"""How long opening a store takes: 1,000 videos in a process of its own, 100,000 in this one.

python bench/open_store.py

1,000 videos of 1,000 frames, 512 float16 numbers each (1 GB): a fresh process imports the package
and opens the store once, so that nothing of it was done before; all ids and lengths are read, and
which videos are complete is decided. Warm, the store is in the page cache; cold, the kernel was
asked to drop every file of it, and what was read from the disk is told (names of files and the
disk's own cache are not ours to drop). Wanted: at most 20 ms. The baseline is `np.load` of the same
index arrays or h5py's reading of them, whichever is quicker, likewise in a fresh process.

100,000 videos of one frame, opened again and again in one process: over `np.load` of the same
index arrays.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
from timing import spread

from abaw.cache import EmbeddingSpec, EmbeddingStore, StoreWriter, open_store
from abaw.core.machine import cpu_name

REPEATS = 7
N_LARGE, N_USUAL = 100_000, 1_000
FRAMES, DIM = 1_000, 512
SPEC = EmbeddingSpec(
    backbone="bench",
    weights="none",
    input_size=8,
    position_table="none",
    crop="full",
    interpolation="bilinear",
    mean=(0.0,),
    std=(1.0,),
    channels="grey",
    layer="last",
    pool="cls",
    flip="no",
    dim=4,
    dtype="float16",
)
OPEN = """
import json, sys, time
from pathlib import Path
from abaw.cache import open_store
def disk():
    io = Path("/proc/self/io")
    return int(io.read_text().split("\\nread_bytes: ")[1].split()[0]) if io.exists() else 0
before = disk()
start = time.perf_counter()
store = open_store(sys.argv[1])
n_chars, n_frames = sum(map(len, store.videos)), int(store.lengths.sum())
is_complete = all(video in store for video in store.videos)
taken = time.perf_counter() - start
print(json.dumps([taken, disk() - before, len(store), n_frames, is_complete]))
"""
LOAD = """
import json, sys, time
from pathlib import Path
import numpy as np
paths = sorted(Path(sys.argv[1]).glob("*.npy"))
start = time.perf_counter()
arrays = [np.load(path) for path in paths]
print(json.dumps([time.perf_counter() - start, len(arrays)]))
"""
H5PY = """
import json, sys, time
import h5py
start = time.perf_counter()
with h5py.File(sys.argv[1], "r") as file:
    arrays = [dataset[...] for dataset in file.values()]
print(json.dumps([time.perf_counter() - start, len(arrays)]))
"""


def write(path: Path, n_videos: int, n_frames: int, dim: int) -> None:
    """Write a compacted store of `n_videos` videos of `n_frames` frames."""
    rng = np.random.default_rng(0)
    embedding = rng.standard_normal((n_frames, dim), np.float32)
    frame = np.arange(1, n_frames + 1, dtype=np.int32)
    spec = EmbeddingSpec(**{**vars(SPEC), "dim": dim})
    with StoreWriter.open(path, spec, {}, commit_every=1e9) as writer:
        for n in range(n_videos):
            writer.add(
                f"set{n % 10}/video-{n:06d}",
                version=1,
                source_start=0,
                source_length=n_frames,
                source_total=n_frames,
                frame=frame,
                embedding=embedding,
                input_hash=n,
                stat_hash=n,
                precision="fp32",
            )
        writer.compact()


def save_index(path: Path, folder: Path) -> Path:
    """Write the index arrays of a store as .npy files and as one HDF5 file; return the latter."""
    folder.mkdir()
    with open_store(path) as store, h5py.File(folder / "index.h5", "w") as file:
        assert isinstance(store, EmbeddingStore)
        for number, array in enumerate(store._trees[0].arrays.values()):
            np.save(folder / f"{number}.npy", array)
            file.create_dataset(str(number), data=array)
    return folder / "index.h5"


def drop_from_page_cache(path: Path) -> None:
    """Have the kernel forget a file, or all files of a folder; it needs no rights."""
    for file in [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]:
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)  # what is not on the disk yet is kept
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def in_a_process(code: str, path: Path) -> list:
    """Return what the code prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


def print_usual(folder: Path) -> None:
    """Print the times of the usual size, each in a process of its own."""
    paths = [folder / "open.h5", folder / "zarr" / "open.zarr"]
    for path in paths:
        write(path, N_USUAL, FRAMES, DIM)
    index = save_index(paths[0], folder / "index")
    has_drop = hasattr(os, "posix_fadvise") and Path("/proc/self/io").exists()
    n_bytes = N_USUAL * FRAMES * DIM * 2
    print(f"{N_USUAL:,} videos, {n_bytes / 1e9:.2f} GB, first opening of a process:")
    for is_cold in (False, True) if has_drop else (False,):
        times: dict[str, list[float]] = {"np.load": [], "h5py": [], ".h5": [], ".zarr": []}
        read: dict[str, int] = {}
        for _ in range(REPEATS):
            for key, code, path in (
                ("np.load", LOAD, index.parent),
                ("h5py", H5PY, index),
                *((path.suffix, OPEN, path) for path in paths),
            ):
                if is_cold:
                    drop_from_page_cache(path)
                seconds, *rest = in_a_process(code, path)
                times[key].append(1000 * seconds)
                if code is OPEN:
                    read[key], *held = rest
                    assert held == [N_USUAL, N_USUAL * FRAMES, True]
        baseline = min(("np.load", "h5py"), key=lambda key: statistics.median(times[key]))
        print(f"  {'cold' if is_cold else 'warm'}, over {baseline} of the index")
        for key, values in times.items():
            ratio = [a / b for a, b in zip(values, times[baseline], strict=True)]
            disk = f", {read[key] / 1e6:.1f} MB read from the disk" if key in read else ""
            print(f"    {key:8} {spread(values, 1)} ms, ratio {spread(ratio, 1)}{disk}")


def seconds_to_open(path: Path) -> float:
    """Wall time to open the large store, its ids sorted and checked."""
    start = time.perf_counter()
    with open_store(path) as store:
        taken = time.perf_counter() - start
        assert len(store) == N_LARGE
    return taken


def seconds_to_load(folder: Path) -> float:
    """Wall time to load the same index arrays from .npy files."""
    start = time.perf_counter()
    for path in folder.glob("*.npy"):
        np.load(path)
    return time.perf_counter() - start


def print_large(folder: Path) -> None:
    """Print the times of the large store in this process."""
    paths = [folder / "open.h5", folder / "zarr" / "open.zarr"]
    for path in paths:
        write(path, N_LARGE, 1, SPEC.dim)
    index = save_index(paths[0], folder / "index").parent
    times: dict[str, list[float]] = {"np.load": [], ".h5": [], ".zarr": []}
    for _ in range(REPEATS):
        times["np.load"].append(seconds_to_load(index))
        for path in paths:
            times[path.suffix].append(seconds_to_open(path))
    print(f"{N_LARGE:,} videos of one frame, opened in one process:")
    for key, values in times.items():
        ratio = [a / b for a, b in zip(values, times["np.load"], strict=True)]
        print(f"  {key:8} {spread(values)} s, over np.load of the index {spread(ratio, 1)}")


def main() -> None:
    """Print the median times and ratios of both backends."""
    print(f"{REPEATS} interleaved repeats, {cpu_name()}")
    with tempfile.TemporaryDirectory() as name:
        for part in (print_usual, print_large):
            (Path(name) / part.__name__).mkdir()
            part(Path(name) / part.__name__)


if __name__ == "__main__":
    main()
