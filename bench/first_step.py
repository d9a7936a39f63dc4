"""Time from `abaw temporal-train` to its first step, over that of importing torch.

python bench/first_step.py

Both in fresh processes, taking turns; the data set is small, so that reading it counts for little.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from read_store import SPEC
from timing import spread

from abaw.cache import EmbeddingSpec, StoreWriter
from abaw.core.machine import cpu_name
from abaw.temporal.data.annotations import import_annotations, write_annotations

REPEATS = 7
DIM, FRAMES = 64, 50
FIRST_STEP = """
import pathlib, sys
from abaw.temporal import loop
from abaw.temporal.config import config_from_command
from abaw.temporal.train import train
def stop(self, *_):
    sys.stderr.flush()
    import os
    os._exit(0)
loop.TrainingLoop._take = stop
cache, run = map(pathlib.Path, sys.argv[1:])
train(config_from_command("drawn", None, []), cache, run, progress=False)
"""


def write_cache(cache: Path) -> None:
    """Write a small store and its labels."""
    rng = np.random.default_rng(0)
    spec = EmbeddingSpec(**{**vars(SPEC), "dim": DIM})
    names: dict[str, list[str]] = {"train": [], "val": []}
    with StoreWriter.open(cache / "drawn.h5", spec, {}) as writer:
        for n in range(8):
            video = f"video{n}"
            writer.add(
                video,
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
            split = "train" if n < 6 else "val"
            names[split] += [f"{video}/{frame:05d}.jpg" for frame in range(1, FRAMES + 1)]
    for split, found in names.items():
        values = np.concatenate(
            [rng.uniform(-1, 1, (len(found), 2)), rng.integers(0, 2, (len(found), 13))], axis=1
        )
        write_annotations(cache / f"{split}.txt", found, values)
    import_annotations(cache, "labels", None, cache / "train.txt", cache / "val.txt", None)


def seconds(code: str, *arguments: str) -> float:
    """Return the wall time of a Python process."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Print both times and their ratio."""
    with tempfile.TemporaryDirectory() as text:
        cache = Path(text) / "features"
        cache.mkdir()
        write_cache(cache)
        torch_s, ours_s = [], []
        for n in range(REPEATS + 1):
            torch_s.append(seconds("import torch"))
            ours_s.append(seconds(FIRST_STEP, str(cache), str(Path(text) / f"run{n}")))
    ratio = [ours / torchs for ours, torchs in zip(ours_s[1:], torch_s[1:], strict=True)]
    print(f"{REPEATS} interleaved repeats, {cpu_name()}")
    print(
        f"to the first step {spread(ours_s[1:], 2)} s, importing torch {spread(torch_s[1:], 2)} s, "
        f"ratio {spread(ratio, 2)}"
    )


if __name__ == "__main__":
    main()
