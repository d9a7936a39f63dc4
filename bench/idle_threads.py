"""A network's frames/s where the main thread keeps idle threads of torch's, over without them.

python bench/idle_threads.py

What `core.device.in_own_thread` is for. Each timing is a process of its own; densenet121 has the
most small layers of the backbones.
"""

import subprocess
import sys

import torch
from timing import device_name, spread

REPEATS = 5
CHILD = """
import sys, time, torch
from abaw.core.device import autocast, compute_thread, resolve_precision
from abaw.extract import EmbeddingRequest, load_backbone
cpu = torch.device("cpu")
precision = resolve_precision("auto", cpu)
loaded = load_backbone(EmbeddingRequest(name="x", backbone="densenet121", weights="random:0"))
if sys.argv[1] == "idle":
    torch.ones(1 << 24) + 1  # shared by as many threads as there are cores, which then stay
def rate():
    module = loaded.module.to(memory_format=torch.channels_last)
    frames = torch.randn(32, 3, 112, 112).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), autocast(cpu, precision):
        module(frames)
        start, n_frames = time.perf_counter(), 0
        while time.perf_counter() - start < 4:
            module(frames)
            n_frames += len(frames)
        return n_frames / (time.perf_counter() - start)
with compute_thread() as computing:
    print(computing.submit(rate).result())
"""


def rate(kind: str) -> float:
    """Frames/s in a fresh process."""
    command = [sys.executable, "-c", CHILD, kind]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Print both rates and their ratio."""
    print(
        f"{REPEATS} interleaved repeats, {torch.get_num_threads()} threads, "
        f"{device_name(torch.device('cpu'))}"
    )
    idle, clean = [], []
    for _ in range(REPEATS):
        idle.append(rate("idle"))
        clean.append(rate("clean"))
    ratios = [one / other for one, other in zip(idle, clean, strict=True)]
    print(f"densenet121: {spread(clean, 0)} frames/s, {spread(idle, 0)} beside idle threads")
    print(f"ratio {spread(ratios)}")


if __name__ == "__main__":
    main()
