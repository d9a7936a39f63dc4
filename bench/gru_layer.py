"""A training step of this project's GRU layer on a processor over torch's, and of its dropout.

python bench/gru_layer.py
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from timing import device_name, spread
from torch import nn

from abaw.temporal.loop import cpu_threads
from abaw.temporal.nets.dropout import Dropout
from abaw.temporal.nets.encoders.gru_cpu import run_gru

REPEATS = 9
SIZES = ((64, 8, 32), (128, 8, 32), (256, 8, 64), (512, 8, 250))
"""Width, sequences, frames."""


def step(run: Callable[..., torch.Tensor], *args: Any, is_low: bool = False) -> float:
    """Return the seconds of a pass forward and backward."""
    start = time.perf_counter()
    with torch.autocast("cpu", enabled=is_low):
        y = run(*args)
    y.float().sum().backward()
    return time.perf_counter() - start


def torchs_gru(layer: nn.GRU, x: torch.Tensor) -> torch.Tensor:
    """Return what torch's layer gives."""
    y: torch.Tensor = layer(x)[0]
    return y


def main() -> None:
    """Print ratios of speed."""
    print(f"{REPEATS} interleaved repeats, {device_name(torch.device('cpu'))}")
    for threads in (1, 2):
        with cpu_threads(threads):
            for width, batch, length in SIZES:
                layer = nn.GRU(width, width, batch_first=True)
                x = torch.randn(batch, length, width, requires_grad=True)
                for is_low in (False, True):
                    ratios = []
                    for _ in range(REPEATS + 1):
                        torchs = step(torchs_gru, layer, x, is_low=is_low)
                        ours = step(run_gru, layer, x, None, is_low=is_low)
                        ratios.append(torchs / ours)
                    kind = "bf16" if is_low else "fp32"
                    where = f"{width} wide, {batch} x {length}, {kind}, {threads} threads"
                    print(f"GRU {where}: {spread(ratios[1:], 2)} times torch's speed", flush=True)
            x = torch.randn(8, 250, 512, requires_grad=True)
            ratios = []
            for _ in range(REPEATS + 1):
                torchs = step(nn.Dropout(0.3), x)
                ratios.append(torchs / step(Dropout(0.3), x))
            print(f"dropout of 8 x 250 x 512, {threads} threads: {spread(ratios[1:], 2)} times")


if __name__ == "__main__":
    main()
