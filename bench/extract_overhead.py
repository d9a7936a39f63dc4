"""Extraction frames/s over those of the bare network, on this machine's device.

python bench/extract_overhead.py

The bare network has uint8 batches in memory already: it resizes, normalises and computes them, in
the fastest of the layouts and batch sizes tried. Extraction finds, reads, hashes and decodes every
frame, and writes the store. Loading the network is told apart: it takes as long for a million
frames as for ten.
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from timing import device_name, spread, wait
from trees import drawn_frames, tree_of

from abaw.core.device import autocast, compute_thread, resolve_device, resolve_precision
from abaw.extract import EmbeddingRequest, RunOptions, load_backbone, run
from abaw.extract.preprocess import Preprocessor

REPEATS = 5
BATCH_SIZES = {"cpu": (8, 16, 32), "cuda": (64, 128, 256), "mps": (16, 32, 64)}
BACKBONES = ("densenet121", "iresnet50", "mae_vit_base_patch16")
TRY_SECONDS, SECONDS = 3.0, 8.0
"""Of a timing, about: when layouts and batch sizes are tried, and of those that count."""
DEVICE = resolve_device("auto")
PRECISION = resolve_precision("auto", DEVICE)


@dataclass
class Bare:
    """The network alone, on batches that stay where they are."""

    module: torch.nn.Module
    preprocess: Preprocessor

    def rate(self, batch_size: int, layout: torch.memory_format, seconds: float) -> float:
        """Frames/s over about `seconds`, in a thread as extraction has it."""
        with compute_thread() as computing:
            return computing.submit(self._rate, batch_size, layout, seconds).result()

    def _rate(self, batch_size: int, layout: torch.memory_format, seconds: float) -> float:
        module = self.module.to(DEVICE).to(memory_format=layout)
        batch = torch.randint(0, 256, (batch_size, 112, 112, 3), dtype=torch.uint8).to(DEVICE)

        def spent(n_batches: int) -> float:
            wait(DEVICE)
            start = time.perf_counter()
            for _ in range(n_batches):
                module(self.preprocess(batch).contiguous(memory_format=layout))
            wait(DEVICE)
            return time.perf_counter() - start

        with torch.inference_mode(), autocast(DEVICE, PRECISION):
            spent(1)  # warms up
            n_batches = max(2, round(seconds / spent(1)))
            return n_batches * batch_size / spent(n_batches)


def extraction(tree: Path, request: EmbeddingRequest) -> tuple[float, float, int, str]:
    """Seconds of a whole run into a new cache, seconds of loading alone, frames, shares of time."""
    start = time.perf_counter()
    load_backbone(request)
    loading = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        summary = run([tree], [request], Path(cache), RunOptions(), progress=False)
        whole = time.perf_counter() - start
    return whole, loading, summary.embeddings[0].n_frames, summary.shares


def measure(found: list[Path], name: str, folder: Path) -> None:
    """Print rates and ratios of interleaved repeats of one backbone."""
    request = EmbeddingRequest(name="bench", backbone=name, weights="random:0")
    loaded = load_backbone(request)
    bare = Bare(loaded.module, Preprocessor(loaded.spec))
    layouts = (torch.contiguous_format, torch.channels_last)
    tried = {
        (size, layout): bare.rate(size, layout, TRY_SECONDS)
        for size in BATCH_SIZES[DEVICE.type]
        for layout in layouts
    }
    best = max(tried, key=tried.__getitem__)
    rates, steady, whole_ratio, ratio, shares = [], [], [], [], ""
    tree = tree_of(found, folder / name, round(tried[best] * SECONDS))
    for _ in range(REPEATS):
        before = bare.rate(*best, SECONDS / 2)
        seconds, loading, n_done, shares = extraction(tree, request)
        after = bare.rate(*best, SECONDS / 2)
        rates.append((before + after) / 2)
        steady.append(n_done / (seconds - loading))
        ratio.append(steady[-1] / rates[-1])
        whole_ratio.append(n_done / seconds / rates[-1])
    layout = "channels last" if best[1] == torch.channels_last else "channels first"
    print(f"{name} at {loaded.spec.input_size} px, {n_done} frames, {PRECISION}")
    print(f"  bare network, batch {best[0]}, {layout}: {spread(rates, 1)} frames/s")
    print(f"  extraction: {spread(steady, 1)} frames/s ({shares})")
    print(f"  over the bare network {spread(ratio)}; with loading {spread(whole_ratio)}")


def main() -> None:
    """Print the ratios of each backbone."""
    print(
        f"{REPEATS} interleaved repeats, {torch.get_num_threads()} threads, {device_name(DEVICE)}"
    )
    with tempfile.TemporaryDirectory() as text:
        found = drawn_frames(Path(text) / "sample")
        for name in BACKBONES:
            measure(found, name, Path(text))


if __name__ == "__main__":
    main()
