"""What the demo's rows score, over several data seeds and model seeds.

    python bench/demo_scores.py [--data-seeds 100 101] [--seeds 0 1 2]

Random networks on drawn faces: the figures show that the road works, not how good backbones are.
Reported are data seeds that nothing was tuned on.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from abaw.core.machine import cpu_name
from abaw.extract import RunOptions, read_requests, run
from abaw.sample import settings_from_text, write_sample
from abaw.temporal.config import RunConfig
from abaw.temporal.constant import constant_scores
from abaw.temporal.data.annotations import import_annotations
from abaw.temporal.run_folder import open_labels
from abaw.temporal.score import rows_of
from abaw.temporal.train import train

KEYS = ("CCC_V", "CCC_A", "F1_EXPR", "F1_AU", "P_MTL")
CONFIG = Path(__file__).resolve().parents[1] / "docs" / "demo.yaml"


def cache_of(folder: Path, data_seed: int) -> Path:
    """Draw the demo's data set with a seed, extract all its embeddings and import its labels."""
    data = folder / f"data-{data_seed}"
    write_sample(data, settings_from_text("demo", data_seed))
    cache = data / "features"
    frames = data / "cropped_aligned"
    run([frames], read_requests(CONFIG), cache, RunOptions(), progress=True)
    import_annotations(cache, "labels", data / "annotations", None, None, None)
    return cache


def main() -> None:
    """Print the mean scores of every row, and their least margin over the constant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-seeds", type=int, nargs="+", default=[100, 101])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    names = [request.name for request in read_requests(CONFIG)]
    learnt = [name for name in names if name != "thumbnail"]
    rows = {name: (name,) for name in names} | {"+".join(learnt): tuple(learnt)}
    found: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for data_seed in options.data_seeds:
            cache = cache_of(Path(folder), data_seed)
            labels = open_labels(cache, "labels").table
            constant = constant_scores(rows_of(labels, "train"), rows_of(labels, "val")).to_dict()
            for key in KEYS:
                found.setdefault("constant", {}).setdefault(key, []).append(constant[key])
            for name, features in rows.items():
                for seed in options.seeds:
                    config = RunConfig(features=features, seed=seed, data_seed=seed)
                    scores = train(
                        config, cache, Path(folder) / f"{name}-{data_seed}-{seed}", progress=False
                    ).scores
                    for key in KEYS:
                        found.setdefault(name, {}).setdefault(key, []).append(scores[key])
    print(f"data seeds {options.data_seeds}, model seeds {options.seeds}, {cpu_name()}")
    print(f"{'mean':44}" + "".join(f"{key:>9}" for key in KEYS) + "   P_MTL range")
    for name, scores in found.items():
        means = "".join(f"{statistics.mean(scores[key]):9.3f}" for key in KEYS)
        spread = f"{min(scores['P_MTL']):.3f}-{max(scores['P_MTL']):.3f}"
        print(f"{name:44}{means}   {spread}")
    base = {key: statistics.mean(found["constant"][key]) for key in KEYS}
    for name in rows:
        margins = {key: statistics.mean(found[name][key]) - base[key] for key in KEYS}
        print(f"over the constant: {name:44}" + " ".join(f"{margins[k]:+.3f}" for k in KEYS))


if __name__ == "__main__":
    main()
