"""Wall time of a sweep with `--jobs auto`, over that of its runs one after another.

python bench/sweep_jobs.py [--encoders gru transformer] [--epochs N] [--repeats N]

Eight seeds of the default network on 60 + 20 drawn videos of 300 frames x 512 numbers, as a user
starts them: `abaw temporal-sweep`, from its first moment to its last, choice of the jobs and start
of the processes included. One after another (`--jobs 1`) the runs have the thread count that is
quickest for one of them, which is measured first and told. Both sides take turns. Wanted: a ratio
of at most 1.05. With few epochs a trial is not worth its time, and is left out; what was chosen
and why is told, and beside it what a trial of both ways measures.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from made_cache import EMBEDDING, write_cache
from timing import spread

from abaw.core.machine import cpu_name, usable_cpus
from abaw.temporal.config import RunConfig
from abaw.temporal.sweep_jobs import measured
from abaw.temporal.trial import Division, TrialRun

N_SEEDS = 8


def best_threads(cache: Path, encoder: str) -> tuple[int, dict[int, float]]:
    """Return the thread count at which one run is quickest, and the steps per second of each."""
    counts = sorted({*(2**k for k in range(usable_cpus().bit_length())), usable_cpus()})
    run = TrialRun(RunConfig(features=(EMBEDDING,), encoder=encoder, device="cpu"), cache)
    counts = [n for n in counts if n <= usable_cpus()]
    rates = {n: max(run.steps_per_second(n, 1.0) for _ in range(2)) for n in counts}
    return max(rates, key=lambda n: rates[n]), rates


def sweep_seconds(cache: Path, out: Path, encoder: str, epochs: int, *more: str) -> tuple:
    """Return the wall time of a sweep and what it says of its jobs."""
    command = [sys.executable, "-m", "abaw", "temporal-sweep", "--features", EMBEDDING, "-q"]
    command += ["--encoder", encoder, "--seed", f"0-{N_SEEDS - 1}", "--set", f"epochs={epochs}"]
    command += ["--set", "device=cpu", "--cache", str(cache), "--out", str(out), *more]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    assert f"{N_SEEDS} runs done, 0 failed" in done.stdout
    told = [line for line in done.stderr.splitlines() if line.startswith("--jobs auto: ")]
    return seconds, told[-1] if told else ""


def main() -> None:
    """Print the ratio for each encoder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoders", nargs="+", default=["gru", "transformer"])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(f"{N_SEEDS} seeds, {options.repeats} interleaved repeats, {cpu_name()}", flush=True)
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        cache = folder / "features"
        write_cache(cache, 60, 20, 300, 512)
        for encoder in options.encoders:
            threads, rates = best_threads(cache, encoder)
            told = ", ".join(f"{n}: {rate:.0f}" for n, rate in rates.items())
            print(f"{encoder}: steps/s of one run by threads {told}")
            start = time.perf_counter()
            divisions = [Division(1, usable_cpus()), Division(usable_cpus(), 1)]
            config = RunConfig(features=(EMBEDDING,), encoder=encoder, device="cpu")
            found = measured(config, cache, divisions, folder / f"shared-{encoder}")
            seconds = time.perf_counter() - start
            ways = [
                f"{way.jobs} x {way.threads} threads {rate:.0f}"
                for way, rate in zip(divisions, found, strict=True)
            ]
            print(f"  a trial of {seconds:.1f} s: steps/s in all {', '.join(ways)}", flush=True)
            alone, auto = [], []
            for n in range(options.repeats):
                place = folder / f"{encoder}-{n}"
                arguments = (encoder, options.epochs)
                one = ("--jobs", "1", "--set", f"threads={threads}")
                alone.append(sweep_seconds(cache, place / "one", *arguments, *one)[0])
                seconds, why = sweep_seconds(cache, place / "auto", *arguments, "--jobs", "auto")
                auto.append(seconds)
            print(f"  {why}")
            ratio = [own / other for own, other in zip(auto, alone, strict=True)]
            print(
                f"  {options.epochs} epochs: auto {spread(auto, 1)} s, one after another with "
                f"{threads} threads {spread(alone, 1)} s, ratio {spread(ratio)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
