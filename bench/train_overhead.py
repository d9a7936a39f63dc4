"""How much of a training epoch is not the optimiser's own work.

Frames per second of the training loop (shuffling, batching, losses per task, checks, logging of
losses; evaluation apart) over those of the bare step on one resident batch of the same shape:
forward, loss, backward, clipping, update. Both on the same network and data, interleaved.

python bench/train_overhead.py
"""

import time
from collections.abc import Callable

import numpy as np
import torch
from timing import spread

from abaw.core.machine import cpu_name
from abaw.core.tasks import N_AUS, N_EXPRESSIONS
from abaw.temporal.config import RunConfig
from abaw.temporal.data.dataset import SequenceDataset
from abaw.temporal.data.standardize import fit_standardizer
from abaw.temporal.data.timeline import Timeline
from abaw.temporal.loop import TrainingLoop, cpu_threads
from abaw.temporal.nets.build import build_network

REPEATS = 7
N_VIDEOS = 32
LENGTHS = (20, 400)
DIM = 768
DEVICE = torch.device("cpu")


def made_lines() -> list[Timeline]:
    """Return random videos of very different length; a third of the labels is missing."""
    rng = np.random.default_rng(0)
    lines = []
    for number in range(N_VIDEOS):
        n = int(rng.integers(*LENGTHS))
        frame = np.arange(1, n + 1, dtype=np.int32)
        lines.append(
            Timeline(
                video=str(number),
                frame=frame,
                embeddings=(rng.normal(size=(n, DIM)).astype(np.float16),),
                rows=(np.arange(n),),
                is_frame=np.ones((1, n), np.bool_),
                values={
                    "valence": rng.uniform(-1, 1, n).astype(np.float32),
                    "arousal": rng.uniform(-1, 1, n).astype(np.float32),
                    "expression": rng.integers(0, N_EXPRESSIONS, n).astype(np.int8),
                    "au": rng.integers(0, 2, (n, N_AUS)).astype(np.int8),
                },
                is_labelled={
                    "valence": rng.random(n) > 1 / 3,
                    "arousal": rng.random(n) > 1 / 3,
                    "expression": rng.random(n) > 1 / 3,
                    "au": rng.random((n, N_AUS)) > 1 / 3,
                },
                asked=frame,
            )
        )
    return lines


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Print the median ratio and both speeds."""
    config = RunConfig(features=("bench",), device="cpu")
    lines = made_lines()
    dataset = SequenceDataset(lines, fit_standardizer(lines), DEVICE)
    network = build_network(dataset.n_features, config)
    loop = TrainingLoop(config, network, dataset, DEVICE)
    network.train()
    full = next(batch for batch in loop.batches() if batch.is_frame.all())
    n_epoch = sum(batch.n_frames for batch in loop.batches())
    n_bare = full.n_frames
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-6)

    def bare() -> None:
        for _ in range(loop.steps_per_epoch):
            outputs, _ = network(full.features, full.is_frame)
            total = loop.loss.total(loop.loss.per_task(outputs, full.labels))
            optimizer.zero_grad(set_to_none=True)
            total.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
            optimizer.step()

    bare_speed, loop_speed, ratio = [], [], []
    with cpu_threads(config.threads):
        loop.epoch()  # warm up
        bare()
        for _ in range(REPEATS):
            bare_speed.append(n_bare * loop.steps_per_epoch / seconds(bare))
            loop_speed.append(n_epoch / seconds(loop.epoch))
            ratio.append(loop_speed[-1] / bare_speed[-1])
    print(
        f"training, {DIM} features, {loop.steps_per_epoch} steps of {config.batch_size} x "
        f"{config.segment_length} frames, {config.threads} thread, {REPEATS} interleaved repeats, "
        f"{cpu_name()}, torch {torch.__version__}"
    )
    print(f"  bare step {spread(bare_speed, 0)} frames/s")
    print(f"  loop      {spread(loop_speed, 0)} frames/s, padding not counted")
    print(f"  loop over bare step {spread(ratio)}")


if __name__ == "__main__":
    main()
