"""Seconds that a plain loop takes for 10 epochs, over those of this project to the same P_MTL.

python bench/time_to_score.py [--cache DIR]

The plain loop (`plain_loop.py`) is the published GRU with the learning rate of this project's
default, which it is compared with. Both train on drawn faces (`abaw sample --preset bench`, one
embedding with random weights) and score the validation split after every epoch; that time counts.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from against_plain_loop import OwnLoop
from made_sequences import rows_of_lines
from plain_loop import PlainLoop
from stage2_quality import EMBEDDING, cache_of
from timing import device_name, spread

from abaw.temporal.config import RunConfig, read_settings
from abaw.temporal.inference import predict_sequences
from abaw.temporal.loop import cpu_threads
from abaw.temporal.precision import training_precision
from abaw.temporal.run_folder import open_embeddings, open_labels, save_model
from abaw.temporal.score import score_table
from abaw.temporal.selection import select

SEEDS = (0, 1, 2)
PLAIN_EPOCHS = 10
THREADS = 2


def data_of(cache: Path, config: RunConfig) -> tuple:
    """Return the time lines of both splits and their labels as rows."""
    stores, labels = open_embeddings(cache, config.features), open_labels(cache, "labels")
    selection = select(labels, config, cache)
    lines = [selection.join(stores, split)[0] for split in ("train", "val")]
    return (*lines, tuple(rows_of_lines(part) for part in lines))


def plain_run(data: tuple, config: RunConfig, folder: Path, seed: int) -> tuple[float, float]:
    """Return the seconds of all epochs, and the P_MTL of the last."""
    start = time.perf_counter()
    loop = PlainLoop(config, *data, folder, seed)
    for number in range(PLAIN_EPOCHS):
        scores = loop.epoch(number)
    return time.perf_counter() - start, scores.P_MTL


def own_run(data: tuple, config: RunConfig, folder: Path, wanted: float) -> tuple[float, int]:
    """Return the seconds and epochs to a P_MTL of the validation split."""
    start = time.perf_counter()
    own = OwnLoop(config, data, folder, training_precision(config, torch.device("cpu")))
    rows = rows_of_lines(data[1], listed=True)
    while own.loop.epoch < config.epochs:
        own.train_epoch()
        network = own.loop.judged_network()
        table = predict_sequences(network, own._val, config, own.loop.precision)
        if wanted <= score_table(table, rows, "bench").P_MTL:
            save_model(folder, network, own._maker.standardizer)
            return time.perf_counter() - start, own.loop.epoch
    message = f"P_MTL {wanted:.3f} was not reached in {config.epochs} epochs"
    raise RuntimeError(message)


def main() -> None:
    """Print the ratio over seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, help="made before")
    options = parser.parse_args()
    ratios, reached = [], []
    with tempfile.TemporaryDirectory() as text, cpu_threads(THREADS):
        cache = options.cache or cache_of(Path(text), 3)
        for seed in SEEDS:
            default = RunConfig(features=(EMBEDDING,), seed=seed, data_seed=seed, device="cpu")
            settings = read_settings("paper-gru") | {"learning_rate": default.learning_rate}
            published = RunConfig(features=(EMBEDDING,), **settings)
            data = data_of(cache, default)
            plain_s, score = plain_run(data, published, Path(text), seed)
            own_s, epochs = own_run(data, default, Path(text), score)
            ratios.append(plain_s / own_s)
            reached.append(score)
            print(
                f"seed {seed}: plain loop {plain_s:.1f} s for P_MTL {score:.3f}, this project "
                f"{own_s:.1f} s and {epochs} epochs",
                flush=True,
            )
    print(f"{THREADS} threads, {device_name(torch.device('cpu'))}")
    print(f"P_MTL {statistics.median(reached):.3f}, {spread(ratios, 1)} times less time")


if __name__ == "__main__":
    main()
