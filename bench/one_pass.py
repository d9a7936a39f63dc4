"""Several embeddings in one decode pass over as many separate runs: time and contents.

python bench/one_pass.py

Two sets: small networks, where decoding is a good part of the work, and larger ones, where it is
next to nothing.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from timing import device_name, spread
from trees import drawn_frames, tree_of

from abaw.cache import open_store
from abaw.core.device import resolve_device
from abaw.extract import EmbeddingRequest, RunOptions, run
from abaw.extract.backbones import load_backbones

REPEATS = 5


def request(name: str, backbone: str, **settings: int) -> EmbeddingRequest:
    """One embedding with random weights, or none where it has none."""
    weights = "none" if backbone == "thumbnail" else "random:0"
    return EmbeddingRequest(name=name, backbone=backbone, weights=weights, settings=settings)


SETS = {
    "small": (
        12_000,
        [request(f"thumbnail{size}", "thumbnail", input_size=size) for size in (8, 12, 16)],
    ),
    "large": (
        480,
        [request(name, name) for name in ("denseface", "densenet121", "iresnet18")],
    ),
}


def seconds(tree: Path, requests: list[EmbeddingRequest], cache: Path) -> float:
    """Seconds of one run without loading the networks."""
    for _ in range(2):  # the first time reads files that the second has at hand
        start = time.perf_counter()
        load_backbones(requests)
        loading = time.perf_counter() - start
    start = time.perf_counter()
    run([tree], requests, cache, RunOptions(), progress=False)
    return time.perf_counter() - start - loading


def count_different(one: Path, other: Path, names: list[str]) -> tuple[int, int]:
    """Return how many numbers of two caches differ, and how many there are."""
    n_different, n_all = 0, 0
    for name in names:
        first, second = open_store(one / name), open_store(other / name)
        for video in first:
            a, b = np.array(first[video].embedding), np.array(second[video].embedding)
            n_different += int(np.count_nonzero(a.view(np.uint16) != b.view(np.uint16)))
            n_all += a.size
    return n_different, n_all


def main() -> None:
    """Print the ratio of both sets."""
    device = resolve_device("auto")
    print(
        f"{REPEATS} interleaved repeats, {torch.get_num_threads()} threads, {device_name(device)}"
    )
    for title, (n_frames, requests) in SETS.items():
        with tempfile.TemporaryDirectory() as folder:
            tree = tree_of(drawn_frames(Path(folder) / "sample"), Path(folder) / "tree", n_frames)
            names = [one.name for one in requests]
            ratios, together, apart = [], [], []
            for repeat in range(REPEATS):
                one, other = Path(folder) / f"one{repeat}", Path(folder) / f"other{repeat}"
                together.append(seconds(tree, requests, one))
                apart.append(sum(seconds(tree, [single], other) for single in requests))
                ratios.append(together[-1] / apart[-1])
            n_different, n_all = count_different(one, other, names)
        print(f"{title}: {', '.join(names)}, {n_frames:,} frames")
        print(f"  one pass {spread(together, 2)} s, separate runs {spread(apart, 2)} s in sum")
        print(f"  ratio {spread(ratios)}; {n_different} of {n_all:,} stored numbers differ")


if __name__ == "__main__":
    main()
