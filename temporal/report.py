"""Scores of many runs as one table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ..core.table import text_table
from .config import RunConfig
from .constant import constant_scores
from .errors import TemporalError
from .metrics import figure
from .run_folder import open_labels, read_run
from .selection import select

_KEYS: Final = ("CCC_V", "CCC_A", "F1_EXPR", "F1_AU", "P_MTL")


def score_table(runs: Sequence[Path], cache: Path) -> str:
    """Return the validation scores of runs, under those of the constant predictor.

    Runs are named by their features where that tells them apart, else by their folders.

    Raises:
        TemporalError: a folder holds no finished run, or runs were scored on different labels or
            in different folds.
        CacheError: the labels store cannot be read.
    """
    facts = [read_run(run) for run in runs]
    labels = open_labels(cache, facts[0]["labels"]["name"])
    for run, one in zip(runs, facts, strict=True):
        if one["labels"]["fingerprint"] != labels.fingerprint:
            message = (
                f"runs in one table must be scored on the same labels, but {run} was on "
                f"{one['labels']['fingerprint'][:12]} and {labels.path} is "
                f"{labels.fingerprint[:12]}; report them apart"
            )
            raise TemporalError(message)
        if one["config"]["fold"] != facts[0]["config"]["fold"]:
            message = (
                f"runs in one table must be of one fold, but {runs[0]} is of "
                f"{facts[0]['config']['fold']} and {run} of {one['config']['fold']}; report them "
                f"apart"
            )
            raise TemporalError(message)
    selection = select(labels, RunConfig.from_dict(facts[0]["config"], str(runs[0])), cache)
    for run, one in zip(runs, facts, strict=True):
        selection.check_same(one, run, cache)
    constant = constant_scores(selection.rows("train"), selection.rows("val"))
    rows = [("constant", *_figures(constant.to_dict()))]
    for name, one in zip(_names(runs, facts), facts, strict=True):
        rows.append((name, *_figures(one["scores"])))
    lines = text_table([("", *_KEYS), *rows], range(1, len(_KEYS) + 1))
    random = sorted({n for one in facts for n, s in one["stores"].items() if _is_random(s)})
    if random:
        lines.append(
            f"RANDOM WEIGHTS: {', '.join(random)} {'come' if len(random) > 1 else 'comes'} from "
            f"networks that have learnt nothing"
        )
    return "\n".join(lines)


def _is_random(store: dict[str, Any]) -> bool:
    return bool(store["objective"] == "random")


def _figures(scores: dict[str, Any]) -> list[str]:
    return [figure(scores[key], 3) for key in _KEYS]


def _names(runs: Sequence[Path], facts: Sequence[dict[str, Any]]) -> list[str]:
    features = ["+".join(one["config"]["features"]) for one in facts]
    is_clear = len(set(features)) == len(features)
    return features if is_clear else [run.name for run in runs]
