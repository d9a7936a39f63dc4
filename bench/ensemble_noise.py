"""Whether the nested figure of an ensemble is honest where there is nothing to gain.

python bench/ensemble_noise.py [--members 20] [--recordings 30] [--frames 60] [--draws 20]

Each draw has members whose predictions are noise, and labels that are noise, both slow over time:
no ensemble can be better than another, and a figure that shows a gain is wrong by it. Told are
mean gains in P_MTL with 95 % intervals over draws: over the equal mean of all members, and over
the constant that suits the labels' distribution best. The tables are made directly; nothing is
trained.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import stats
from tqdm import tqdm

from abaw.cache import LabelStore, open_store
from abaw.core.files import write_json_atomic
from abaw.core.machine import cpu_name
from abaw.temporal.config import RunConfig
from abaw.temporal.constant import constant_scores
from abaw.temporal.data.annotations import import_annotations, write_annotations
from abaw.temporal.ensemble import EnsembleSettings, ensemble
from abaw.temporal.predictions import PredictionTable, write_predictions
from abaw.temporal.run_folder import RUN_FORMAT, VAL_PREDICTIONS_FILE, identity
from abaw.temporal.score import rows_of

ROWS = {
    "fitted weights": EnsembleSettings("fitted"),
    "greedy weights": EnsembleSettings("greedy"),
    "greedy, votes": EnsembleSettings("greedy", "vote"),
    "best 1": EnsembleSettings("equal", best=1),
    "best 5": EnsembleSettings("equal", best=5),
    "best 5, greedy": EnsembleSettings("greedy", best=5),
    "greedy, weights only": EnsembleSettings("greedy", smoothing="none", tune_thresholds=False),
    "best 5, choice only": EnsembleSettings(
        "equal", smoothing="none", tune_thresholds=False, best=5
    ),
}
"""Kinds of ensemble; without a word on it, smoothing and thresholds are fitted too."""


def slow_noise(rng: np.random.Generator, n_videos: int, n_frames: int, dim: int) -> np.ndarray:
    """Return AR(1) paths of deviation 1 that begin anew with each video, (videos * frames, dim)."""
    paths = np.empty((n_videos, n_frames, dim))
    paths[:, 0] = rng.normal(size=(n_videos, dim))
    for frame in range(1, n_frames):
        step = rng.normal(size=(n_videos, dim))
        paths[:, frame] = 0.9 * paths[:, frame - 1] + (1 - 0.9**2) ** 0.5 * step
    return paths.reshape(-1, dim)


def write_labels(cache: Path, seed: int, n_videos: int, n_frames: int) -> LabelStore:
    """Write labels of a train and a val split that are noise."""
    rng = np.random.default_rng([seed, 0])
    cache.mkdir(parents=True)
    files = {}
    for split in ("train", "val"):
        path = slow_noise(rng, n_videos, n_frames, 15)
        values = np.empty_like(path)
        values[:, :2] = np.round(np.tanh(0.6 * path[:, :2]), 3)
        values[:, 2] = np.argmax(slow_noise(rng, n_videos, n_frames, 8), axis=1)
        values[:, 3:] = path[:, 3:] > 0.8
        names = [f"{split}{v}/{f:05d}.jpg" for v in range(n_videos) for f in range(1, n_frames + 1)]
        files[split] = cache / f"{split}.txt"
        write_annotations(files[split], names, values)
    import_annotations(cache, "labels", None, files["train"], files["val"], None)
    store = open_store(cache / "labels")
    assert isinstance(store, LabelStore)
    return store


def write_members(
    folder: Path, labels: LabelStore, seed: int, n_members: int, n_videos: int, n_frames: int
) -> Iterator[Path]:
    """Write runs whose validation predictions are noise, as far as an ensemble reads them."""
    keys = rows_of(labels.table, "val").keys
    for number in range(n_members):
        rng = np.random.default_rng([seed, 1, number])
        affect = np.tanh(0.5 * slow_noise(rng, n_videos, n_frames, 2)).astype(np.float32)
        odds = np.exp(2 * slow_noise(rng, n_videos, n_frames, 8))
        p_au = (1 / (1 + np.exp(1 - 1.5 * slow_noise(rng, n_videos, n_frames, 12)))).astype("f4")
        table = PredictionTable(
            video=[video for video, _ in keys],
            frame=np.array([frame for _, frame in keys], np.int32),
            valence=affect[:, 0],
            arousal=affect[:, 1],
            expression=odds.argmax(axis=1).astype(np.int8),
            au=(p_au >= 0.5).astype(np.int8),
            p_expression=(odds / odds.sum(axis=1, keepdims=True)).astype(np.float32),
            p_au=p_au,
        )
        config = RunConfig(features=("noise",), seed=number)
        data = {
            "stores": {"noise": {"fingerprint": "noise", "objective": "none", "licence": None}},
            "labels": {"name": labels.name, "fingerprint": labels.fingerprint},
        }
        facts = {
            "format": "abaw-run",
            "format_version": RUN_FORMAT,
            "identity": identity(config, data),
            "config": config.to_dict(),
            **data,
            "random_weights": False,
        }
        run = folder / f"m{number}"
        write_predictions(run / VAL_PREDICTIONS_FILE, table)
        write_json_atomic(run / "run.json", facts)
        yield run


def interval(values: np.ndarray) -> str:
    """Return the mean and its 95 % interval by Student's t."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    mean = values.mean()
    return f"{mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f})"


def gains(
    n_members: int,
    n_recordings: int,
    n_frames: int,
    n_draws: int,
    kinds: dict[str, EnsembleSettings],
) -> dict[str, np.ndarray]:
    """Return for each kind of ensemble (draws, 4): gains in P_MTL.

    In-sample and nested over the equal mean of all, then in-sample and nested over the constant.
    """
    found: dict[str, list[list[float]]] = {name: [] for name in kinds}
    for draw in tqdm(range(n_draws), unit="draw"):
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            labels = write_labels(folder / "cache", draw, n_recordings, n_frames)
            split = (n_recordings, n_frames)
            runs = list(write_members(folder / "runs", labels, draw, n_members, *split))
            train, val = (rows_of(labels.table, name) for name in ("train", "val"))
            constant = constant_scores(train, val).P_MTL
            assert constant is not None
            for name, settings in kinds.items():
                made = ensemble(runs, folder / "out", folder / "cache", settings, copy=False)
                scores = {key: value["P_MTL"] for key, value in made.facts["scores"].items()}
                figures = [scores["in_sample"], scores["nested"]]
                found[name].append(
                    [value - base for base in (scores["equal"], constant) for value in figures]
                )
    return {name: np.array(rows) for name, rows in found.items()}


def main() -> None:
    """Print a row of gains for each kind of ensemble."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--recordings", type=int, default=30)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--only", nargs="+", choices=list(ROWS), default=list(ROWS))
    options = parser.parse_args()
    start = time.perf_counter()
    kinds = {name: ROWS[name] for name in options.only}
    found = gains(options.members, options.recordings, options.frames, options.draws, kinds)
    print(
        f"{options.draws} draws of {options.members} members, {options.recordings} recordings of "
        f"{options.frames} frames, all noise; {cpu_name()}, {time.perf_counter() - start:.0f} s"
    )
    print("gain in P_MTL: mean (95 % interval over draws)")
    heads = [f"{kind} over {base}" for base in ("equal mean", "constant") for kind in KINDS]
    print(f"{'':22}" + "".join(f"{head:32}" for head in heads))
    for name, rows in found.items():
        cells = "".join(f"{interval(column):32}" for column in rows.T)
        print(f"{name:22}{cells}")


KINDS = ("in-sample", "nested")


if __name__ == "__main__":
    main()
