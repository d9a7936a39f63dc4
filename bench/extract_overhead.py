"""Extraction frames/s over the bare forward's frames/s, for densenet121 in fp32 on the CPU.

python bench/extract_overhead.py [FRAME_TREE]

The bare forward has its normalised batch in memory already, and the batch size that is fastest.
Extraction finds, reads, hashes, decodes and preprocesses every frame and writes the store. Loading
the network is told apart: it takes as long for a million frames as for ten.
"""

import sys
import tempfile
import time
from pathlib import Path

import torch
from timing import spread

from abaw.core.provenance import cpu_name
from abaw.extract import EmbeddingRequest, RunOptions, load_backbone, run
from abaw.sample import SampleSettings, write_sample

REPEATS = 5
BATCH_SIZES = (8, 16, 32)
N_BARE = 64
"""Frames of one timing of the bare forward; a multiple of every batch size."""
REQUEST = EmbeddingRequest(name="bench", backbone="densenet121", weights="random:0")
SAMPLE = SampleSettings(n_train_videos=3, n_val_videos=1, n_test_videos=0, frames=60)


def bare_rate(module: torch.nn.Module, size: int, batch_size: int) -> float:
    """Frames/s of the network alone, on one batch that stays where it is."""
    batch = torch.rand(batch_size, 3, size, size).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        module(batch)
        start = time.perf_counter()
        for _ in range(N_BARE // batch_size):
            module(batch)
    return N_BARE / (time.perf_counter() - start)


def extraction(tree: Path) -> tuple[float, float, int]:
    """Seconds of a whole run into a new cache, seconds of loading alone, and frames."""
    start = time.perf_counter()
    load_backbone(REQUEST)
    loading = time.perf_counter() - start
    options = RunOptions(device="cpu", precision="fp32")
    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        summary = run([tree], [REQUEST], Path(cache), options, progress=False)
        whole = time.perf_counter() - start
    return whole, loading, summary.embeddings[0].n_frames


def measure(tree: Path) -> None:
    """Print rates and ratios of interleaved repeats."""
    loaded = load_backbone(REQUEST)
    module = loaded.module.to(memory_format=torch.channels_last)
    size = loaded.spec.input_size
    best = max(BATCH_SIZES, key=lambda batch_size: bare_rate(module, size, batch_size))
    bare, steady, whole_ratio, ratio = [], [], [], []
    for _ in range(REPEATS):
        before = bare_rate(module, size, best)
        seconds, loading, n_frames = extraction(tree)
        after = bare_rate(module, size, best)
        bare.append((before + after) / 2)
        steady.append(n_frames / (seconds - loading))
        ratio.append(steady[-1] / bare[-1])
        whole_ratio.append(n_frames / seconds / bare[-1])
    print(
        f"densenet121 at {size} px, {n_frames} frames, fp32, {REPEATS} interleaved repeats, "
        f"{torch.get_num_threads()} threads, {cpu_name()}"
    )
    print(f"  bare forward, batch {best}: {spread(bare, 1)} frames/s")
    print(f"  extraction: {spread(steady, 1)} frames/s, over the bare forward {spread(ratio)}")
    print(f"  with loading the network: over the bare forward {spread(whole_ratio)}")


def main() -> None:
    """Measure on the tree that is given, or on a drawn one."""
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_sample(Path(folder), SAMPLE)
        measure(Path(folder) / "cropped_aligned")


if __name__ == "__main__":
    main()
