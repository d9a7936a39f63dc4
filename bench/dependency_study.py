"""Whether a dependency study names the edges that there are, and none where there are none.

python bench/dependency_study.py [--kinds known independent] [--data-seeds 0 …] [--out DIR]

The sets are those of tests/temporal/made_tasks.py, which documents their rules: in `known` the
dependency is au > expression > valence, in `independent` each task has a path of its own. Told are
the matrices of gains with their significance, and the graph. With --out, a study goes on.
"""

import argparse
import tempfile
import time
from pathlib import Path

from abaw.core.machine import cpu_name
from abaw.temporal.dependency import read_study, with_shortcuts
from abaw.temporal.dependency_spec import dependency_sweep
from abaw.temporal.dependency_text import study_text
from abaw.temporal.sweep import open_spec, sweep
from abaw.tests.temporal.made_tasks import SMALL, write_tasks


def main() -> None:
    """Print a study of each set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", default=["known", "independent"])
    parser.add_argument("--data-seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--seeds", default="0-4")
    parser.add_argument("--val-videos", type=int, default=40, help="recordings judged on")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--set", dest="settings", nargs="+", default=[])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        for kind in options.kinds:
            for seed in options.data_seeds:
                folder = (options.out or Path(text)) / f"{kind}-{seed}"
                cache, out = folder / "features", folder / "sweep"
                if not cache.exists():
                    write_tasks(cache, kind, seed, n_val=options.val_videos)
                start = time.perf_counter()
                settings = [*SMALL, *options.settings]
                spec = dependency_sweep(None, settings, {"features": "face", "seed": options.seeds})
                result = sweep(open_spec(spec, out), cache, out, jobs=options.jobs, progress=False)
                result.raise_for_failures()
                more = with_shortcuts(out, cache)
                if more is not None:
                    result = sweep(
                        open_spec(more, out), cache, out, jobs=options.jobs, progress=False
                    )
                seconds = time.perf_counter() - start
                print(f"== {kind}, data seed {seed}: {len(result.rows)} runs, {seconds:.0f} s")
                print(study_text(read_study(out, cache)), flush=True)
    print(cpu_name())


if __name__ == "__main__":
    main()
