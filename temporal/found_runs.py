"""Which finished runs a user means: folders of runs, or a folder that holds many, as a sweep's."""

import json
from collections.abc import Callable, Sequence
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


def read_failures(folder: Path) -> dict[str, str]:
    """Return the name of each run of a sweep that failed -> its error.

    Raises:
        TemporalError: the file that says so cannot be read.
    """
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


def without_result(folder: Path, has_result: Callable[[Path], bool]) -> dict[Path, str]:
    """Return the runs in a folder that failed or are not finished -> why they have no result.

    Args:
        folder: of runs.
        has_result: whether a folder in it is finished.

    Raises:
        TemporalError: as `read_failures`.
    """
    failures = {folder / name: f"failed: {e}" for name, e in sorted(read_failures(folder).items())}
    found = {path: error for path, error in failures.items() if not has_result(path)}
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        begun = (path / METRICS_FILE).exists() or (path / STATE_FILE).exists()
        if begun and path not in failures and not has_result(path):
            found[path] = f"not finished: it has {_n_epochs(path)} epochs and no {RUN_FILE}"
    return found


def _n_epochs(folder: Path) -> int:
    path = folder / METRICS_FILE
    return len(path.read_text().splitlines()) if path.exists() else 0


def _has_run(folder: Path) -> bool:
    return (folder / RUN_FILE).exists()


def _runs_in(folder: Path) -> tuple[list[Path], dict[str, str]] | None:
    """Return the finished runs in a folder, and the others with why; None if it is none of runs."""
    if not folder.is_dir():
        return None
    finished = sorted(path for path in folder.iterdir() if path.is_dir() and _has_run(path))
    if not finished and not read_failures(folder):
        return None
    left_out = without_result(folder, _has_run)
    return finished, {str(path): why for path, why in left_out.items()}
