"""The official measure of a prediction file."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeGuard

import numpy as np

from ..cache import SPLITS, LabelStore, LabelTable, Split, open_store
from ..core.errors import UsageError
from .data.annotations import read_annotations
from .data.folds import fold_roles, folds_path, read_folds
from .data.roles import FoldRoles, official_roles
from .data.task_annotations import read_task_annotations
from .data.task_folders import find_task_folder
from .errors import PredictionError, TemporalError
from .metrics import AffectRows, LabelMasks, Scores, score_rows
from .predictions import PredictionTable, read_predictions


@dataclass(frozen=True)
class RowLabels:
    """The annotated rows of one split, duplicates as often as they are listed."""

    keys: list[tuple[str, int]]
    """(video, frame number) of each row."""
    labels: AffectRows
    is_labelled: LabelMasks


def score_file(
    predictions: Path, annotations: Path, split: str = "val", fold: int = 0, folds: str = "folds"
) -> Scores:
    """Return the official measure of a prediction file.

    Args:
        predictions: a prediction table, or what is handed in to a challenge: a file, or a folder
            with a file for each video. Tasks that it does not predict have no score.
        annotations: a multi-task annotation file, the folder of one task, or a labels store.
        split: the split of a store or folder; an annotation file is scored whole.
        fold: of a fold file beside a labels store; 0 is the official split.
        folds: name of the fold file.

    Raises:
        PredictionError: the predictions cannot be read or lack an annotated row.
        AnnotationError, CacheError: the annotations cannot be read.
        TemporalError: the split has no rows, or the store holds features.
        UsageError: there is no such split or fold.
    """
    is_table = annotations.is_file() and annotations.suffix not in {".h5", ".zarr"}
    if fold and (is_table or find_task_folder(annotations) is not None):
        message = f"a fold is one of a labels store, but {annotations} holds annotations"
        raise UsageError(message)
    if is_table:
        rows = rows_of(read_annotations({"val": annotations}), "val")
    elif (folder := find_task_folder(annotations)) is not None:
        rows = rows_of(read_task_annotations(folder, None), split)
    else:
        with open_store(annotations) as store:
            if not isinstance(store, LabelStore):
                message = f"{annotations} must be annotations or a labels store, but holds features"
                raise TemporalError(message)
            rows = rows_of(store.table, split, _roles(store, annotations.parent, fold, folds))
    if not rows.keys:
        message = f"{annotations} must have rows of the split {split!r}, but has none"
        raise TemporalError(message)
    return score_table(read_predictions(predictions), rows, str(predictions))


def _roles(store: LabelStore, cache: Path, fold: int, name: str) -> FoldRoles | None:
    if fold == 0:
        return None
    path = folds_path(cache, name)
    return fold_roles(store, read_folds(path, store), fold, path)


def is_split(text: str) -> TypeGuard[Split]:
    """Return whether there is a split of this name."""
    return text in SPLITS


def rows_of(table: LabelTable, split: str, roles: FoldRoles | None = None) -> RowLabels:
    """Return the annotated rows of one split, in file order.

    Args:
        table: the labels.
        split: train, val or test.
        roles: of the fold; by default the official split.

    Raises:
        UsageError: there is no such split.
    """
    if not is_split(split):
        message = f"a split is {', '.join(SPLITS)}, but got {split!r}"
        raise UsageError(message)
    is_in = (roles or official_roles(table)).rows(table, split)
    videos = [table.videos[index] for index in table.row_video[is_in]]
    return RowLabels(
        keys=list(zip(videos, table.row_frame[is_in].tolist(), strict=True)),
        labels=AffectRows(
            table.row_valence[is_in],
            table.row_arousal[is_in],
            table.row_expression[is_in],
            table.row_au[is_in],
        ),
        is_labelled=LabelMasks(
            table.row_valence_is_labelled[is_in],
            table.row_arousal_is_labelled[is_in],
            table.row_expression_is_labelled[is_in],
            table.row_au_is_labelled[is_in],
        ),
    )


def score_table(predictions: PredictionTable, rows: RowLabels, source: str) -> Scores:
    """Return the official measure of predictions on annotated rows.

    Predictions for other frames are counted, in `n_unused`, and left alone.

    Args:
        predictions: values per frame.
        rows: the rows that count.
        source: where the predictions are from, for the error.

    Raises:
        PredictionError: an annotated row has no prediction, or one that is not a finite number;
            or two predictions of one frame differ.
    """
    places = predictions.places()
    missing = [key for key in rows.keys if key not in places]
    if missing:
        video, frame = missing[0]
        message = (
            f"{source} must predict every annotated row, but lacks {len(missing)} of "
            f"{len(rows.keys)}, the first is frame {frame} of {video!r}; predict the whole split"
        )
        raise PredictionError(message)
    order = np.array([places[key] for key in rows.keys], np.intp)
    found = AffectRows(
        predictions.valence[order],
        predictions.arousal[order],
        predictions.expression[order],
        predictions.au[order],
    )
    for name, values in (("valence", found.valence), ("arousal", found.arousal)):
        is_number = np.isfinite(values)
        if not is_number.all():
            place = int(np.flatnonzero(~is_number)[0])
            video, frame = rows.keys[place]
            message = (
                f"{source} must predict finite numbers, but {name} of frame {frame} of {video!r} "
                f"is {values[place]}; train or predict again"
            )
            raise PredictionError(message)
    scores = score_rows(rows.labels, rows.is_labelled, found, predictions.tasks)
    return replace(scores, n_unused=len(places.keys() - set(rows.keys)))
