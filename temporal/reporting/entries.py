"""What lies in the folders that a report is asked for: runs, ensembles, and what is not done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..ensemble_file import is_ensemble, load_ensemble
from ..errors import TemporalError
from ..found_runs import FAILURES_FILE, without_result
from ..run_folder import RUN_FILE, read_run
from ..sweep import SPEC_FILE


@dataclass(frozen=True, eq=False)
class Entry:
    """A finished run, or an ensemble."""

    folder: Path
    facts: Mapping[str, Any]
    """What `run.json` or `ensemble.json` holds."""
    runs: tuple[tuple[Path, Mapping[str, Any]], ...]
    """The run itself; of an ensemble, the runs of one member: their folds are the ensemble's."""
    is_ensemble: bool = False

    @property
    def scores(self) -> Mapping[str, Any] | None:
        """Before post-processing: of the best checkpoint, or of the ensemble, nested.

        None of a run that was trained on all.
        """
        scores: Mapping[str, Any] | None = self.facts["scores"]
        return scores["nested_raw"] if self.is_ensemble and scores is not None else scores

    @property
    def processed(self) -> Mapping[str, Any]:
        """After post-processing that was fitted on other recordings; empty where there is none."""
        found = self.facts["scores"] if self.is_ensemble else self.facts.get("postprocess")
        return (found or {}).get("nested") or {}


@dataclass(frozen=True)
class NotDone:
    """A run of a sweep that has no result."""

    folder: Path
    reason: str


def find_entries(folders: Sequence[Path]) -> tuple[list[Entry], list[NotDone]]:
    """Return the runs and ensembles of some folders, and the runs there that have no result.

    A folder is that of a run, of an ensemble, or holds such folders, as that of a sweep does; in
    there, runs that failed, are not finished or cannot be read are no error.

    Raises:
        TemporalError: a folder is none of these, or an ensemble's runs are not where they were.
    """
    entries: list[Entry] = []
    not_done: list[NotDone] = []
    for folder in folders:
        if _holds_result(folder):
            entries.append(_entry(folder))
            continue
        inside = sorted(path for path in folder.glob("*") if path.is_dir())
        if not any(map(_holds_result, inside)) and not _is_sweep(folder):
            read_run(folder)  # says that it holds no run
        for path in filter(_holds_result, inside):
            try:
                entries.append(_entry(path))
            except TemporalError as error:
                not_done.append(NotDone(path, str(error)))
        left = without_result(folder, _holds_result)
        not_done += [NotDone(path, reason) for path, reason in left.items()]
    unique = {entry.folder.resolve(): entry for entry in entries}
    return list(unique.values()), not_done


def _holds_result(folder: Path) -> bool:
    return (folder / RUN_FILE).exists() or is_ensemble(folder)


def _is_sweep(folder: Path) -> bool:
    return any((folder / name).exists() for name in (SPEC_FILE, FAILURES_FILE))


def _entry(folder: Path) -> Entry:
    if not is_ensemble(folder):
        facts = read_run(folder)
        return Entry(folder, facts, ((folder, facts),))
    found = load_ensemble(folder)
    if "nested_raw" not in found.facts["scores"]:
        message = (
            f"a report compares figures before post-processing, but {folder} was made when none "
            f"were kept of ensembles; make it again by abaw temporal-ensemble"
        )
        raise TemporalError(message)
    runs = [run.folder for run in found.runs if run.member == 0]
    return Entry(folder, found.facts, tuple((run, read_run(run)) for run in runs), True)
