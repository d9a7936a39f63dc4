"""What has come of a search, for people to read, and the best settings as a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from ..core.files import write_text_atomic
from ..core.table import text_table
from .errors import TemporalError
from .metrics import figure
from .search_space import Scalar
from .study import (
    ERROR,
    FOLDER,
    RUNS,
    SAME_AS,
    SharedStudy,
    failed,
    host_of,
)
from .study_storage import FrozenTrial, TrialState, values_of

BEST_FILE: Final = "best.yaml"
N_SHOWN: Final = 10


@dataclass(frozen=True)
class SearchResult:
    """The study as a search has left it."""

    folder: Path
    """Of this search; other processes may have theirs."""
    trials: tuple[FrozenTrial, ...]
    """By number."""
    keys: tuple[str, ...]
    """Settings that were searched for."""
    importances: dict[str, float]

    @classmethod
    def of(cls, study: SharedStudy, folder: Path, keys: Sequence[str]) -> "SearchResult":
        """Return what a study holds now."""
        return cls(folder, tuple(study.trials()), tuple(keys), study.importances())

    @property
    def best(self) -> list[FrozenTrial]:
        """The trials that are done, best first."""
        done = self._in(TrialState.COMPLETE)
        return sorted(done, key=lambda trial: (-(trial.value or 0.0), trial.number))

    def text(self) -> str:
        """Return the best trials, what matters, and what failed, for people to read."""
        lines: list[str] = []
        if self.best:
            head = ("trial", "value", *self.keys, "runs")
            rows = [self._row(trial) for trial in self.best[:N_SHOWN]]
            lines += text_table([head, *rows], range(1, 1 + len(self.keys) + 1))
        if self.importances:
            cells = ", ".join(f"{key} {share:.0%}" for key, share in self.importances.items())
            lines += ["", f"what the trials differ by (fANOVA): {cells}"]
        if failures := failed(self.trials):
            rows = [(str(t.number), str(t.user_attrs.get(ERROR, "unknown"))) for t in failures]
            lines += ["", *text_table([("failed", "error"), *rows])]
        lines += ["", self._counts()]
        under_way = self._in(TrialState.RUNNING)
        if under_way:
            hosts = ", ".join(sorted({host_of(trial) for trial in under_way}))
            lines.append(
                f"{len(under_way)} under way on {hosts}; if that is dead, --retry takes them over"
            )
        return "\n".join(lines)

    def raise_for_failures(self) -> None:
        """Raise TemporalError if a trial has failed, or none is done."""
        failures = failed(self.trials)
        if failures:
            message = (
                f"{len(failures)} trials of the search in {self.folder} failed (trial "
                f"{failures[0].number}: {failures[0].user_attrs.get(ERROR, 'unknown')}); mend "
                f"what is wrong, and start it with --retry"
            )
            raise TemporalError(message)
        if not self.best and not self._in(TrialState.RUNNING):
            reasons = [t.user_attrs[ERROR] for t in self.trials if ERROR in t.user_attrs]
            why = f" ({reasons[0]})" if reasons else ""
            message = f"no trial of the search in {self.folder} came to an end{why}"
            raise TemporalError(message)

    def write_best(self, fixed: Mapping[str, Any]) -> None:
        """Write the settings of the best trial so that `--config` takes them.

        Args:
            fixed: those that all trials share.
        """
        if self.best:
            settings = {**fixed, **values_of(self.best[0], self.keys)}
            write_text_atomic(self.folder / BEST_FILE, yaml.safe_dump(settings, sort_keys=False))

    def _in(self, state: TrialState) -> list[FrozenTrial]:
        return [trial for trial in self.trials if trial.state == state]

    def _row(self, trial: FrozenTrial) -> tuple[str, ...]:
        values = values_of(trial, self.keys)
        cells = (_cell(values[key]) if key in values else "-" for key in self.keys)
        runs = trial.user_attrs.get(RUNS, [])
        place = Path(str(trial.user_attrs.get(FOLDER, ".")))
        name = f"{runs[0]}" if runs else "-"
        more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
        there = "" if place == self.folder.resolve() else f" of {host_of(trial)}"
        return (str(trial.number), figure(trial.value, 3), *cells, name + more + there)

    def _counts(self) -> str:
        pruned = self._in(TrialState.PRUNED)
        impossible = sum(ERROR in trial.user_attrs for trial in pruned)
        again = sum(SAME_AS in trial.user_attrs for trial in self.trials)
        parts = [f"{len(self.best)} trials done", f"{len(pruned) - impossible} ended early"]
        if impossible:
            parts.append(f"{impossible} that cannot be")
        if again:
            parts.append(f"{again} of them drawn again")
        parts.append(f"{len(failed(self.trials))} failed")
        best = f"; the best as {BEST_FILE}" if self.best else ""
        return f"{', '.join(parts)}, in {self.folder}{best}"


def _cell(value: Scalar) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
