"""What a sweep is going to do: its runs, what differs between them, which of them are done."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.table import text_table
from .config import RunConfig
from .feature_groups import with_features
from .sweep_spec import SweepSpec
from .train import planned


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep."""

    config: RunConfig
    folder: Path
    is_done: bool


def plan_sweep(spec: SweepSpec, cache: Path, out: Path) -> list[PlannedRun]:
    """Return the runs of a sweep, each once, and which of them are done.

    Raises:
        CacheError, TemporalError, UsageError: stores are missing, or a combination cannot be.
    """
    runs: dict[Path, PlannedRun] = {}
    for config in with_features(spec, cache).configs():
        folder, done = planned(config, cache, out)
        runs.setdefault(folder, PlannedRun(config, folder, done))
    return list(runs.values())


def differences(configs: Sequence[RunConfig]) -> dict[str, list[str]]:
    """Return the settings that differ between configs -> the value of each config, as text.

    >>> a, b = (RunConfig(features="a", seed=seed) for seed in (0, 1))
    >>> differences([a, b])
    {'seed': ['0', '1']}
    """
    found = [config.to_dict() for config in configs]
    return {
        key: [_text(values[key], key) for values in found]
        for key in RunConfig.model_fields
        if any(values[key] != found[0][key] for values in found)
    }


def _text(value: object, key: str) -> str:
    if isinstance(value, list | tuple):
        return ("+" if key == "features" else ",").join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def plan_text(runs: Sequence[PlannedRun], failed: Sequence[str], how: Sequence[str]) -> str:
    """Return what a sweep would do, for people to read.

    Args:
        runs: of the sweep.
        failed: names of those that failed before.
        how: sentences on how they would be carried out, and how long that takes.
    """
    columns = differences([run.config for run in runs])
    states = [
        "done" if run.is_done else "failed before" if run.folder.name in failed else "to do"
        for run in runs
    ]
    heads = ("run", *columns, "")
    cells = zip(*columns.values(), strict=True) if columns else [()] * len(runs)
    rows = [
        (run.folder.name, *cell, state)
        for run, cell, state in zip(runs, cells, states, strict=True)
    ]
    n_left = states.count("to do")
    counted = f"{len(runs)} runs, {n_left} to do"
    return "\n".join([*text_table([heads, *rows], ()), ", ".join([counted, *how])])
