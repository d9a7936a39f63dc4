"""The rows of a report: runs by their configuration, in the order given, and the constant."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from ...cache import LabelStore
from ..config import CARRIED_OUT, RunConfig
from ..constant import constant_scores
from ..errors import TemporalError
from ..metrics import figure
from ..run_folder import open_labels, refuse_oracle
from ..selection import Selection, select
from .entries import Entry, NotDone, find_entries

KEYS: Final = ("CCC_V", "CCC_A", "F1_EXPR", "F1_AU", "P_MTL")
"""The measures, as `Scores` names them."""
REPEATS: Final = ("seed", "data_seed", "fold", "folds")
"""Settings that make another run of one configuration."""
CONSTANT: Final = "constant"


@dataclass(frozen=True)
class Figure:
    """One measure over the runs of a row."""

    values: tuple[float | None, ...]
    """One a run; None where a task has no labels or no prediction."""

    @property
    def mean(self) -> float | None:
        """The mean; None if it is not there of every run."""
        numbers = self._numbers
        return None if numbers is None else statistics.mean(numbers)

    @property
    def deviation(self) -> float | None:
        """The standard deviation over runs (ddof 1); None of one run."""
        numbers = self._numbers
        return statistics.stdev(numbers) if numbers is not None and len(numbers) > 1 else None

    def text(self, digits: int = 3) -> str:
        """Return mean and deviation for people to read."""
        spread = self.deviation
        mean = figure(self.mean, digits)
        return mean if spread is None else f"{mean} ± {spread:.{digits}f}"

    @property
    def _numbers(self) -> list[float] | None:
        numbers = [value for value in self.values if value is not None]
        return numbers if numbers and len(numbers) == len(self.values) else None


@dataclass(frozen=True, eq=False)
class Row:
    """The runs of one configuration, an ensemble, or the constant predictor (without entries)."""

    name: str
    entries: tuple[Entry, ...]
    scores: tuple[Mapping[str, Any], ...]
    """As `Scores.to_dict` gives them: one a run; of the constant, one a fold."""

    @property
    def is_ensemble(self) -> bool:
        """Whether it mixes runs."""
        return any(entry.is_ensemble for entry in self.entries)

    @property
    def config(self) -> Mapping[str, Any] | None:
        """The settings of the first run; None of an ensemble and of the constant."""
        if self.is_ensemble or not self.entries:
            return None
        settings: Mapping[str, Any] = self.entries[0].facts["config"]
        return settings

    def figure(self, key: str) -> Figure:
        """Return a measure over the runs."""
        return Figure(tuple(one[key] for one in self.scores))

    def processed(self) -> Figure:
        """Return P_MTL after post-processing that was fitted on other recordings."""
        return Figure(tuple(entry.processed.get("P_MTL") for entry in self.entries))

    def cost(self, key: str) -> Figure:
        """Return a part of what the runs cost; None of a run that was made before it was kept."""
        return Figure(tuple((e.facts.get("cost") or {}).get(key) for e in self.entries))

    def most(self, key: str) -> float | None:
        """Return the most that any run cost; None if no run tells."""
        return max((value for value in self.cost(key).values if value is not None), default=None)

    @property
    def n_parameters(self) -> int | None:
        """Weights of the network; None of an ensemble and of the constant."""
        found: int | None = self.entries[0].facts.get("n_parameters") if self.entries else None
        return found


@dataclass(frozen=True, eq=False)
class Board:
    """All rows of a report."""

    cache: Path
    labels: LabelStore
    selections: Mapping[tuple[int, str], Selection]
    """(fold, name of the fold file) -> its rows, for every fold that a run is of."""
    constant: Row
    rows: tuple[Row, ...]
    """In the order given."""
    not_done: tuple[NotDone, ...] = ()

    @cached_property
    def key(self) -> str | None:
        """The measure that rows are ranked by: P_MTL, else the first that every row has."""
        order = ("P_MTL", *KEYS)
        return next(
            (key for key in order if all(r.figure(key).mean is not None for r in self.rows)), None
        )

    @cached_property
    def ranked(self) -> tuple[Row, ...]:
        """The rows, best first; as given where no measure is there of all."""
        key = self.key
        if key is None:
            return self.rows
        return tuple(sorted(self.rows, key=lambda row: row.figure(key).mean or 0.0, reverse=True))

    @property
    def best(self) -> Row:
        """The row with the highest mean of `key`."""
        return self.ranked[0]

    def best_of(self, key: str) -> tuple[Row, ...]:
        """Return the rows with the highest mean of a measure; none if there is nothing to beat."""
        means = {row: mean for row in self.rows if (mean := row.figure(key).mean) is not None}
        if len(self.rows) < 2 or not means:
            return ()
        return tuple(row for row, mean in means.items() if mean == max(means.values()))

    @cached_property
    def random(self) -> list[str]:
        """Embeddings whose networks have learnt nothing, sorted."""
        stores = [entry.facts["stores"] for row in self.rows for entry in row.entries]
        return sorted({n for some in stores for n, s in some.items() if s["objective"] == "random"})

    def warning(self) -> str | None:
        """Return the sentence about networks that have learnt nothing, if there are any."""
        if not self.random:
            return None
        verb = "come" if len(self.random) > 1 else "comes"
        names = ", ".join(self.random)
        return f"RANDOM WEIGHTS: {names} {verb} from networks that have learnt nothing"


def read_board(folders: Sequence[Path], cache: Path) -> Board:
    """Return the rows of runs, ensembles and sweeps.

    Runs that differ in their seeds or folds only are one row. Rows are named by their features
    where that tells them apart, else by encoder and framework too, else by their folders.

    Args:
        folders: of runs, of ensembles, or that hold them.
        cache: folder of the labels store.

    Raises:
        TemporalError: a folder holds no finished run, a run has no validation split, runs were
            scored on different labels, or a fold has other videos now.
        CacheError: the labels store cannot be read.
    """
    entries, not_done = find_entries(folders)
    if not entries:
        reasons = "; ".join(f"{one.folder.name}: {one.reason}" for one in not_done[:3])
        message = (
            f"a report needs a finished run, but {', '.join(map(str, folders))} holds none"
            f"{f' ({reasons})' if reasons else ''}; finish one"
        )
        raise TemporalError(message)
    labels = open_labels(cache, entries[0].facts["labels"]["name"])
    for entry in entries:
        _check(entry, labels)
    selections = _selections(entries, labels, cache)
    constants = [constant_scores(s.rows("train"), s.rows("val")) for s in selections.values()]
    constant = Row(CONSTANT, (), tuple(scores.to_dict() for scores in constants))
    grouped: dict[str, list[Entry]] = {}
    for entry in entries:
        grouped.setdefault(_configuration(entry), []).append(entry)
    groups = list(grouped.values())
    rows = [
        Row(name, tuple(some), tuple(entry.scores or {} for entry in some))
        for name, some in zip(_names(groups), groups, strict=True)
    ]
    return Board(cache, labels, selections, constant, tuple(rows), tuple(not_done))


def _check(entry: Entry, labels: LabelStore) -> None:
    for folder, facts in entry.runs:
        refuse_oracle(folder, facts, "a table of scores")
    fingerprint = entry.facts["labels"]["fingerprint"]
    if fingerprint != labels.fingerprint:
        message = (
            f"runs in one table must be scored on the same labels, but {entry.folder} was on "
            f"{fingerprint[:12]} and {labels.path} is {labels.fingerprint[:12]}; report them apart"
        )
        raise TemporalError(message)
    if entry.scores is None:
        message = (
            f"runs in a table must have a validation split, but {entry.folder} was trained on all "
            f"(fold=all); leave it out"
        )
        raise TemporalError(message)


def _selections(
    entries: Sequence[Entry], labels: LabelStore, cache: Path
) -> dict[tuple[int, str], Selection]:
    found: dict[tuple[int, str], Selection] = {}
    for entry in entries:
        for folder, facts in entry.runs:
            key = fold_of(facts)
            if key not in found:
                config = RunConfig.from_dict(facts["config"], str(folder))
                found[key] = select(labels, config, cache)
            found[key].check_same(dict(facts), folder, cache)
    return found


def fold_of(facts: Mapping[str, Any]) -> tuple[int, str]:
    """Return number and file name of a run's fold; the official split is one, whatever the file."""
    fold = facts["config"]["fold"]
    return fold, facts["config"]["folds"] if fold else ""


def _configuration(entry: Entry) -> str:
    if entry.is_ensemble:
        return f"ensemble {entry.folder.resolve()}"
    left_out = {*REPEATS, *CARRIED_OUT}
    config = entry.facts["config"]
    settings = {key: value for key, value in config.items() if key not in left_out}
    stores = {name: store["fingerprint"] for name, store in entry.facts["stores"].items()}
    return json.dumps([settings, entry.facts.get("encoder_code"), stores], sort_keys=True)


def _names(groups: Sequence[Sequence[Entry]]) -> list[str]:
    """Return the shortest kind of name that tells all rows apart."""
    firsts = [some[0] for some in groups]
    configs = [None if entry.is_ensemble else entry.facts["config"] for entry in firsts]
    kinds = [
        [
            f"{entry.folder.name} (ensemble)" if config is None else make(config)
            for entry, config in zip(firsts, configs, strict=True)
        ]
        for make in (_features, _network)
    ]
    kinds.append([entry.folder.name for entry in firsts])
    return next(
        (names for names in kinds if len(set(names)) == len(names)),
        [str(entry.folder) for entry in firsts],
    )


def _features(config: Mapping[str, Any]) -> str:
    return "+".join(config["features"])


def _network(config: Mapping[str, Any]) -> str:
    return f"{_features(config)} {config['encoder'].rpartition(':')[2]} {config['framework']}"
