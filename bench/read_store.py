"""Reading a store over `np.memmap` of the same bytes with the same access, every byte touched.

python bench/read_store.py

Whole videos through `store[video]` in random order, and random segments of 250 frames through
`store.read`; of the store's 1 GB a row is 768 float16 numbers. Both sides add up every number they
read. Files are in the page cache, as in the second epoch of a training.
"""

import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from open_store import SPEC as SMALL
from timing import spread

from abaw.cache import EmbeddingStore, StoreWriter, open_store
from abaw.core.machine import cpu_name

REPEATS = 5
DIM, N_VIDEOS, FRAMES, SEGMENT, N_SEGMENTS = 768, 320, 2_000, 250, 2_560
SPEC = replace(SMALL, dim=DIM)


def write(path: Path) -> None:
    """Write a compacted store of random numbers."""
    rng = np.random.default_rng(0)
    with StoreWriter.open(path, SPEC, {}, commit_every=1e9) as writer:
        for n in range(N_VIDEOS):
            rows = rng.standard_normal((FRAMES, DIM), np.float32)
            writer.add(
                f"video{n:04d}",
                version=1,
                source_start=0,
                source_length=FRAMES,
                source_total=FRAMES,
                frame=np.arange(1, FRAMES + 1, dtype=np.int32),
                embedding=rows,
                input_hash=n,
                stat_hash=n,
                precision="fp32",
            )
        writer.compact()


def touch(arrays: Iterable[np.ndarray]) -> int:
    """Read every byte; the sum is compared."""
    return sum(int(np.ascontiguousarray(array).view(np.uint64).sum()) for array in arrays)


def seconds(read: Callable[[], Iterable[np.ndarray]]) -> tuple[float, int]:
    """Return how long reading takes, and the sum."""
    start = time.perf_counter()
    total = touch(read())
    return time.perf_counter() - start, total


def cases(
    store: EmbeddingStore, flat: np.ndarray
) -> dict[str, tuple[Callable[[], Iterable[np.ndarray]], Callable[[], Iterable[np.ndarray]]]]:
    """Name -> reading from the store, and the same from the flat file."""
    rng = np.random.default_rng(1)
    order = rng.permutation(N_VIDEOS)
    video, first = (
        rng.integers(0, N_VIDEOS, N_SEGMENTS),
        rng.integers(0, FRAMES - SEGMENT, N_SEGMENTS),
    )
    names = [store.videos[n] for n in video]
    cuts = [slice(int(n), int(n) + SEGMENT) for n in first]
    starts = video * FRAMES + first
    return {
        "whole videos": (
            lambda: (store[store.videos[n]].embedding for n in order),
            lambda: (flat[n * FRAMES : (n + 1) * FRAMES] for n in order),
        ),
        "segments": (
            lambda: (rows for rows, _ in store.read(names, cuts)),
            lambda: (flat[n : n + SEGMENT] for n in starts),
        ),
    }


def main() -> None:
    """Print the ratio of each access and backend."""
    n_bytes = N_VIDEOS * FRAMES * DIM * 2
    print(f"{n_bytes / 1e9:.2f} GB, {REPEATS} interleaved repeats, {cpu_name()}")
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".h5", ".zarr"):
            path = Path(folder) / f"{suffix[1:]}{suffix}"
            write(path)
            store = open_store(path)
            assert isinstance(store, EmbeddingStore)
            flat_path = Path(folder) / "flat"
            flat = np.memmap(flat_path, np.float16, "w+", shape=(N_VIDEOS * FRAMES, DIM))
            for n, video in enumerate(store):
                flat[n * FRAMES : (n + 1) * FRAMES] = store[video].embedding
            flat.flush()
            flat = np.memmap(flat_path, np.float16, "r", shape=(N_VIDEOS * FRAMES, DIM))
            for name, (ours, theirs) in cases(store, flat).items():
                ratios, rates = [], []
                for _ in range(REPEATS + 1):  # the first one fills the page cache
                    mine, total = seconds(ours)
                    other, expected = seconds(theirs)
                    assert total == expected
                    ratios.append(other / mine)
                    rates.append(n_bytes / 1e9 / mine)
                print(
                    f"{suffix[1:]}, {name}: {spread(ratios[1:])} of np.memmap, "
                    f"{spread(rates[1:], 1)} GB/s"
                )
            store.close()


if __name__ == "__main__":
    main()
