"""Extraction frames/s over those of the bare network, on this machine's device.

python bench/extract_overhead.py [FRAME_TREE]

The bare network has uint8 batches in memory already: it resizes, normalises and computes them, in
the fastest of the layouts and batch sizes tried. Extraction finds, reads, hashes and decodes every
frame, and writes the store. Loading the network is told apart: it takes as long for a million
frames as for ten.
"""

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from timing import device_name, spread, wait

from abaw.core.device import autocast, compute_thread, resolve_device, resolve_precision
from abaw.extract import EmbeddingRequest, RunOptions, load_backbone, run
from abaw.extract.preprocess import Preprocessor
from abaw.sample import SampleSettings, write_sample

REPEATS = 5
BATCH_SIZES = {"cpu": (8, 16, 32), "cuda": (64, 128, 256), "mps": (16, 32, 64)}
BACKBONES = {"densenet121": 384, "iresnet50": 96, "mae_vit_base_patch16": 48}
"""Backbone -> frames of one timing on a CPU; a GPU gets many times as many."""
GPU_FACTOR = 100
SAMPLE = SampleSettings(n_train_videos=7, n_val_videos=1, n_test_videos=0, frames=60)
DEVICE = resolve_device("auto")
PRECISION = resolve_precision("auto", DEVICE)


@dataclass
class Bare:
    """The network alone, on batches that stay where they are."""

    module: torch.nn.Module
    preprocess: Preprocessor
    n_frames: int

    def rate(self, batch_size: int, layout: torch.memory_format) -> float:
        """Frames/s, in a thread as extraction has it."""
        with compute_thread() as computing:
            return computing.submit(self._rate, batch_size, layout).result()

    def _rate(self, batch_size: int, layout: torch.memory_format) -> float:
        module = self.module.to(DEVICE).to(memory_format=layout)
        batch = torch.randint(0, 256, (batch_size, 112, 112, 3), dtype=torch.uint8).to(DEVICE)
        n_batches = max(1, self.n_frames // batch_size)
        with torch.inference_mode(), autocast(DEVICE, PRECISION):
            for n in (1, n_batches):  # the first one warms up
                wait(DEVICE)
                start = time.perf_counter()
                for _ in range(n):
                    prepared = self.preprocess(batch).contiguous(memory_format=layout)
                    module(prepared)
                wait(DEVICE)
        return n_batches * batch_size / (time.perf_counter() - start)


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


def measure(source: Path, name: str, n_frames: int) -> None:
    """Print rates and ratios of interleaved repeats of one backbone."""
    request = EmbeddingRequest(name="bench", backbone=name, weights="random:0")
    loaded = load_backbone(request)
    bare = Bare(loaded.module, Preprocessor(loaded.spec), n_frames)
    layouts = (torch.contiguous_format, torch.channels_last)
    tried = {
        (size, layout): bare.rate(size, layout)
        for size in BATCH_SIZES[DEVICE.type]
        for layout in layouts
    }
    best = max(tried, key=tried.__getitem__)
    rates, steady, whole_ratio, ratio, shares = [], [], [], [], ""
    with tempfile.TemporaryDirectory() as folder:
        tree = some_frames(source, Path(folder) / "frames", n_frames)
        for _ in range(REPEATS):
            before = bare.rate(*best)
            seconds, loading, n_done, shares = extraction(tree, request)
            after = bare.rate(*best)
            rates.append((before + after) / 2)
            steady.append(n_done / (seconds - loading))
            ratio.append(steady[-1] / rates[-1])
            whole_ratio.append(n_done / seconds / rates[-1])
    layout = "channels last" if best[1] == torch.channels_last else "channels first"
    print(f"{name} at {loaded.spec.input_size} px, {n_done} frames, {PRECISION}")
    print(f"  bare network, batch {best[0]}, {layout}: {spread(rates, 1)} frames/s")
    print(f"  extraction: {spread(steady, 1)} frames/s ({shares})")
    print(f"  over the bare network {spread(ratio)}; with loading {spread(whole_ratio)}")


def some_frames(source: Path, tree: Path, n_frames: int) -> Path:
    """Return a tree of links to `n_frames` frames, taken again and again if there are fewer."""
    found = sorted(source.rglob("*.jpg"))
    for n in range(n_frames):
        path = found[n % len(found)]
        folder = tree / f"video{n // 500}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{n % 500 + 1:05d}.jpg").symlink_to(path.resolve())
    return tree


def main() -> None:
    """Measure on the tree that is given, or on a drawn one."""
    print(
        f"{REPEATS} interleaved repeats, {torch.get_num_threads()} threads, {device_name(DEVICE)}"
    )
    factor = 1 if DEVICE.type == "cpu" else GPU_FACTOR
    with tempfile.TemporaryDirectory() as folder:
        source = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "cropped_aligned"
        if len(sys.argv) == 1:
            write_sample(Path(folder), SAMPLE)
        for name, n_frames in BACKBONES.items():
            measure(source, name, n_frames * factor)


if __name__ == "__main__":
    main()
