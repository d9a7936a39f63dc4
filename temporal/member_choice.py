"""Chooses the best members of an ensemble by their own scores, anew for each choice of rows.

The best of many by a score have that score partly by luck: a choice by the rows that are scored is
in-sample, as weights fitted on them are. So whoever scores a group of rows must choose on others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UsageError
from ..core.tasks import TASKS, Task
from .ensemble_members import MemberSet
from .mix_weights import Weighting, choose_weights
from .mixing import ExpressionMix, Weights, equal_weights
from .prediction_places import places_of
from .task_measure import task_measure

Mask = NDArray[np.bool_]
Places = NDArray[np.intp]

_FACTOR: Final[dict[Task, float]] = {"valence": 0.5, "arousal": 0.5, "expression": 1.0, "au": 1.0}
"""How much a task's measure counts in P_MTL."""


@dataclass(frozen=True)
class MemberChoice:
    """Which members take part, for each choice of rows; the first is of all rows."""

    found: MemberSet
    best: int | None
    """How many were asked for; None for all."""
    places: Sequence[Places]
    """For each choice of rows the places of the members that take part, rising."""
    scores: NDArray[np.float64] | None
    """(M,) mean scores of all members over all rows; None where nothing was asked for."""

    def weights(
        self, chosen: Sequence[Mask], weighting: Weighting, expression: ExpressionMix
    ) -> list[dict[Task, NDArray[np.float64]]]:
        """Return weights of all members for each choice of rows; 0 for those that take no part.

        Raises:
            PredictionError: a row has no prediction, or a table no probabilities.
        """
        tables, rows = self.found.tables, self.found.rows
        if self.best is None:
            return choose_weights(tables, rows, chosen, weighting, expression)
        result = []
        for places, is_chosen in zip(self.places, chosen, strict=True):
            own = [tables[place] for place in places]
            weights = choose_weights(own, rows, [is_chosen], weighting, expression)[0]
            result.append(self._of_all(places, weights))
        return result

    def equal_weights(self) -> list[dict[Task, NDArray[np.float64]]]:
        """Return the same weight for all that take part, for each choice of rows."""
        tables = self.found.tables
        return [
            self._of_all(places, equal_weights([tables[place] for place in places]))
            for places in self.places
        ]

    def _of_all(self, places: Places, weights: Weights) -> dict[Task, NDArray[np.float64]]:
        spread = {task: np.zeros(len(self.found.members)) for task in weights}
        for task, shares in weights.items():
            spread[task][places] = shares
        return spread

    def facts(self) -> dict[str, Any] | None:
        """Return what an ensemble's file tells of the choice; None where nothing was asked for."""
        if self.scores is None:
            return None
        members = self.found.members
        whole, *of_groups = ([members[place].name for place in places] for places in self.places)
        if len(whole) == len(members):
            note = f"best {self.best} of {len(members)} members: all take part, none was chosen"
        else:
            same = sum(names == whole for names in of_groups)
            note = (
                f"best {len(whole)} of {len(members)} members by mean P_MTL over folds: to choose "
                f"by validation scores is itself in-sample, and so are the members' own figures; "
                f"the nested figures choose anew without each group (the same members "
                f"{same} of {len(of_groups)} times)"
            )
        scores = zip(members, self.scores.tolist(), strict=True)
        return {
            "n": self.best,
            "of": len(members),
            "scores": {member.name: score for member, score in scores},
            "without_group": of_groups,
            "note": note,
        }


def choose_members(found: MemberSet, chosen: Sequence[Mask], best: int | None) -> MemberChoice:
    """Return the members that are best on each choice of rows, or all.

    A member's score is its mean over folds of P_MTL, or of its terms of the tasks (and AUs) that
    have labels. Of equals the first is taken.

    Args:
        found: M members, with R annotated rows.
        chosen: which rows count, shape (R,), for each choice.
        best: how many take part; of fewer members all do; None for all, unscored.

    Raises:
        UsageError: members predict different tasks, so their sums do not compare.
        PredictionError: a row has no prediction.
    """
    if best is None:
        return MemberChoice(found, None, [np.arange(len(found.members)) for _ in chosen], None)
    _check_tasks(found)
    order = places_of(found.tables[0], found.rows.keys, "the predictions")
    answers = [
        {task: getattr(table, task)[order] for task in TASKS if task in table.tasks}
        for table in found.tables
    ]
    fold_of = {video: fold for fold, videos in found.fold_videos.items() for video in videos}
    folds = np.array([fold_of[video] for video, _ in found.rows.keys])
    scores = [
        np.array([_mean_score(member, found, is_chosen, folds) for member in answers])
        for is_chosen in chosen
    ]
    places = [np.sort(np.argsort(-values, kind="stable")[:best]) for values in scores]
    return MemberChoice(found, best, places, scores[0])


def _mean_score(
    answers: dict[Task, Any], found: MemberSet, is_chosen: Mask, folds: NDArray[Any]
) -> float:
    per_fold = []
    for fold in np.unique(folds[is_chosen]):
        some = is_chosen & (folds == fold)
        terms = (
            (task, task_measure(task, answer, found.rows, some)) for task, answer in answers.items()
        )
        per_fold.append(sum(_FACTOR[task] * value for task, value in terms if value is not None))
    return float(np.mean(per_fold))


def _check_tasks(found: MemberSet) -> None:
    first = found.members[0]
    for member in found.members[1:]:
        if member.table.tasks != first.table.tasks:
            one, other = (
                ", ".join(task for task in TASKS if task in some.table.tasks)
                for some in (first, member)
            )
            message = (
                f"--best compares members by the sum of their tasks' measures, so all must predict "
                f"the same tasks, but {first.name} predicts {one} and {member.name} {other}; give "
                f"runs of the same tasks, or leave --best out"
            )
            raise UsageError(message)
