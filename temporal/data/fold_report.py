"""What is in the folds: whether the validation sets are alike, and what is odd."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...cache import LabelStore, LabelTable, open_store
from ...core.names import labels_store_name
from ...core.table import text_table
from ...core.tasks import AUS, EXPRESSIONS
from ..errors import TemporalError
from .folds import FoldFile, FoldVideos, dealt_rows, folds_path, write_folds
from .label_sums import LabelSums, label_sums
from .recordings import recordings
from .roles import asked_frames, official_roles, whole_roles
from .stratify import Quantities, deviation, deviations, quantities, random_sets

_N_RANDOM: Final = 200
"""Deals by chance that the folds are compared with."""
_SHOWN: Final = 5


def make_folds(cache: Path, labels: str, name: str, k: int, seed: int, same: str | None) -> str:
    """Write the fold file of a labels store, and return the report as text.

    Args:
        cache: folder of the stores, and of the fold file.
        labels: `labels`, or NAME or `labels-NAME` for the store `labels-NAME`.
        name: `folds`, or NAME or `folds-NAME` for the file `folds-NAME.json`.
        k: number of validation sets, at least 2.
        seed: of the deal.
        same: regular expression whose first group tells the recording of a video.

    Raises:
        UsageError: a name cannot be one, there are fewer recordings than `k`, or `same` cannot be
            used; nothing is written.
        CacheError: the labels store is missing or not sound.
        TemporalError: it holds embeddings.
    """
    path = folds_path(cache, name)
    with open_store(cache / labels_store_name(labels)) as store:
        if not isinstance(store, LabelStore):
            message = f"{store.path} must hold labels, but holds embeddings; name a labels store"
            raise TemporalError(message)
        return folds_text(store.table, write_folds(store, path, k, seed, same), path)


def folds_text(table: LabelTable, folds: FoldFile, path: Path) -> str:
    """Return tables of the validation sets for people to read, and notes on what is odd."""
    videos = sorted({*folds.folds[0].train, *folds.folds[0].val})
    recording = recordings(videos, folds.same)
    parts = [
        f"wrote {path}: fold 0 is the official split, folds 1 to {folds.k} deal its {len(videos)} "
        f"videos of {len(set(recording.values()))} recordings (seed {folds.seed})"
    ]
    parts += _set_tables(table, folds)
    parts.append(_spread_table(table, folds, recording))
    parts.append("\n".join(_notes(table, folds, recording)))
    return "\n\n".join(part for part in parts if part)


def _set_tables(table: LabelTable, folds: FoldFile) -> list[str]:
    """Return the sizes, the expressions and the action units of each validation set."""
    names = ["official train", "official val", *(f"fold {n} val" for n in range(1, folds.k + 1))]
    sets = [folds.folds[0].train, *(fold.val for fold in folds.folds)]
    asked = [asked_frames(table, split) for split in ("train", "val")]
    whole = asked_frames(table, "train", whole_roles(table))
    frames = [sum(map(len, own.values())) for own in asked]
    frames += [sum(len(whole[video]) for video in own) for own in sets[2:]]
    sums = _sums_of_sets(table, folds)
    n, mean = np.maximum(sums.labelled, 1), sums.affect / np.maximum(sums.labelled[:, :2], 1)
    share = sums.labelled / np.maximum(sums.rows, 1)[:, None]
    sizes: list[tuple[str, ...]] = [
        ("", "videos", "frames", "V", "A", "EXPR", "AU", "valence", "arousal")
    ]
    sizes += [
        (
            names[i],
            f"{len(sets[i]):,}",
            f"{frames[i]:,}",
            *(f"{value:.1%}" for value in share[i]),
            *(f"{mean[i, a]:+.3f}" if sums.labelled[i, a] else "n/a" for a in (0, 1)),
        )
        for i in range(len(names))
    ]
    expressions = _shares(names, EXPRESSIONS, sums.expression / n[:, 2:3], sums.labelled[:, 2:3])
    aus = _shares(names, AUS, sums.au / np.maximum(sums.au_labelled, 1), sums.au_labelled)
    tables = [
        ("labelled rows of each task, and means", sizes),
        ("expressions of the labelled rows", expressions),
        ("rows with each action unit", aus),
    ]
    return ["\n".join([title, *text_table(rows, range(1, len(rows[0])))]) for title, rows in tables]


def _shares(
    names: list[str],
    heads: tuple[str, ...],
    share: NDArray[np.float64],
    labelled: NDArray[np.float64],
) -> list[tuple[str, ...]]:
    cells = np.broadcast_to(labelled > 0, share.shape)
    return [
        ("", *heads),
        *(
            (name, *(f"{v:.1%}" if has else "n/a" for v, has in zip(row, there, strict=True)))
            for name, row, there in zip(names, share, cells, strict=True)
        ),
    ]


def _sums_of_sets(table: LabelTable, folds: FoldFile) -> LabelSums:
    """Return the sums of the official train and val, and of each validation set."""
    official = official_roles(table)
    first = [label_sums(table, official.rows(table, s)).total() for s in ("train", "val")]
    index = {video: place for place, video in enumerate(table.videos)}
    group = np.full(len(table.videos), -1, np.intp)
    for number, fold in enumerate(folds.folds[1:]):
        group[[index[video] for video in fold.val]] = number
    rest = label_sums(table, dealt_rows(table)).over(group, folds.k)
    return LabelSums(
        **{
            name: np.concatenate([*(getattr(sums, name) for sums in first), values])
            for name, values in vars(rest).items()
        }
    )


def recording_amounts(
    table: LabelTable, folds: FoldFile, recording: dict[str, str]
) -> tuple[Quantities, NDArray[np.intp]]:
    """Return what each recording adds to its validation set, and which set, (G,), it is in."""
    names = {name: place for place, name in enumerate(sorted(set(recording.values())))}
    group = np.array([names[recording[v]] if v in recording else -1 for v in table.videos])
    sums = label_sums(table, dealt_rows(table)).over(group, len(names))
    sets = np.empty(len(names), np.intp)
    for number, fold in enumerate(folds.folds[1:]):
        sets[[names[recording[video]] for video in fold.val]] = number
    return quantities(sums, folds.k), sets


def _spread_table(table: LabelTable, folds: FoldFile, recording: dict[str, str]) -> str:
    """Return how unlike the validation sets are, next to sets that are dealt by chance."""
    amounts, sets = recording_amounts(table, folds, recording)
    rng = np.random.default_rng(folds.seed)
    chance = [random_sets(len(sets), folds.k, rng) for _ in range(_N_RANDOM)]
    chance.sort(key=lambda drawn: deviation(amounts, drawn, folds.k))
    rows: list[tuple[str, ...]] = []
    for name, own in (("these folds", sets), ("by chance, median", chance[_N_RANDOM // 2])):
        found = deviations(amounts, own, folds.k)
        rows.append((name, *(f"{v:.1%}" for v in found.values())))
        rows[-1] += (f"{deviation(amounts, own, folds.k):.1%}",)
    heads = ("", *deviations(amounts, sets, folds.k), "all")
    title = "how far validation sets are from alike (quadratic mean of relative differences)"
    return "\n".join([title, *text_table([heads, *rows], range(1, len(heads)))])


def _notes(table: LabelTable, folds: FoldFile, recording: dict[str, str]) -> list[str]:
    notes = []
    shared = _on_both_sides(folds.folds[0], recording)
    if shared:
        notes.append(
            f"the official split has {len(shared)} recordings on both sides: {_names(shared)}"
        )
    test = sorted(asked_frames(table, "test"))
    known = recordings([*recording, *test], folds.same)
    also = sorted({known[video] for video in test} & {known[video] for video in recording})
    if also:
        notes.append(f"{len(also)} recordings of train or val are in test too: {_names(also)}")
    sums = _sums_of_sets(table, folds)
    names = ["fold 0", *(f"fold {number}" for number in range(1, folds.k + 1))]
    for name, expression, au, total in zip(
        names, sums.expression[1:], sums.au[1:], sums.rows[1:], strict=True
    ):
        lacking = [e for e, n in zip(EXPRESSIONS, expression, strict=True) if n == 0]
        lacking += [a for a, n in zip(AUS, au, strict=True) if n == 0]
        if lacking and total:
            notes.append(f"{name} has no row of {', '.join(lacking)} to be scored on")
    return notes


def _on_both_sides(fold: FoldVideos, recording: dict[str, str]) -> list[str]:
    return sorted({recording[v] for v in fold.train} & {recording[v] for v in fold.val})


def _names(found: list[str]) -> str:
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more
