"""Scores of many runs as one table."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..cache import LabelStore
from ..core.table import text_table
from .config import CARRIED_OUT, RunConfig
from .constant import constant_scores
from .errors import TemporalError
from .metrics import figure
from .run_folder import open_labels, read_run, refuse_oracle
from .selection import select

_KEYS: Final = ("CCC_V", "CCC_A", "F1_EXPR", "F1_AU", "P_MTL")
_REPEATS: Final = ("seed", "data_seed", "fold", "folds")
"""Settings that make another run of one configuration."""


@dataclass(frozen=True)
class _Row:
    """Runs of one configuration."""

    folder: Path
    """Of the first."""
    facts: list[dict[str, Any]]

    def cells(self) -> list[str]:
        """Return the mean of each measure over the runs, and their deviation if they are many."""
        return [_mean([one["scores"][key] for one in self.facts]) for key in _KEYS]


def score_table(runs: Sequence[Path], cache: Path) -> str:
    """Return the validation scores of runs, under those of the constant predictor.

    Runs that differ in their seeds or folds only are one row: mean and standard deviation (ddof 1)
    over them. Rows are named by their features where that tells them apart, else by encoder and
    framework too, else by their folders.

    Raises:
        TemporalError: a folder holds no finished run, a run has no validation split, runs were
            scored on different labels, or a fold has other videos now.
        CacheError: the labels store cannot be read.
    """
    facts = [read_run(run) for run in runs]
    for run, one in zip(runs, facts, strict=True):
        refuse_oracle(run, one, "a table of scores")
    labels = open_labels(cache, facts[0]["labels"]["name"])
    for run, one in zip(runs, facts, strict=True):
        if one["labels"]["fingerprint"] != labels.fingerprint:
            message = (
                f"runs in one table must be scored on the same labels, but {run} was on "
                f"{one['labels']['fingerprint'][:12]} and {labels.path} is "
                f"{labels.fingerprint[:12]}; report them apart"
            )
            raise TemporalError(message)
        if one["scores"] is None:
            message = (
                f"runs in a table must have a validation split, but {run} was trained on all "
                f"(fold=all); leave it out"
            )
            raise TemporalError(message)
    grouped: dict[str, _Row] = {}
    for run, one in zip(runs, facts, strict=True):
        grouped.setdefault(_configuration(one), _Row(run, [])).facts.append(one)
    rows = list(grouped.values())
    has_many = any(len(row.facts) > 1 for row in rows)
    table = [("constant", *([""] if has_many else []), *_constant(runs, facts, labels, cache))]
    for name, row in zip(_names(rows), rows, strict=True):
        count = [str(len(row.facts))] if has_many else []
        table.append((name, *count, *row.cells()))
    heads = ("", *(["runs"] if has_many else []), *_KEYS)
    lines = text_table([heads, *table], range(1, len(heads)))
    random = sorted({n for one in facts for n, s in one["stores"].items() if _is_random(s)})
    if random:
        lines.append(
            f"RANDOM WEIGHTS: {', '.join(random)} {'come' if len(random) > 1 else 'comes'} from "
            f"networks that have learnt nothing"
        )
    return "\n".join(lines)


def _configuration(facts: dict[str, Any]) -> str:
    left_out = {*_REPEATS, *CARRIED_OUT}
    settings = {key: value for key, value in facts["config"].items() if key not in left_out}
    return json.dumps([settings, facts.get("encoder_code")], sort_keys=True)


def _constant(
    runs: Sequence[Path], facts: Sequence[dict[str, Any]], labels: LabelStore, cache: Path
) -> list[str]:
    """Return the figures of the constant predictor, over the folds that the runs are of."""
    found: dict[str, dict[str, Any]] = {}
    for run, one in zip(runs, facts, strict=True):
        selection = select(labels, RunConfig.from_dict(one["config"], str(run)), cache)
        selection.check_same(one, run, cache)
        key = json.dumps([one["config"]["fold"], one["config"]["folds"]])
        if key not in found:
            scores = constant_scores(selection.rows("train"), selection.rows("val"))
            found[key] = scores.to_dict()
    return [_mean([scores[key] for scores in found.values()]) for key in _KEYS]


def _mean(values: Sequence[float | None]) -> str:
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values):
        return "n/a"
    mean = figure(statistics.mean(numbers), 3)
    return mean if len(numbers) == 1 else f"{mean} ± {statistics.stdev(numbers):.3f}"


def _is_random(store: dict[str, Any]) -> bool:
    return bool(store["objective"] == "random")


def _names(rows: Sequence[_Row]) -> list[str]:
    configs = [row.facts[0]["config"] for row in rows]
    features = ["+".join(config["features"]) for config in configs]
    networks = [
        f"{name} {config['encoder'].rpartition(':')[2]} {config['framework']}"
        for name, config in zip(features, configs, strict=True)
    ]
    for names in (features, networks):
        if len(set(names)) == len(names):
            return names
    return [row.folder.name for row in rows]
