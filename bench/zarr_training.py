"""Training from a Zarr store over training from an HDF5 store of the same numbers.

python bench/zarr_training.py

The default network (GRU) on 60 drawn videos of 1,000 frames x 512 float16 numbers, with the code
that `abaw temporal-train` runs: stores opened and read, time lines joined, features standardised,
then optimiser steps over all windows. Windows do not overlap, so that there are half as many steps
as by default for the same bytes. Features of up to 4 GB are read once and stay in memory as float32
(`SequenceDataset`): later epochs do not touch the store. Told are

    reading     from the path of the store to the data set: opening, joining, two passes for mean
                and deviation, one that fills the memory; warm, and once the kernel was asked to
                drop the store from the page cache
    first       reading (warm) and one epoch: all of a training of one epoch but its evaluation
    later       an epoch from memory: it cannot differ, and shows how exact these figures are
    unkept      an epoch that reads every window from the store, as beyond 4 GB

Wanted: a ratio of at most 1.05. Both sides take turns, step by step, so that what else the machine
does hits them alike; every weight must be equal to the last bit in the end.
"""

import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from open_store import SPEC as SMALL
from open_store import drop_from_page_cache
from timing import spread

from abaw.cache import EmbeddingSpec, StoreWriter
from abaw.core.machine import cpu_name
from abaw.core.tasks import N_AUS, N_EXPRESSIONS
from abaw.temporal.config import RunConfig
from abaw.temporal.data.annotations import import_annotations, write_annotations
from abaw.temporal.data.dataset import RESIDENT_BYTES, SequenceDataset
from abaw.temporal.data.features import FeatureMaker
from abaw.temporal.data.join import join
from abaw.temporal.data.standardize import fit_standardizer
from abaw.temporal.loop import TrainingLoop, cpu_threads
from abaw.temporal.nets.build import build_network
from abaw.temporal.run_folder import open_embeddings, open_labels

REPEATS = 5
N_VIDEOS, FRAMES, DIM = 60, 1_000, 512
DEVICE = torch.device("cpu")
CONFIG = RunConfig(features=("drawn",), device="cpu", stride=32)
SUFFIXES = (".h5", ".zarr")


def write_cache(cache: Path, suffix: str) -> None:
    """Write a store of drawn numbers and its labels, of which a third is missing."""
    cache.mkdir()
    rng = np.random.default_rng(0)
    spec = EmbeddingSpec(**{**vars(SMALL), "dim": DIM})
    names, values = [], []
    with StoreWriter.open(cache / f"drawn{suffix}", spec, {}, commit_every=1e9) as writer:
        for n in range(N_VIDEOS):
            writer.add(
                f"video{n:04d}",
                version=1,
                source_start=0,
                source_length=FRAMES,
                source_total=FRAMES,
                frame=np.arange(1, FRAMES + 1, dtype=np.int32),
                embedding=rng.standard_normal((FRAMES, DIM), np.float32),
                input_hash=n,
                stat_hash=n,
                precision="fp32",
            )
            names += [f"video{n:04d}/{frame:05d}.jpg" for frame in range(1, FRAMES + 1)]
            affect = rng.uniform(-1, 1, (FRAMES, 2))
            expression = rng.integers(0, N_EXPRESSIONS, (FRAMES, 1))
            au = rng.integers(0, 2, (FRAMES, N_AUS))
            row = np.concatenate([affect, expression, au], axis=1)
            is_missing = rng.random((FRAMES, 3)) < 1 / 3
            row[is_missing[:, 0], :2] = -5
            row[is_missing[:, 1], 2] = -1
            row[is_missing[:, 2], 3:] = -1
            values.append(row)
        writer.compact()
    write_annotations(cache / "train.txt", names, np.concatenate(values))
    import_annotations(cache, "labels", None, cache / "train.txt", None, None)


def read(cache: Path, resident_bytes: int) -> SequenceDataset:
    """Return the training split, as `train` reads it."""
    stores, labels = open_embeddings(cache, CONFIG.features), open_labels(cache, CONFIG.labels)
    lines, _ = join(stores, labels, "train", CONFIG)
    maker = FeatureMaker(fit_standardizer(lines), CONFIG)
    return SequenceDataset(lines, maker, DEVICE, resident_bytes=resident_bytes)


def timed_read(cache: Path, *, is_cold: bool) -> tuple[SequenceDataset, float]:
    """Return the training split, kept in memory, and the seconds that it took."""
    if is_cold:
        for path in cache.iterdir():
            drop_from_page_cache(path)
    start = time.perf_counter()
    dataset = read(cache, RESIDENT_BYTES)
    return dataset, time.perf_counter() - start


def new_loop(dataset: SequenceDataset) -> TrainingLoop:
    """Return the steps of a network that has the same weights every time."""
    return TrainingLoop(CONFIG, build_network(dataset.n_features, CONFIG), dataset)


def epochs(loops: Sequence[TrainingLoop]) -> tuple[list[float], list[torch.Tensor]]:
    """Take an epoch of each loop, in turns; return the seconds of each, and the weights.

    Both drop the same values out: each step begins with the same seed.
    """
    seconds = [0.0] * len(loops)
    steps = [loop.steps() for loop in loops]
    for step in range(len(loops[0].feed.epoch(loops[0].epoch))):
        for turn in range(len(loops)):
            side = (step + turn) % len(loops)
            torch.manual_seed(step)
            start = time.perf_counter()
            next(steps[side])
            seconds[side] += time.perf_counter() - start
    for side in steps:
        next(side, None)  # ends the epoch
    found = [[p.detach().clone() for p in loop.network.parameters()] for loop in loops]
    assert all(is_same(found[0], other) for other in found), "the networks differ"
    return seconds, found[0]


def is_same(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]) -> bool:
    """Return whether weights are equal to the last bit."""
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def measure(caches: Sequence[Path], times: dict[str, list[list[float]]]) -> None:
    """Add the seconds of every step, one of each cache, to `times`."""
    for cache in caches:
        read(cache, RESIDENT_BYTES)  # fills the page cache
    kept = [timed_read(cache, is_cold=False) for cache in caches]
    loops = [new_loop(dataset) for dataset, _ in kept]
    first, weights = epochs(loops)
    times["reading, warm"].append([seconds for _, seconds in kept])
    times["first"].append([a + b for a, b in zip(first, times["reading, warm"][-1], strict=True)])
    times["later"].append(epochs(loops)[0])
    unkept, same = epochs([new_loop(read(cache, 0)) for cache in caches])
    times["unkept"].append(unkept)
    assert is_same(weights, same), "what is kept is not what is stored"
    del kept, loops  # what is mapped is not dropped
    times["reading, cold"].append([timed_read(cache, is_cold=True)[1] for cache in caches])


def main() -> None:
    """Print the ratio of every step."""
    n_bytes = N_VIDEOS * FRAMES * DIM * 2
    print(
        f"{N_VIDEOS} videos x {FRAMES:,} frames x {DIM}, {n_bytes / 1e6:.0f} MB, {REPEATS} "
        f"interleaved repeats, {CONFIG.threads} thread, {cpu_name()}, torch {torch.__version__}"
    )
    times: dict[str, list[list[float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as text, cpu_threads(CONFIG.threads):
        caches = [Path(text) / suffix[1:] for suffix in SUFFIXES]
        for cache, suffix in zip(caches, SUFFIXES, strict=True):
            write_cache(cache, suffix)
        for _ in range(REPEATS):
            measure(caches, times)
    for key, found in times.items():
        hdf5, zarr = (statistics.median(column) for column in zip(*found, strict=True))
        ratio = [of_zarr / of_hdf5 for of_hdf5, of_zarr in found]
        print(f"  {key:14} HDF5 {hdf5:.3f} s, Zarr {zarr:.3f} s, ratio {spread(ratio)}")


if __name__ == "__main__":
    main()
