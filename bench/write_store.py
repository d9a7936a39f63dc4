"""Writing a store over `np.save` of the same rows with the same durability: fsync of every file.

python bench/write_store.py

160 videos of 2,000 float16 rows of 768 numbers. The store commits and compacts once at the end,
so its rows are written twice; parts alone are told beside it, which is what an extraction waits
for while it runs.
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
from read_store import DIM, FRAMES, SPEC
from timing import spread

from abaw.cache import StoreWriter
from abaw.core.files import fsync_folder
from abaw.core.machine import cpu_name

REPEATS = 9
N_VIDEOS = 160


def save(folder: Path, rows: np.ndarray) -> float:
    """Seconds of one `.npy` a video."""
    folder.mkdir()
    start = time.perf_counter()
    for n in range(N_VIDEOS):
        with (folder / f"{n}.npy").open("wb") as stream:
            np.save(stream, rows)
            stream.flush()
            os.fsync(stream.fileno())
    fsync_folder(folder)
    return time.perf_counter() - start


def store(path: Path, rows: np.ndarray) -> tuple[float, float]:
    """Seconds until all is committed in parts, and until it is one file or group."""
    frame = np.arange(1, FRAMES + 1, dtype=np.int32)
    start = time.perf_counter()
    with StoreWriter.open(path, SPEC, {}) as writer:
        for n in range(N_VIDEOS):
            writer.add(
                f"video{n:04d}",
                version=1,
                source_start=0,
                source_length=FRAMES,
                source_total=FRAMES,
                frame=frame,
                embedding=rows,
                input_hash=n,
                stat_hash=n,
                precision="fp32",
            )
        writer.flush()
        parts = time.perf_counter() - start
        writer.compact()
    return parts, time.perf_counter() - start


def main() -> None:
    """Print the ratios of each backend."""
    rows = np.random.default_rng(0).standard_normal((FRAMES, DIM)).astype(np.float16)
    n_bytes = rows.nbytes * N_VIDEOS
    print(f"{n_bytes / 1e6:.0f} MB, {REPEATS} interleaved repeats, {cpu_name()}")
    for suffix in (".h5", ".zarr"):
        parts, whole, rates = [], [], []
        for repeat in range(REPEATS + 1):  # the first one warms up
            with tempfile.TemporaryDirectory() as text:
                saved = save(Path(text) / "npy", rows)
                committed, compacted = store(Path(text) / "f" / f"store{suffix}", rows)
            if repeat:
                parts.append(saved / committed)
                whole.append(saved / compacted)
                rates.append(n_bytes / 1e6 / saved)
        print(
            f"{suffix[1:]}: {spread(parts)} of np.save's {spread(rates, 0)} MB/s in parts, "
            f"{spread(whole)} with compaction"
        )


if __name__ == "__main__":
    main()
