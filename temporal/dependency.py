"""What a dependency study found: gains between tasks, and the feedback graph that they suggest.

An edge is named where the target gains significantly from the source's hidden state. Edges go into
the graph by their gain, but for those that would close a cycle. An edge a>c beside a>b>c may be
there only because b passes on what a knows; so the target is trained once more at the end of the
graph without such shortcuts, and with each, and a shortcut stays if it still gains significantly,
Holm's correction being over gains from hidden states and shortcuts together.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..core.tasks import TASKS, Task
from .association import Association, association
from .config import CARRIED_OUT, RunConfig
from .data.recordings import recording_of
from .dependency_spec import alone, with_hidden, with_truth, within
from .errors import TemporalError
from .feature_groups import with_features
from .nets.graph import TaskGraph
from .paired_gain import SIGNIFICANT, Array, Gain, holm, paired_gain, pseudovalues
from .predictions import read_predictions
from .run_folder import open_labels, read_run, val_predictions_file
from .score import RowLabels, rows_of
from .selection import select
from .suggested_graph import Edge, acyclic, graph_of_edges, leading_to, shortcuts
from .sweep import SPEC_FILE
from .sweep_spec import SweepSpec, spec_from_file


@dataclass(frozen=True)
class JudgedGain:
    """A gain that was tested together with others."""

    gain: Gain
    p: float
    """Adjusted for all that were tested together (Holm)."""

    @property
    def is_significant(self) -> bool:
        """Whether it is a gain or a loss, and not chance."""
        return self.p < SIGNIFICANT

    @property
    def is_named(self) -> bool:
        """Whether it is a significant gain."""
        return self.is_significant and self.gain.value > 0


@dataclass(frozen=True)
class Study:
    """A dependency study."""

    folder: Path
    config: RunConfig
    """Of one of its runs."""
    tasks: tuple[Task, ...]
    n_seeds: int
    n_recordings: dict[Task, int]
    """That have labels of the task."""
    alone: dict[Task, tuple[float, float]]
    """Mean and deviation (ddof 1) over seeds of the measure of the task alone."""
    hidden: dict[Edge, JudgedGain]
    """(source, target) -> gain from the source's hidden state."""
    truth: dict[Edge, JudgedGain]
    """(source, target) -> gain from its true labels: the upper bound."""
    association: Association
    shortcuts: dict[Edge, JudgedGain | None]
    """Edges beside a longer path -> what they add to the graph; None if that is not trained yet."""
    graph: TaskGraph
    """What is suggested."""
    random: tuple[str, ...]
    """Embeddings from networks that have learnt nothing."""

    @property
    def named(self) -> list[Edge]:
        """The edges whose gain from hidden states is significant, the largest first."""
        found = [edge for edge, tested in self.hidden.items() if tested.is_named]
        return sorted(found, key=lambda edge: -self.hidden[edge].gain.value)

    @property
    def against_cycles(self) -> list[Edge]:
        """The named edges that are left out because larger ones lead back."""
        kept = acyclic({edge: self.hidden[edge].gain.value for edge in self.named})
        return [edge for edge in self.named if edge not in kept]

    @property
    def framework(self) -> str | None:
        """What `--framework` takes; None if no edge is named."""
        return f"sbe-hsf:{self.graph.text()}" if self.graph.sources else None


def read_study(folder: Path, cache: Path) -> Study:
    """Return what the finished runs of a study say.

    Raises:
        TemporalError: runs are not done, or were made with other labels or another fold.
        CacheError: the labels store cannot be read.
        PredictionError: a run's predictions cannot be read.
    """
    spec = spec_from_file(folder / SPEC_FILE)
    runs = _Runs(folder, spec, cache)
    tasks = tuple(task for task in TASKS if runs.has(alone(task)))
    edges = [(source, target) for target in tasks for source in tasks if source != target]
    hidden = _tested({e: runs.gain(with_hidden(e), alone(e[1]), e[1]) for e in edges})
    truth = _tested({e: runs.gain(with_truth(e), alone(e[1]), e[1]) for e in edges})
    levels = {}
    for task in tasks:
        found = runs.pseudovalues(alone(task), task).mean(axis=1)
        levels[task] = (float(found.mean()), float(found.std(ddof=1)))
    kept = acyclic({e: tested.gain.value for e, tested in hidden.items() if tested.is_named})
    found_shortcuts = _shortcuts(kept, runs, hidden)
    idle = [e for e, tested in found_shortcuts.items() if tested is None or not tested.is_named]
    table = runs.labels.table
    both = [rows_of(table, split) for split in ("train", "val")]
    return Study(
        folder=folder,
        config=runs.config,
        tasks=tasks,
        n_seeds=len(spec.grid["seed"]),
        n_recordings={t: runs.pseudovalues(alone(t), t).shape[1] for t in tasks},
        alone=levels,
        hidden=hidden,
        truth=truth,
        association=association(_joined(both)),
        shortcuts=found_shortcuts,
        graph=graph_of_edges([edge for edge in kept if edge not in idle]),
        random=runs.random,
    )


def with_shortcuts(folder: Path, cache: Path) -> SweepSpec | None:
    """Return a study with the runs that tell which shortcuts its graph needs; None without any.

    Raises:
        TemporalError, CacheError, PredictionError: as `read_study`.
    """
    spec = spec_from_file(folder / SPEC_FILE)
    study = read_study(folder, cache)
    kept = [edge for edge in study.named if edge not in study.against_cycles]
    more = [
        case
        for edge, tested in study.shortcuts.items()
        if tested is None
        for case in _shortcut_cases(edge, kept)
    ]
    new = [case for place, case in enumerate(more) if case not in more[:place]]
    new = [case for case in new if case not in spec.cases]
    return replace(spec, cases=(*spec.cases, *new)) if new else None


def _shortcuts(
    kept: list[Edge], runs: "_Runs", hidden: Mapping[Edge, JudgedGain]
) -> dict[Edge, JudgedGain | None]:
    gains = {}
    for edge in shortcuts(kept):
        with_it, without = _shortcut_cases(edge, kept)
        if runs.has(with_it) and runs.has(without):
            gains[edge] = runs.gain(with_it, without, edge[1])
    # One family with the gains that led to them: alone they would be tested at 5 % each.
    before = [one.gain.p for one in hidden.values()]
    adjusted = holm([*before, *(gain.p for gain in gains.values())])[len(before) :]
    tested = {
        edge: JudgedGain(gain, p) for (edge, gain), p in zip(gains.items(), adjusted, strict=True)
    }
    return {edge: tested.get(edge) for edge in shortcuts(kept)}


def _shortcut_cases(edge: Edge, kept: list[Edge]) -> list[dict[str, Any]]:
    """Return the target at the end of the graph with a shortcut, and without any."""
    idle = shortcuts(kept)
    without = [other for other in kept if other not in idle]
    target = edge[1]
    return [
        within(graph_of_edges(leading_to(target, edges)), target)
        for edges in ([*without, edge], without)
    ]


def _tested(gains: Mapping[Edge, Gain]) -> dict[Edge, JudgedGain]:
    adjusted = holm([gain.p for gain in gains.values()])
    return {
        edge: JudgedGain(gain, p) for (edge, gain), p in zip(gains.items(), adjusted, strict=True)
    }


class _Runs:
    """The finished runs of a study, by their settings."""

    def __init__(self, folder: Path, spec: SweepSpec, cache: Path) -> None:
        spec = with_features(spec, cache)
        self._seeds = spec.grid["seed"]
        self._fixed = spec.fixed
        found = {}
        for path in sorted(folder.glob("*/run.json")):
            facts = read_run(path.parent)
            found[_key(facts["config"])] = (path.parent, facts)
        asked = {_key(config.to_dict()): config for config in spec.configs()}
        missing = len(asked.keys() - found.keys())
        if missing:
            message = (
                f"a dependency study is read when all its runs are done, but {missing} of "
                f"{len(asked)} in {folder} are not; go on with abaw temporal-sweep --out {folder}"
            )
            raise TemporalError(message)
        self._runs = {key: found[key] for key in asked}
        self.config = next(iter(asked.values()))
        self.labels = open_labels(cache, self.config.labels)
        selection = select(self.labels, self.config, cache)
        for run, one in self._runs.values():
            if one["labels"]["fingerprint"] != self.labels.fingerprint:
                message = (
                    f"a study is read with the labels that it was made with, but {run} was on "
                    f"{one['labels']['fingerprint'][:12]} and {self.labels.path} is "
                    f"{self.labels.fingerprint[:12]}; give that cache by --cache"
                )
                raise TemporalError(message)
            selection.check_same(one, run, cache)
        self._rows = selection.rows("val")
        self._recording = [recording_of(video) for video, _ in self._rows.keys]
        self.random = tuple(
            sorted(
                {
                    name
                    for _, one in self._runs.values()
                    for name, store in one["stores"].items()
                    if store["objective"] == "random"
                }
            )
        )
        self._known: dict[str, Array] = {}

    def _key_of(self, case: Mapping[str, Any], seed: int) -> str:
        settings = {**self._fixed, **case, "seed": seed, "data_seed": seed}
        return _key(RunConfig.from_dict(settings, "the study").to_dict())

    def has(self, case: Mapping[str, Any]) -> bool:
        """Return whether a case was asked for."""
        return self._key_of(case, self._seeds[0]) in self._runs

    def pseudovalues(self, case: Mapping[str, Any], task: Task) -> Array:
        """Return the pseudovalues (S, R) of a case's own task."""
        keys = [self._key_of(case, seed) for seed in self._seeds]
        for key in keys:
            if key not in self._known:
                self._known[key] = self._read(*self._runs[key], task)
        return np.stack([self._known[key] for key in keys])

    def gain(self, with_it: Mapping[str, Any], without: Mapping[str, Any], task: Task) -> Gain:
        """Return what one case gains over another."""
        return paired_gain(self.pseudovalues(with_it, task), self.pseudovalues(without, task))

    def _read(self, folder: Path, facts: Mapping[str, Any], task: Task) -> Array:
        config = RunConfig.from_dict(facts["config"], str(folder))
        table = read_predictions(folder / val_predictions_file(config))
        places = table.places()
        order = np.array([places[key] for key in self._rows.keys], np.intp)
        return pseudovalues(task, getattr(table, task)[order], self._rows, self._recording)


def _key(config: Mapping[str, Any]) -> str:
    """Return what tells the runs of one sweep apart."""
    left_out = {*CARRIED_OUT, "encoder"}  # a user's own is a path, which may have been written anew
    return json.dumps({k: v for k, v in config.items() if k not in left_out}, sort_keys=True)


def _joined(parts: Sequence[RowLabels]) -> RowLabels:
    """Return the annotated rows of several splits as one."""

    def joined(name: str) -> Any:  # noqa: ANN401
        groups = [getattr(part, name) for part in parts]
        kind = type(groups[0])
        return kind(*(np.concatenate([getattr(g, task) for g in groups]) for task in TASKS))

    keys = [key for part in parts for key in part.keys]
    return RowLabels(keys, joined("labels"), joined("is_labelled"))
