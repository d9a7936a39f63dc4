"""A training step of this project's recurrent layers on a processor over torch's; its dropout's.

python bench/recurrent_layers.py [gru lstm dropout]

torch's LSTM is taken in its quickest form, which is fp32 whatever the precision asked for. Sizes
are those of the defaults, of wider networks, and of the published presets, whose first layer gets
the features themselves, so that no gradient of its inputs is asked for.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from timing import device_name, spread
from torch import nn

from abaw.temporal.loop import cpu_threads
from abaw.temporal.nets.dropout import Dropout
from abaw.temporal.nets.encoders.gru_cpu import run_gru
from abaw.temporal.nets.encoders.lstm_cpu import run_lstm

REPEATS = 9


class Size(NamedTuple):
    """Of a layer and its batch."""

    width: int
    n_inputs: int
    batch: int
    length: int
    needs_gradient: bool = True
    """Of the inputs."""


SIZES = (
    Size(64, 128, 8, 32),
    Size(128, 128, 8, 32),
    Size(256, 256, 8, 64),
    Size(512, 512, 8, 250),
    Size(512, 768, 8, 250, needs_gradient=False),
    Size(512, 768, 4, 250, needs_gradient=False),
    Size(1024, 1024, 8, 64),
)


def step(run: Callable[..., torch.Tensor], *args: Any, is_low: bool = False) -> float:
    """Return the seconds of a pass forward and backward."""
    start = time.perf_counter()
    with torch.autocast("cpu", enabled=is_low):
        y = run(*args)
    y.float().sum().backward()
    return time.perf_counter() - start


def torchs_layer(layer: nn.RNNBase, x: torch.Tensor) -> torch.Tensor:
    """Return what torch's layer gives."""
    with torch.autocast("cpu", enabled=torch.is_autocast_enabled("cpu") and layer.mode == "GRU"):
        y: torch.Tensor = layer(x)[0]
    return y


def torchs_low_layer(layer: nn.RNNBase, x: torch.Tensor) -> torch.Tensor:
    """Return what torch's layer gives as autocast has it."""
    y: torch.Tensor = layer(x)[0]
    return y


def own_layer(layer: nn.RNNBase, x: torch.Tensor) -> torch.Tensor:
    """Return what this project gives for the layer."""
    return run_gru(layer, x, None) if isinstance(layer, nn.GRU) else run_lstm(layer, x, None)[0]


def ratios(repeats: int, theirs: Callable[[], float], ours: Callable[[], float]) -> list[float]:
    """Return their seconds over ours, the first pair left out."""
    return [theirs() / ours() for _ in range(repeats + 1)][1:]


def measure_layer(kind: str, size: Size, threads: int) -> None:
    """Print how much quicker a training step of a layer is."""
    layer_type = nn.GRU if kind == "gru" else nn.LSTM
    layer = layer_type(size.n_inputs, size.width, batch_first=True)
    shape = (size.batch, size.length, size.n_inputs)
    x = torch.randn(shape, requires_grad=size.needs_gradient)
    for is_low in (False, True):

        def ours(is_low: bool = is_low) -> float:
            return step(own_layer, layer, x, is_low=is_low)

        def theirs(is_low: bool = is_low) -> float:
            return step(torchs_layer, layer, x, is_low=is_low)

        found = f"{spread(ratios(REPEATS, theirs, ours), 2)} times torch's speed"
        if is_low and kind == "lstm":
            low = ratios(3, lambda: step(torchs_low_layer, layer, x, is_low=True), ours)
            found += f", {spread(low, 1)} times that of its layer in bf16"
        gradient = "" if size.needs_gradient else " without gradient"
        print(
            f"{kind.upper()} {size.width} wide, {size.batch} x {size.length} x {size.n_inputs}"
            f"{gradient}, {'bf16' if is_low else 'fp32'}, {threads} threads: {found}",
            flush=True,
        )


def measure_dropout(threads: int) -> None:
    """Print how much quicker dropout is."""
    x = torch.randn(8, 250, 512, requires_grad=True)
    found = ratios(REPEATS, lambda: step(nn.Dropout(0.3), x), lambda: step(Dropout(0.3), x))
    print(f"dropout of 8 x 250 x 512, {threads} threads: {spread(found, 2)} times torch's speed")


def main() -> None:
    """Print ratios of speed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=["gru", "lstm", "dropout"])
    options = parser.parse_args()
    print(f"{REPEATS} interleaved repeats, {device_name(torch.device('cpu'))}")
    for threads in (1, 2):
        with cpu_threads(threads):
            for part in options.parts:
                if part == "dropout":
                    measure_dropout(threads)
                else:
                    for size in SIZES:
                        measure_layer(part, size, threads)


if __name__ == "__main__":
    main()
