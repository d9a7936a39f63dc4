"""Four runs side by side: their features are in memory once.

python bench/shared_features.py

Four seeds of the default network on 40 + 10 drawn videos of 1,000 frames x 1,024 numbers (205 MB of
float32 features) in the processes of a sweep. When each has finished an epoch and is in its next,
the parent reads `/proc/<pid>/smaps_rollup` of all of them. The proportional set size (PSS) gives a
page that n processes map 1/n to each, so that the sum is the memory that they take together. Once
with features that each run has of its own, once with those that a sweep's runs map; a run alone
beside it. Linux only.
"""

import tempfile
from multiprocessing import active_children
from pathlib import Path

from made_cache import EMBEDDING, write_cache
from shared_memory import memory_of
from timing import spread

from abaw.core.machine import cpu_name
from abaw.temporal.config import RunConfig
from abaw.temporal.executor import Job, ProcessExecutor, Report
from abaw.temporal.fitting import EpochReport
from abaw.temporal.train import train

REPEATS = 3
N_RUNS = 4
N_TRAIN, N_VAL, FRAMES, DIM = 40, 10, 1_000, 1_024


def run(report: Report, config: RunConfig, cache: Path, folder: Path, share: Path | None) -> bytes:
    """Train a run; return the weights that it keeps."""
    done = train(config, cache, folder, progress=False, watch=report, share=share)
    assert not done.notes
    return (done.folder / "model.safetensors").read_bytes()


def measure(cache: Path, out: Path, n_runs: int, *, is_shared: bool) -> tuple[dict, list[bytes]]:
    """Return the sizes in MB of all runs together, and the weights of each."""
    share = out / "shared" if is_shared else None
    jobs = []
    for seed in range(n_runs):
        config = RunConfig(features=(EMBEDDING,), device="cpu", seed=seed, epochs=3)
        jobs.append(Job(str(seed), run, (config, cache, out / str(seed), share)))
    heard: set[str] = set()
    sizes: list[dict[str, float]] = []

    def watch(name: str, _: EpochReport) -> None:
        heard.add(name)
        if len(heard) == n_runs and not sizes:
            sizes.extend(memory_of(child.pid) for child in active_children())

    outcomes = sorted(
        ProcessExecutor(n_runs).run(jobs, watch), key=lambda outcome: outcome.job.name
    )
    assert len(sizes) == n_runs
    keys = ("Pss", "Pss_File", "Pss_Anon")
    summed = {key: sum(size[key] for size in sizes) for key in keys}
    return summed, [outcome.value for outcome in outcomes]


def main() -> None:
    """Print the memory of four runs with features of their own and with shared ones."""
    if not Path("/proc/self/smaps_rollup").exists():
        print("left out: this system does not tell what processes share")
        return
    n_bytes = 4 * (N_TRAIN + N_VAL) * FRAMES * DIM
    print(f"{n_bytes / 1e6:.0f} MB of features, {REPEATS} interleaved repeats, {cpu_name()}")
    cases = {"one alone": (1, False), "own": (N_RUNS, False), "shared": (N_RUNS, True)}
    found: dict[str, list[dict]] = {name: [] for name in cases}
    with tempfile.TemporaryDirectory() as text:
        cache = Path(text) / "features"
        write_cache(cache, N_TRAIN, N_VAL, FRAMES, DIM)
        for n in range(REPEATS):
            weights = {}
            for name, (n_runs, is_shared) in cases.items():
                place = Path(text) / f"{name}-{n}"
                sizes, weights[name] = measure(cache, place, n_runs, is_shared=is_shared)
                found[name].append(sizes)
            assert weights["own"] == weights["shared"], "shared features are other ones"
    for name, rows in found.items():
        cells = [f"{key} {spread([row[key] for row in rows], 0)}" for key in rows[0]]
        print(f"{cases[name][0]} runs, {name}: {', '.join(cells)} MB")
    saved = [
        (own["Pss"] - shared["Pss"]) / ((N_RUNS - 1) * n_bytes / 1e6)
        for own, shared in zip(found["own"], found["shared"], strict=True)
    ]
    print(f"saved, of {N_RUNS - 1} copies of the features: {spread(saved, 2)}")


if __name__ == "__main__":
    main()
