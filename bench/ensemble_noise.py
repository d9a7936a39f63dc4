"""Whether the nested figure of an ensemble is honest where there is nothing to gain.

python bench/ensemble_noise.py [--members 20] [--recordings 30] [--frames 60] [--draws 20]
                               [--first 0] [--only KIND …]

Each draw has members whose predictions are noise, and labels that are noise, both slow over time;
the tables are made directly, nothing is trained. Told are mean gains in P_MTL, in-sample and
nested, with 95 % intervals over draws:

- over the equal mean of all members. Noise is drawn so that mixing changes no share of classes and
  AUs, so weights and choices have nothing to gain. Thresholds have: F1 of noise is best where an AU
  is always present, on new recordings too.
- over the constant that scores best on the training split. Noise is above it: one class has a worse
  macro-F1 than all by chance.
- over the gain on new recordings, three times as many, that the same ensemble has over the equal
  mean there: the truth about it, and an honest gain over the equal mean is 0 away from that.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
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
from abaw.temporal.ensemble_file import load_ensemble, mix
from abaw.temporal.mixing import equal_weights, mix_tables
from abaw.temporal.predictions import PredictionTable, write_predictions
from abaw.temporal.run_folder import RUN_FORMAT, VAL_PREDICTIONS_FILE, identity
from abaw.temporal.score import RowLabels, rows_of, score_table

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
COLUMNS = tuple(
    f"{figure}, {base}"
    for base in ("equal mean", "constant", "truth")
    for figure in ("in-sample", "nested")
)
Keys = Sequence[tuple[str, int]]


def slow_noise(rng: np.random.Generator, n_videos: int, n_frames: int, dim: int) -> np.ndarray:
    """Return AR(1) paths of deviation 1 that begin anew with each video, (videos * frames, dim)."""
    paths = np.empty((n_videos, n_frames, dim))
    paths[:, 0] = rng.normal(size=(n_videos, dim))
    for frame in range(1, n_frames):
        step = rng.normal(size=(n_videos, dim))
        paths[:, frame] = 0.9 * paths[:, frame - 1] + (1 - 0.9**2) ** 0.5 * step
    return paths.reshape(-1, dim)


def write_labels(cache: Path, seed: int, n_frames: int, **n_videos: int) -> LabelStore:
    """Write labels that are noise, of so many videos for each split."""
    rng = np.random.default_rng([seed, 0])
    cache.mkdir(parents=True)
    files = {}
    for split, n in n_videos.items():
        path = slow_noise(rng, n, n_frames, 15)
        values = np.empty_like(path)
        values[:, :2] = np.round(np.tanh(0.6 * path[:, :2]), 3)
        values[:, 2] = np.argmax(slow_noise(rng, n, n_frames, 8), axis=1)
        values[:, 3:] = path[:, 3:] > 0.8
        names = [f"{split}{v}/{f:05d}.jpg" for v in range(n) for f in range(1, n_frames + 1)]
        files[split] = cache / f"{split}.txt"
        write_annotations(files[split], names, values)
    import_annotations(cache, "labels", None, files.get("train"), files.get("val"), None)
    store = open_store(cache / "labels")
    assert isinstance(store, LabelStore)
    return store


def noise_table(rng: np.random.Generator, keys: Keys, n_frames: int) -> PredictionTable:
    """Return predictions that are noise; an AU is as often present as not, alone and in a mean."""
    n_videos = len(keys) // n_frames
    affect = np.tanh(0.5 * slow_noise(rng, n_videos, n_frames, 2)).astype(np.float32)
    odds = np.exp(2 * slow_noise(rng, n_videos, n_frames, 8))
    p_au = (1 / (1 + np.exp(-2 * slow_noise(rng, n_videos, n_frames, 12)))).astype(np.float32)
    return PredictionTable(
        video=[video for video, _ in keys],
        frame=np.array([frame for _, frame in keys], np.int32),
        valence=affect[:, 0],
        arousal=affect[:, 1],
        expression=odds.argmax(axis=1).astype(np.int8),
        au=(p_au >= 0.5).astype(np.int8),
        p_expression=(odds / odds.sum(axis=1, keepdims=True)).astype(np.float32),
        p_au=p_au,
    )


def write_member(run: Path, table: PredictionTable, labels: LabelStore, number: int) -> Path:
    """Write a run with these validation predictions, as far as an ensemble reads it."""
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
    write_predictions(run / VAL_PREDICTIONS_FILE, table)
    write_json_atomic(run / "run.json", facts)
    return run


def interval(values: np.ndarray) -> str:
    """Return the mean and its 95 % interval by Student's t."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    mean = values.mean()
    return f"{mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f})"


def p_mtl_of(table: PredictionTable, rows: RowLabels) -> float:
    """Return P_MTL, which noise has too."""
    value = score_table(table, rows, "noise").P_MTL
    assert value is not None
    return value


def gains(
    n_members: int,
    n_recordings: int,
    n_frames: int,
    draws: range,
    kinds: Sequence[str],
) -> dict[str, np.ndarray]:
    """Return for each kind of ensemble (draws, 6) gains in P_MTL, in the order of `COLUMNS`."""
    found: dict[str, list[list[float]]] = {name: [] for name in kinds}
    for draw in tqdm(draws, unit="draw"):
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            labels = write_labels(
                folder / "cache", draw, n_frames, train=n_recordings, val=n_recordings
            )
            train, val = (rows_of(labels.table, name) for name in ("train", "val"))
            others = write_labels(folder / "new", 100_000 + draw, n_frames, val=3 * n_recordings)
            new = rows_of(others.table, "val")
            runs, new_tables = [], {}
            for number in range(n_members):
                rng = np.random.default_rng([draw, 1, number])
                table = noise_table(rng, val.keys, n_frames)
                runs.append(write_member(folder / f"m{number}", table, labels, number))
                new_tables[f"m{number}"] = noise_table(rng, new.keys, n_frames)
            constant = constant_scores(train, val).P_MTL
            every = list(new_tables.values())
            equal_new = p_mtl_of(mix_tables(every, equal_weights(every)), new)
            for name in kinds:
                made = ensemble(runs, folder / "out", folder / "cache", ROWS[name], copy=False)
                scores = {key: value["P_MTL"] for key, value in made.facts["scores"].items()}
                loaded = load_ensemble(folder / "out")
                mixed = mix([new_tables[run.folder.name] for run in loaded.runs], loaded)
                truth = scores["equal"] + p_mtl_of(mixed, new) - equal_new
                found[name].append(
                    [
                        scores[figure] - base
                        for base in (scores["equal"], constant, truth)
                        for figure in ("in_sample", "nested")
                    ]
                )
    return {name: np.array(rows) for name, rows in found.items()}


def main() -> None:
    """Print a row of gains for each kind of ensemble."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--recordings", type=int, default=30)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="number of the first draw")
    parser.add_argument("--only", nargs="+", choices=list(ROWS), default=list(ROWS))
    options = parser.parse_args()
    start = time.perf_counter()
    draws = range(options.first, options.first + options.draws)
    sizes = (options.members, options.recordings, options.frames)
    found = gains(*sizes, draws, options.only)
    print(
        f"draws {draws[0]} to {draws[-1]} of {options.members} members, {options.recordings} "
        f"recordings of {options.frames} frames, all noise; {cpu_name()}, "
        f"{time.perf_counter() - start:.0f} s"
    )
    print("gain in P_MTL: mean (95 % interval over draws)")
    print(f"{'':22}" + "".join(f"{column:28}" for column in COLUMNS))
    for name, rows in found.items():
        print(f"{name:22}" + "".join(f"{interval(column):28}" for column in rows.T))


if __name__ == "__main__":
    main()
