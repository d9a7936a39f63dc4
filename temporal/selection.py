"""What a run learns from and what it is chosen by: its fold, applied to the labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cache import EmbeddingStore, LabelStore, Split
from .data.folds import fold_roles, folds_path, read_folds
from .data.join import join
from .data.join_report import JoinReport
from .data.roles import FoldRoles, asked_frames, official_roles, whole_roles
from .data.timeline import Timeline
from .errors import TemporalError
from .score import RowLabels, rows_of
from .settings.data import DataSettings


@dataclass(frozen=True, eq=False)
class Selection:
    """The rows of train, val and test in one fold."""

    labels: LabelStore
    config: DataSettings
    roles: FoldRoles
    fold_fingerprint: str | None = None
    """Of the videos of a fold above 0."""

    @property
    def has_val(self) -> bool:
        """False of fold `all`, which trains on train and val together."""
        return self.roles.fold != "all"

    def asked(self, split: Split) -> dict[str, NDArray[np.int32]]:
        """Return video -> listed frame numbers, rising."""
        return asked_frames(self.labels.table, split, self.roles)

    def rows(self, split: Split) -> RowLabels:
        """Return the annotated rows, duplicates as often as listed, in file order."""
        return rows_of(self.labels.table, split, self.roles)

    def join(
        self,
        stores: Sequence[EmbeddingStore],
        split: Split,
        *,
        asked: dict[str, NDArray[np.int32]] | None = None,
        training: bool | None = None,
    ) -> tuple[list[Timeline], JoinReport]:
        """Return the time lines of a split, as `data.join.join` does."""
        return join(stores, self.labels, split, self.config, self.roles, asked, training=training)

    def facts(self) -> dict[str, Any]:
        """Return what, besides labels and settings, decides the rows: part of a run's identity."""
        if self.fold_fingerprint is None:
            return {}
        return {"fold": {"number": self.roles.fold, "fingerprint": self.fold_fingerprint}}

    def check_same(self, facts: dict[str, Any], run: Path, cache: Path) -> None:
        """Raise TemporalError unless a run, of these facts, was trained on this very fold."""
        trained = facts.get("fold", {}).get("fingerprint")
        if trained != self.fold_fingerprint:
            path = folds_path(cache, self.config.folds)
            message = (
                f"{run} was trained on fold {self.roles.fold} with the fingerprint "
                f"{str(trained)[:12]}, but that of {path} is {str(self.fold_fingerprint)[:12]}: "
                f"other videos; give the cache that it was trained on by --cache, or train again"
            )
            raise TemporalError(message)


def select(labels: LabelStore, config: DataSettings, cache: Path) -> Selection:
    """Return the rows of a run's fold; only a fold above 0 needs a fold file.

    Args:
        labels: the labels.
        config: `fold` and `folds` are read.
        cache: folder of the fold file.

    Raises:
        TemporalError: the fold file is missing, not sound, or of other labels.
        UsageError: it has no such fold.
    """
    if config.fold == "all":
        return Selection(labels, config, whole_roles(labels.table))
    if config.fold == 0:
        return Selection(labels, config, official_roles(labels.table))
    path = folds_path(cache, config.folds)
    folds = read_folds(path, labels)
    roles = fold_roles(labels, folds, config.fold, path)
    return Selection(labels, config, roles, folds.folds[config.fold].fingerprint)
