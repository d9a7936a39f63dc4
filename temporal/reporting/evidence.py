"""The predictions behind a row: out-of-fold, pooled over folds, one table a seed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..constant import constant_predictions
from ..data.recordings import recording_of
from ..ensemble_file import NESTED_RAW_FILE
from ..errors import PredictionError
from ..metrics import AffectRows, LabelMasks
from ..prediction_places import places_of
from ..prediction_table import concatenated
from ..predictions import PredictionTable, read_predictions
from ..run_folder import VAL_PREDICTIONS_FILE
from ..score import RowLabels, score_table
from .board import KEYS, Board, Row, fold_of
from .entries import Entry

_COLUMNS = ("valence", "arousal", "expression", "au")
_SAME = 1e-6
"""Largest difference of figures that are the same ones."""


@dataclass(frozen=True, eq=False)
class Repeat:
    """Predictions of one seed, each frame's by the run that was not trained on it."""

    entries: tuple[Entry, ...]
    """One a fold, in the order of the folds; none of the constant."""
    folds: tuple[tuple[int, str], ...]
    table: PredictionTable
    rows: RowLabels
    """The annotated rows of all these folds."""

    def found(self) -> AffectRows:
        """Return the predictions of the annotated rows, in their order."""
        table = self.table
        order = places_of(table, self.rows.keys, "the predictions")
        return AffectRows(
            table.valence[order], table.arousal[order], table.expression[order], table.au[order]
        )


def repeats(board: Board, row: Row) -> list[Repeat]:
    """Return the predictions behind a row, one table a seed.

    Raises:
        PredictionError: predictions cannot be read, are not those of the scores, two folds have a
            recording in common, or the seeds are of different folds.
    """
    if not row.entries:
        message = f"{row.name} has no predictions of its own"
        raise PredictionError(message)
    if row.is_ensemble:
        return [_of_ensemble(board, entry) for entry in row.entries]
    of_seed: dict[tuple[Any, ...], list[Entry]] = {}
    for entry in row.entries:
        config = entry.facts["config"]
        of_seed.setdefault((config["seed"], config["data_seed"]), []).append(entry)
    found = [_of_runs(board, of_seed[seed]) for seed in sorted(of_seed)]
    if len({one.folds for one in found}) > 1:
        message = f"the seeds of {row.name} are of different folds"
        raise PredictionError(message)
    return found


def constant_repeat(board: Board, folds: Sequence[tuple[int, str]]) -> Repeat:
    """Return what the constant predictor says about the rows of some folds."""
    tables = []
    for fold in folds:
        selection = board.selections[fold]
        tables.append(constant_predictions(selection.rows("train"), selection.rows("val").keys))
    return Repeat((), tuple(folds), concatenated(tables), _rows(board, folds))


def _of_runs(board: Board, entries: Sequence[Entry]) -> Repeat:
    ordered = sorted(entries, key=lambda entry: fold_of(entry.facts))
    folds = tuple(fold_of(entry.facts) for entry in ordered)
    if len(set(folds)) < len(folds):
        names = " and ".join(str(entry.folder) for entry in ordered)
        message = f"a run is given twice: {names}"
        raise PredictionError(message)
    tables = []
    for entry, fold in zip(ordered, folds, strict=True):
        path = entry.folder / VAL_PREDICTIONS_FILE
        table = read_predictions(path)
        _check(table, board.selections[fold].rows("val"), entry, path)
        tables.append(table)
    return Repeat(tuple(ordered), folds, concatenated(tables), _rows(board, folds))


def _of_ensemble(board: Board, entry: Entry) -> Repeat:
    path = entry.folder / NESTED_RAW_FILE
    folds = tuple(sorted({fold_of(facts) for _, facts in entry.runs}))
    rows = _rows(board, folds)
    table = read_predictions(path)
    _check(table, rows, entry, path)
    return Repeat((entry,), folds, table, rows)


def _check(table: PredictionTable, rows: RowLabels, entry: Entry, path: Path) -> None:
    """Refuse predictions that do not have the figures that are reported beside them."""
    scores = score_table(table, rows, str(path)).to_dict()
    reported = entry.scores or {}
    for key in KEYS:
        found, told = scores[key], reported.get(key)
        if (found is None) != (told is None) or (
            found is not None and told is not None and not math.isclose(found, told, abs_tol=_SAME)
        ):
            message = (
                f"{path} must be what the scores of {entry.folder} are of, but its {key} is "
                f"{found} and the reported one {told}; train the run again"
            )
            raise PredictionError(message)


def _rows(board: Board, folds: Sequence[tuple[int, str]]) -> RowLabels:
    """Return the validation rows of all folds.

    Raises:
        PredictionError: two folds have a recording in common.
    """
    parts = [board.selections[fold].rows("val") for fold in folds]
    seen: set[str] = set()
    for fold, part in zip(folds, parts, strict=True):
        recordings = {recording_of(video) for video, _ in part.keys}
        if common := sorted(seen & recordings):
            message = (
                f"folds that are pooled must have no recording in common, but fold {fold[0]} and "
                f"one before it have {common[0]!r}"
            )
            raise PredictionError(message)
        seen |= recordings

    def together(part: str) -> dict[str, Any]:
        return {
            name: np.concatenate([getattr(getattr(one, part), name) for one in parts])
            for name in _COLUMNS
        }

    return RowLabels(
        [key for part in parts for key in part.keys],
        AffectRows(**together("labels")),
        LabelMasks(**together("is_labelled")),
    )
