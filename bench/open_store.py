"""How long opening a store of 100,000 videos takes, over `np.load` of the same index arrays.

python bench/open_store.py
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from timing import spread

from abaw.cache import EmbeddingSpec, StoreWriter, open_store
from abaw.core.machine import cpu_name

N_VIDEOS = 100_000
REPEATS = 7
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


def write(path: Path) -> None:
    """Write a compacted store of `N_VIDEOS` videos of one frame."""
    embedding, frame = np.zeros((1, SPEC.dim), np.float32), np.ones(1, np.int32)
    with StoreWriter.open(path, SPEC, {}, commit_every=1e9) as writer:
        for n in range(N_VIDEOS):
            writer.add(
                f"set{n % 10}/video-{n:06d}",
                version=1,
                source_start=0,
                source_length=1,
                source_total=1,
                frame=frame,
                embedding=embedding,
                input_hash=n,
                stat_hash=n,
                precision="fp32",
            )
        writer.compact()


def seconds_to_open(path: Path) -> float:
    """Wall time to open the store, its ids sorted and checked."""
    start = time.perf_counter()
    with open_store(path) as store:
        taken = time.perf_counter() - start
        assert len(store) == N_VIDEOS
    return taken


def seconds_to_load(folder: Path) -> float:
    """Wall time to load the same index arrays from .npy files."""
    start = time.perf_counter()
    for path in folder.glob("*.npy"):
        np.load(path)
    return time.perf_counter() - start


def main() -> None:
    """Print the median times and ratios of both backends."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [folder / "open.h5", folder / "zarr" / "open.zarr"]
        for path in paths:
            write(path)
        with open_store(paths[0]) as store:
            for number, array in enumerate(store._trees[0].arrays.values()):
                np.save(folder / f"{number}.npy", array)
        times: dict[str, list[float]] = {"np.load": [], ".h5": [], ".zarr": []}
        for _ in range(REPEATS):
            times["np.load"].append(seconds_to_load(folder))
            for path in paths:
                times[path.suffix].append(seconds_to_open(path))
    print(f"open_store of {N_VIDEOS:,} videos, {REPEATS} interleaved repeats, {cpu_name()}")
    for key, values in times.items():
        ratio = [a / b for a, b in zip(values, times["np.load"], strict=True)]
        print(f"  {key:8} {spread(values)} s, over np.load of the index {spread(ratio, 1)}")


if __name__ == "__main__":
    main()
