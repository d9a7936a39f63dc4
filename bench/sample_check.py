"""Is the sample learnable, does time help, and is there a shortcut?

python bench/sample_check.py                 seeds 100-102, the ones to report
python bench/sample_check.py --seeds 0-4     the ones to tune on
python bench/sample_check.py --sheet DIR     contact sheets, to look at

For each data seed a sample of 30 training and 40 validation people is written as JPEG and read
back. Every probe is plain: standardised inputs, ridge for valence and arousal, logistic
regression with balanced classes for expression and AUs, per frame.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler
from timing import spread

from abaw.core.machine import cpu_name
from abaw.sample import PRESETS, SAMPLE_VERSION, SampleSettings, write_sample
from abaw.sample.write import ANNOTATION_FILES

CHECK = SampleSettings(n_train_videos=30, n_val_videos=40, n_test_videos=0, frames=60)
"""Settings of the checks; only the seed changes."""
HALF_WINDOW = 10
"""Frames on either side that a mean thumbnail takes in."""


@dataclass
class Part:
    """The rows of one split that have a crop."""

    thumbnail: np.ndarray
    """(n, 144) grey values of the frame at 12 x 12."""
    colour: np.ndarray
    """(n, 13) colour and brightness statistics."""
    video: np.ndarray
    """(n,) index of the video."""
    frame: np.ndarray
    """(n,) frame number."""
    affect: np.ndarray
    """(n, 2) valence and arousal, -5 unlabelled."""
    expression: np.ndarray
    """(n,), -1 unlabelled."""
    au: np.ndarray
    """(n, 12), -1 unlabelled."""

    def windows(self) -> np.ndarray:
        """Mean thumbnails over the frames of the same video at most 10 frame numbers away."""
        near = (self.video[:, None] == self.video) & (
            np.abs(self.frame[:, None] - self.frame) <= HALF_WINDOW
        )
        return near.astype(np.float64) @ self.thumbnail / near.sum(axis=1, keepdims=True)


def colour_statistics(rgb: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """Mean and deviation of each channel, quantiles of grey, mean and deviation of chroma."""
    chroma = rgb.max(axis=2) - rgb.min(axis=2)
    quantiles = np.quantile(grey, [0.05, 0.25, 0.5, 0.75, 0.95])
    return np.r_[
        rgb.mean(axis=(0, 1)), rgb.std(axis=(0, 1)), quantiles, chroma.mean(), chroma.std()
    ]


def read_part(folder: Path, split: str) -> Part:
    """Read one split of a written sample."""
    lines = (folder / "annotations" / ANNOTATION_FILES[split]).read_text().splitlines()[1:]
    found: dict[str, list] = {name: [] for name in ("thumb", "colour", "video", "frame", "labels")}
    for line in lines:
        path, *values = line.split(",")
        file = folder / "cropped_aligned" / path
        if not file.exists():
            continue
        with Image.open(file) as image:
            small = image.convert("L").resize((12, 12), Image.Resampling.BOX)
            rgb, grey = np.asarray(image, float), np.asarray(image.convert("L"), float)
        found["thumb"].append(np.asarray(small, float).ravel())
        found["colour"].append(colour_statistics(rgb, grey))
        found["video"].append(path.split("/")[0])
        found["frame"].append(int(file.stem))
        found["labels"].append([float(value) for value in values])
    labels = np.array(found["labels"])
    return Part(
        np.array(found["thumb"]),
        np.array(found["colour"]),
        np.unique(found["video"], return_inverse=True)[1],
        np.array(found["frame"]),
        labels[:, :2],
        labels[:, 2].astype(int),
        labels[:, 3:].astype(int),
    )


def ccc(truth: np.ndarray, guess: np.ndarray) -> float:
    """Concordance correlation, population moments, 0 where undefined."""
    covariance = np.mean((truth - truth.mean()) * (guess - guess.mean()))
    below = truth.var() + guess.var() + (truth.mean() - guess.mean()) ** 2
    return float(2 * covariance / below) if below > 0 else 0.0


def score(part: Part, affect: np.ndarray, expression: np.ndarray, au: np.ndarray) -> np.ndarray:
    """CCC_V, CCC_A, F1_EXPR, F1_AU and P_MTL of predictions for a part."""
    known = part.affect[:, 0] > -2
    both = [ccc(part.affect[known, i], np.clip(affect[known, i], -1, 1)) for i in range(2)]
    known = part.expression >= 0
    macro = f1_score(
        part.expression[known], expression[known], labels=range(8), average="macro", zero_division=0
    )
    units = []
    for column in range(12):
        known = part.au[:, column] >= 0
        units.append(f1_score(part.au[known, column], au[known, column], zero_division=0))
    return np.array([*both, macro, np.mean(units), np.mean(both) + macro + np.mean(units)])


def constant(train: Part, val: Part) -> np.ndarray:
    """The predictor that says the same for every frame and does best so on the training split."""
    truth = train.expression[train.expression >= 0]
    guesses = [np.full(len(truth), k) for k in range(8)]
    scores = [
        f1_score(truth, guess, labels=range(8), average="macro", zero_division=0)
        for guess in guesses
    ]
    n = len(val.frame)
    return score(val, np.zeros((n, 2)), np.full(n, np.argmax(scores)), np.ones((n, 12), int))


def probe(
    train: Part, val: Part, inputs: Callable[[Part], np.ndarray], shuffle: int | None = None
) -> np.ndarray:
    """Train the linear probes on the training split and score them on the validation split.

    Args:
        train: training split.
        val: validation split.
        inputs: a split's input, (n, d).
        shuffle: seed by which the training labels are dealt to other frames.
    """
    order = np.arange(len(train.frame))
    if shuffle is not None:
        order = np.random.default_rng(shuffle).permutation(order)
    scaler = StandardScaler().fit(inputs(train))
    x, y = scaler.transform(inputs(train)), scaler.transform(inputs(val))

    def logistic(truth: np.ndarray) -> np.ndarray:
        known = truth >= 0
        if len(np.unique(truth[known])) < 2:
            return np.full(len(y), truth[known][0])
        model = LogisticRegression(C=0.01, class_weight="balanced", max_iter=500)
        return model.fit(x[known], truth[known]).predict(y)

    affect = train.affect[order]
    known = affect[:, 0] > -2
    dimensional = Ridge(alpha=100.0).fit(x[known], affect[known]).predict(y)
    units = np.stack([logistic(train.au[order, column]) for column in range(12)], axis=1)
    return score(val, dimensional, logistic(train.expression[order]), units)


ROWS: dict[str, Callable[[Part, Part, int], np.ndarray]] = {
    "constant": lambda train, val, seed: constant(train, val),
    "thumbnail 12x12": lambda train, val, seed: probe(train, val, lambda p: p.thumbnail),
    "  mean over +-10 frames": lambda train, val, seed: probe(train, val, Part.windows),
    "  shuffled labels": lambda train, val, seed: probe(
        train, val, lambda p: p.thumbnail, shuffle=seed
    ),
    "colour statistics": lambda train, val, seed: probe(train, val, lambda p: p.colour),
    "  shuffled labels ": lambda train, val, seed: probe(
        train, val, lambda p: p.colour, shuffle=seed
    ),
}


def measure(settings: SampleSettings) -> dict[str, np.ndarray]:
    """Write one sample and return the five scores of every row."""
    with tempfile.TemporaryDirectory() as folder:
        write_sample(Path(folder) / "sample", settings)
        train, val = (read_part(Path(folder) / "sample", split) for split in ("train", "val"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return {name: row(train, val, settings.seed) for name, row in ROWS.items()}


def print_speed(repeats: int = 3) -> None:
    """Print how many frames are drawn, encoded and written in a second of one core."""
    settings = replace(PRESETS["demo"], frames=60)
    rates, written = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            cpu, wall = time.process_time(), time.perf_counter()
            summary = write_sample(Path(folder) / "sample", settings)
            n = sum(count.crops for count in summary.splits.values())
            rates.append(n / (time.process_time() - cpu))
            written.append(n / (time.perf_counter() - wall))
    print(f"frames per second of one core, drawn, encoded, written: {spread(rates, 0)}")
    print(f"frames per second of wall time: {spread(written, 0)}")


def parse_seeds(text: str) -> list[int]:
    """`3` or `0-4` as a list."""
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def main() -> None:
    """Print every check, seed by seed and as a mean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=parse_seeds, default=parse_seeds("100-102"))
    parser.add_argument("--difficulty", default=CHECK.difficulty)
    parser.add_argument("--demo", action="store_true", help="the demo's size, not the checks'")
    parser.add_argument("--sheet", type=Path, help="write contact sheets to this folder instead")
    arguments = parser.parse_args()
    if arguments.sheet:
        from sample_sheet import write_sheets

        write_sheets(arguments.sheet, arguments.difficulty, arguments.seeds[0])
        return
    base = replace(PRESETS["demo"] if arguments.demo else CHECK, difficulty=arguments.difficulty)
    print(
        f"sample version {SAMPLE_VERSION}, {base.n_train_videos} training and "
        f"{base.n_val_videos} validation people, {base.frames} frames a video, "
        f"difficulty {base.difficulty}, {cpu_name()}"
    )
    found = [measure(replace(base, seed=seed)) for seed in arguments.seeds]
    heads = ["CCC_V", "CCC_A", "F1_EXPR", "F1_AU", "P_MTL"]
    heads += [f"P of {seed}" for seed in arguments.seeds]
    print(" " * 26 + "".join(f"{head:>9}" for head in heads))
    mean = {name: np.mean([one[name] for one in found], axis=0) for name in ROWS}
    for name, row in mean.items():
        figures = [*row, *(one[name][4] for one in found)]
        print(f"{name:26}" + "".join(f"{figure:9.3f}" for figure in figures))
    thumbnail, window = mean["thumbnail 12x12"][4], mean["  mean over +-10 frames"][4]
    shortcut = mean["colour statistics"][4] - mean["constant"][4]
    print(f"thumbnail: P_MTL {thumbnail:.3f} (wanted: 1.5 or more)")
    print(f"time helps: {window - thumbnail:+.3f} (wanted: +0.05 or more)")
    print(f"colour statistics over the constant: {shortcut:+.3f} (wanted: +0.10 or less)")
    print_speed()


if __name__ == "__main__":
    main()
