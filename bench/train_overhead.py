"""The training loop over bare optimiser steps on one resident batch.

python bench/train_overhead.py

Both take the same steps with the same network, loss and optimiser; the bare one always has the
same full batch at hand. The loop picks its batches and counts real frames only; scoring is apart.
Of the ratio, padding and the smaller batches at an epoch's end take their share, which is no work
of the loop's: its speed over that of bare steps on its own batches, made beforehand, is told too.
"""

import time
from collections.abc import Callable, Sequence

import torch
from made_sequences import made_lines
from timing import device_name, spread, wait

from abaw.core.device import autocast, resolve_device
from abaw.temporal.config import RunConfig
from abaw.temporal.data.dataset import Batch, SequenceDataset
from abaw.temporal.data.features import FeatureMaker
from abaw.temporal.data.standardize import fit_standardizer
from abaw.temporal.loop import TrainingLoop, cpu_threads
from abaw.temporal.nets.build import build_network
from abaw.temporal.optimisation import build_optimizer
from abaw.temporal.precision import training_precision

REPEATS = 7
N_VIDEOS = 40
DIM = 768
SETTINGS = {
    "gru": {"encoder": "gru"},
    "gru, lanes": {
        "encoder": "gru",
        "feeding": "lanes",
        "bidirectional": False,
        "random_offset": False,
        "stride": 32,
    },
    "lstm": {"encoder": "lstm"},
    "transformer": {"encoder": "transformer"},
    "gru, 512 wide": {"encoder": "gru", "hidden_size": 512, "projection": 512, "threads": 2},
    "transformer, 512 wide": {
        "encoder": "transformer",
        "hidden_size": 512,
        "projection": 512,
        "threads": 2,
    },
}


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Wall time of one call."""
    wait(device)
    start = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - start


def measure(name: str, changes: dict[str, object], device: torch.device) -> None:
    """Print the speeds of one network and their ratio."""
    config = RunConfig(features=("bench",), device=str(device), epochs=1000, **changes)
    lines = made_lines(N_VIDEOS, DIM)
    dataset = SequenceDataset(lines, FeatureMaker(fit_standardizer(lines), config), device)
    network = build_network(dataset.n_features, config).to(device)
    precision = training_precision(config, device)
    loop = TrainingLoop(config, network, dataset, precision)
    plans = loop.feed.epoch(0)
    full = dataset.batch(max(plans, key=lambda plan: int((plan.rows != dataset.padding).sum())))
    is_lanes = config.feeding == "lanes"
    n_bare = int(full.is_frame.sum())
    optimizer = build_optimizer(
        network, loop.loss, config.model_copy(update={"learning_rate": 1e-9})
    )

    def bare(batches: Sequence[Batch]) -> None:
        network.train()
        for batch in batches:
            # Lanes take padding for frames, as the loop does.
            is_frame = torch.ones_like(batch.is_frame) if is_lanes else batch.is_frame
            with autocast(device, precision):
                outputs, _ = network(batch.features, is_frame, None, batch.labels)
            total = loop.loss.total(loop.loss.per_task(outputs, batch.labels), batch.labels)
            optimizer.zero_grad(set_to_none=True)
            total.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
            optimizer.step()

    def epoch() -> None:
        for _ in loop.steps():
            pass

    bare_speed, loop_speed, ratio, over_own = [], [], [], []
    with cpu_threads(config.threads):
        epoch()  # warm up
        bare([full] * len(plans))
        for _ in range(REPEATS):
            bare_s = seconds(lambda: bare([full] * len(plans)), device)
            bare_speed.append(n_bare * len(plans) / bare_s)
            own = [dataset.batch(plan) for plan in loop.feed.epoch(loop.epoch)]
            n = sum(int(batch.is_frame.sum()) for batch in own)
            own_s, loop_s = seconds(lambda own=own: bare(own), device), seconds(epoch, device)
            loop_speed.append(n / loop_s)
            ratio.append(loop_speed[-1] / bare_speed[-1])
            over_own.append(own_s / loop_s)
    print(
        f"{name} ({precision}, {config.threads} threads, {len(plans)} steps of up to "
        f"{config.batch_size} x {config.segment_length}): bare step {spread(bare_speed, 0)} "
        f"frames/s, loop {spread(loop_speed, 0)}, ratio {spread(ratio)}, "
        f"over bare steps on its own batches {spread(over_own)}",
        flush=True,
    )


def main() -> None:
    """Print every network's figures."""
    device = resolve_device("auto")
    print(f"{DIM} features, {REPEATS} interleaved repeats, {device_name(device)}")
    for name, changes in SETTINGS.items():
        measure(name, changes, device)


if __name__ == "__main__":
    main()
