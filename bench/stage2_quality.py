"""How good stage 2 is on drawn faces: encoders, frameworks, the paper's presets, plain controls.

python bench/stage2_quality.py [--data-seeds 3 4 5] [--seeds 0] [--only NAME …] [--caches DIR …]

Each data seed draws a set (`abaw sample --preset bench`) and extracts one embedding with random
weights. Variants were compared on data seeds 0 to 2; others are told. Told are mean scores of the
validation split (raw, at the best epoch) and the mean difference of each row to the default with
its 95 % interval over the pairs (data seed, model seed). The faces are drawn and the backbone has
learnt nothing: differences between temporal models are what is shown, not how real faces are read.

The plain control is what an engineer would try first: an MLP on a frame's features, their mean over
10 frames on either side, and the mean of the video.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import stats

from abaw.core.machine import cpu_name
from abaw.extract import RunOptions, read_requests, run
from abaw.sample import settings_from_text, write_sample
from abaw.temporal.config import RunConfig, read_settings
from abaw.temporal.data.annotations import import_annotations
from abaw.temporal.train import train

KEYS = ("P_MTL", "CCC_V", "CCC_A", "F1_EXPR", "F1_AU")
EMBEDDING = "densenet121"
CONFIG = Path(__file__).resolve().parents[1] / "docs" / "demo.yaml"
PAPER = ("paper-gru", "paper-lstm", "paper-transformer", "paper-sbe-hsf")
ROWS: dict[str, dict[str, object]] = {
    "default": {},
    "frame-wise heads": {"encoder": "none"},
    "plain control": {"encoder": "none", "context_mean": 10, "video_mean": "add"},
    "gru": {"encoder": "gru"},
    "lstm": {"encoder": "lstm"},
    "transformer": {"encoder": "transformer"},
    "single": {"framework": "single"},
    "sbe": {"framework": "sbe"},
    "sbe-hsf": {"framework": "sbe-hsf"},
    "label-feedback": {"framework": "label-feedback"},
} | {name: read_settings(name) | {"precision": "auto"} for name in PAPER}


def cache_of(folder: Path, data_seed: int) -> Path:
    """Draw a set, extract its embedding and import its labels."""
    data = folder / f"data-{data_seed}"
    write_sample(data, settings_from_text("bench", data_seed))
    requests = [request for request in read_requests(CONFIG) if request.name == EMBEDDING]
    run([data / "cropped_aligned"], requests, data / "features", RunOptions(), progress=True)
    import_annotations(data / "features", "labels", data / "annotations", None, None, None)
    return data / "features"


def interval(differences: np.ndarray) -> str:
    """Return the mean and its 95 % interval by Student's t."""
    mean, n = differences.mean(), len(differences)
    if n < 2:
        return f"{mean:+.3f}"
    half = stats.t.ppf(0.975, n - 1) * differences.std(ddof=1) / np.sqrt(n)
    return f"{mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f})"


def main() -> None:
    """Print a row of figures for each configuration, as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-seeds", type=int, nargs="+", default=[3, 4, 5])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--caches", type=Path, nargs="+", help="made before, one a data seed")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    names = ["default", *(name for name in options.only if name != "default")]
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        caches = options.caches or [cache_of(folder, seed) for seed in options.data_seeds]
        seeds = f"data seeds {options.data_seeds}, model seeds {options.seeds}"
        print(f"{seeds}, {EMBEDDING}, {cpu_name()}")
        heads = "".join(f"{key:>9}" for key in KEYS)
        print(f"{'':18}{heads}   P_MTL less the default's, 95 %", flush=True)
        base = np.empty(0)
        for name in names:
            start = time.perf_counter()
            scores = []
            for place, cache in enumerate(caches):
                for seed in options.seeds:
                    settings = ROWS[name] | {"seed": seed, "data_seed": seed, "save_every": 0}
                    settings["threads"] = options.threads if name in PAPER else 1
                    config = RunConfig(features=(EMBEDDING,), **settings)
                    result = train(config, cache, folder / f"{name}-{place}-{seed}", progress=False)
                    scores.append([result.facts["scores"][key] for key in KEYS])
            table = np.array(scores)
            if name == "default":
                base = table[:, 0]
            means = "".join(f"{value:9.3f}" for value in table.mean(axis=0))
            seconds = (time.perf_counter() - start) / len(scores)
            print(
                f"{name:18}{means}   {interval(table[:, 0] - base)}, {seconds:.0f} s a run",
                flush=True,
            )


if __name__ == "__main__":
    main()
