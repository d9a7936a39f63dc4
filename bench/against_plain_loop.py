"""Seconds per epoch of this project over those of a plain loop with the same hyper-parameters.

python bench/against_plain_loop.py [gru lstm transformer]

The plain loop (`plain_loop.py`) does what the published system does. Both get the same random
videos, sizes, rates and threads. Where the gain comes from is told as a chain, each step with all
of those before it: the training set is no longer scored, one checkpoint is written only when it is
better, no padding is computed, dropout and the GRU layer are this project's own, and products are
in the precision that is quick here (an LSTM layer of this project's own is part of that).

That the plain loop is not slowed is told by bare steps on one full batch: with torch's layers in
both, they take the same time.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from made_sequences import made_lines, rows_of_lines
from plain_loop import PlainLoop
from timing import device_name, spread
from torchs_layers import give_torchs_layers

from abaw.core.device import Precision
from abaw.temporal.config import RunConfig, read_settings
from abaw.temporal.data.dataset import SequenceDataset
from abaw.temporal.data.features import FeatureMaker
from abaw.temporal.data.standardize import fit_standardizer
from abaw.temporal.inference import predict_sequences
from abaw.temporal.loop import TrainingLoop, cpu_threads
from abaw.temporal.nets.build import build_network
from abaw.temporal.precision import training_precision
from abaw.temporal.run_folder import save_model
from abaw.temporal.score import score_table

REPEATS = 5
DIM = 768
N_TRAIN, N_VAL, MEAN_FRAMES = 40, 8, 400
LENGTHS_SEED = 8
PADDING = (0.60, 0.66)
LEAST_BARE = 0.9
OWN_LAYERS = {"gru": "GRU layer and dropout", "lstm": "dropout", "transformer": "dropout"}
"""Of this project, in training on a processor in fp32."""


class OwnLoop:
    """This project's epoch: train, score the validation split, keep the weights if better."""

    def __init__(
        self,
        config: RunConfig,
        data: tuple,
        folder: Path,
        precision: Precision,
        *,
        has_torchs_layers: bool = False,
    ) -> None:
        train, val, rows = data
        maker = FeatureMaker(fit_standardizer(train), config)
        self._config, self._folder, self._maker, self._rows = config, folder, maker, rows[1]
        self._val = SequenceDataset(val, maker)
        dataset = SequenceDataset(train, maker)
        network = build_network(dataset.n_features, config)
        if has_torchs_layers:
            give_torchs_layers(network)
        self.loop = TrainingLoop(config, network, dataset, precision)
        self._best = float("-inf")

    def train_epoch(self) -> None:
        """Take the steps of an epoch."""
        for _ in self.loop.steps():
            pass

    def epoch(self) -> None:
        """Train, score, and keep what is better."""
        self.train_epoch()
        network = self.loop.judged_network()
        table = predict_sequences(network, self._val, self._config, self.loop.precision)
        value = score_table(table, self._rows, "bench").available
        if value > self._best:
            self._best = value
            save_model(self._folder, network, self._maker.standardizer)


def seconds(work) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def bare_ratio(plain: PlainLoop, own: OwnLoop, config: RunConfig) -> list[float]:
    """Return the plain loop's speed over ours for a bare step on one and the same full batch."""
    size, lanes = config.segment_length, config.batch_size
    x = torch.randn(lanes, size, DIM)
    plan = max(own.loop.feed.epoch(0), key=lambda plan: plan.rows.numel())
    labels = own.loop.dataset.batch(plan).labels
    is_frame = torch.ones(plan.rows.shape, dtype=torch.bool)
    x = x[: len(plan.rows), : plan.rows.shape[1]]
    cut = {task: value.float() for task, value in labels.values.items()}
    cut |= {f"{task}_mask": mask.float() for task, mask in labels.is_labelled.items()}

    def theirs() -> None:
        outputs, _ = plain.network(x, None)
        plain.step(plain.loss(outputs, cut))

    def ours() -> None:
        loop = own.loop
        outputs, _ = loop.network(x, is_frame, None, labels)
        total = loop.loss.total(loop.loss.per_task(outputs, labels), labels)
        loop._optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(loop.network.parameters(), config.clip_norm)
        loop._optimizer.step()

    plain.network.train()
    own.loop.network.train()
    theirs()
    ours()
    return [seconds(ours) / seconds(theirs) for _ in range(REPEATS)]


def measure(name: str, threads: int) -> None:
    """Print the figures of one encoder."""
    config = RunConfig(
        features=("bench",),
        **(
            read_settings(f"paper-{name}")
            | {"epochs": 1000, "device": "cpu", "threads": threads, "precision": "auto"}
        ),
    )
    lines = made_lines(N_TRAIN + N_VAL, DIM, LENGTHS_SEED, mean=MEAN_FRAMES, spread=1.0)
    train, val = lines[:N_TRAIN], lines[N_TRAIN:]
    data = train, val, (rows_of_lines(train), rows_of_lines(val))
    precision = training_precision(config, torch.device("cpu"))
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as text, cpu_threads(threads):
        folder = Path(text)
        plain = PlainLoop(config, *data, folder)
        own = OwnLoop(config, data, folder, "fp32")
        torchs = OwnLoop(config, data, folder, "fp32", has_torchs_layers=True)
        quick = OwnLoop(config, data, folder, precision)
        bare, bare_own = bare_ratio(plain, torchs, config), bare_ratio(plain, own, config)
        quick.epoch()
        for number in range(REPEATS):
            start = time.perf_counter()
            plain.train_epoch()
            trained = time.perf_counter()
            plain.evaluate("val")
            scored = time.perf_counter()
            plain.evaluate("train")
            scored_all = time.perf_counter()
            plain.save("latest")
            plain.save(str(number))
            saved = time.perf_counter()
            torchs_s, own_s = seconds(torchs.epoch), seconds(own.epoch)
            quick_s = seconds(quick.epoch)
            quick_train = seconds(quick.train_epoch)
            whole = saved - start
            figures = {
                "plain, s": whole,
                "without scoring the training set": whole / (whole - (scored_all - scored)),
                "and without its two checkpoints": whole / (scored - start),
                "and without padding: this project with torch's layers in fp32": whole / torchs_s,
                f"and with its own {OWN_LAYERS[name]} in fp32": whole / own_s,
                f"and in {precision}: this project": whole / quick_s,
                "training steps alone, plain over this project": (trained - start) / quick_train,
            }
            for key, value in figures.items():
                found.setdefault(key, []).append(value)
    padding = 1 - plain.n_real / plain.n_computed
    print(
        f"\npaper-{name}: {config.hidden_size} wide, segments of {config.segment_length}, "
        f"{config.batch_size} videos, {sum(map(len, train)):,} training and "
        f"{sum(map(len, val)):,} validation frames, {threads} threads"
    )
    print(f"  of the frames that the plain loop computes, {100 * padding:.0f} % are padding")
    assert PADDING[0] <= padding <= PADDING[1], padding
    print(f"  bare step in fp32, plain over ours with torch's layers: {spread(bare)} of its speed")
    print(f"  bare step in fp32, plain over ours with its own: {spread(bare_own)} of its speed")
    for key, values in found.items():
        print(f"  {key}: {spread(values, 2)}", flush=True)
    assert statistics.median(bare) >= LEAST_BARE


def main() -> None:
    """Print the figures of the encoders that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("encoders", nargs="*", default=["gru", "lstm", "transformer"])
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    print(f"{DIM} features, {REPEATS} interleaved repeats, {device_name(torch.device('cpu'))}")
    for name in options.encoders:
        measure(name, options.threads)


if __name__ == "__main__":
    main()
