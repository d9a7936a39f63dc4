"""Which finished runs a user means: folders of runs, or a folder that holds many, as a sweep's."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import TemporalError
from .resume import STATE_FILE
from .run_folder import METRICS_FILE, RUN_FILE

FAILURES_FILE: Final = "failures.json"
"""In a sweep's folder: the name of each run that failed -> its error."""


@dataclass(frozen=True)
class FoundRuns:
    """Runs that are finished, as far as their folders tell."""

    folders: tuple[Path, ...]
    """In the order given; those of one folder of runs by name."""
    listed: frozenset[Path]
    """Those of them that were not named one by one, but found in a folder of runs."""
    left_out: dict[str, str]
    """Folder of a run that is not finished -> why it is not."""


def find_runs(given: Sequence[Path]) -> FoundRuns:
    """Return the runs that folders are, or hold.

    A folder without a `run.json` whose folders have one, or that lists failures, is a folder of
    runs; what it holds besides runs is passed over. A run that is named and found, too, counts
    once.

    Raises:
        TemporalError: a folder of runs holds none that is finished.
    """
    folders: list[Path] = []
    listed: set[Path] = set()
    left_out: dict[str, str] = {}
    for path in given:
        found = None if (path / RUN_FILE).exists() else _runs_in(path)
        if found is None:  # one run, or what will be refused when it is read
            folders.append(path)
            continue
        finished, unfinished = found
        if not finished:
            some = f", but {len(unfinished)} that are not" if unfinished else ""
            message = f"{path} must hold finished runs, but holds none{some}; finish its sweep"
            raise TemporalError(message)
        folders += finished
        listed.update(finished)
        left_out |= unfinished
    named = {path.resolve() for path in folders if path not in listed}
    once: dict[Path, Path] = {}
    kept = []
    for path in folders:
        place = path.resolve()
        if path in listed and (place in named or once.setdefault(place, path) is not path):
            continue
        kept.append(path)
    return FoundRuns(tuple(kept), frozenset(listed), left_out)


def _runs_in(folder: Path) -> tuple[list[Path], dict[str, str]] | None:
    """Return the finished runs in a folder, and the others with why; None if it is none of runs."""
    if not folder.is_dir():
        return None
    failures = _failures(folder)
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    finished = [path for path in inside if (path / RUN_FILE).exists()]
    if not finished and not failures:
        return None
    names = {path.name for path in finished}
    left_out = {
        str(folder / name): f"failed: {error}"
        for name, error in failures.items()
        if name not in names
    }
    for path in inside:
        if path.name in names or str(path) in left_out:
            continue
        if (path / METRICS_FILE).exists() or (path / STATE_FILE).exists():
            left_out[str(path)] = "not finished"
    return finished, left_out


def _failures(folder: Path) -> dict[str, str]:
    path = folder / FAILURES_FILE
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text())
        if not isinstance(found, dict):
            raise TypeError(type(found).__name__)
    except (OSError, ValueError, TypeError) as error:
        message = f"{path} must say which runs failed, but cannot be read: {error}; remove it"
        raise TemporalError(message) from error
    return {str(name): str(error) for name, error in found.items()}
