"""The study that the processes of a search share: its trials, and who works on which.

A trial is under way if its state is RUNNING; `SEARCHER` names the process that works on it, from
its first moment on. What is left of a process that has died is put back to WAITING with all that it
had reported, and whoever takes it goes on with it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, replace
from typing import Any, Final

from ..cache.lock import Owner
from .errors import StudyError
from .search_space import Space
from .study_storage import (
    FrozenTrial,
    NumberedSampler,
    TrialState,
    draw,
    open_storage,
    optuna,
    shown,
    study_errors,
    unless_finished,
)

SEARCHER: Final = "searcher"
RUNS: Final = "runs"
"""Attribute of a trial: the names of its runs' folders."""
FOLDER: Final = "folder"
"""Where those are, on the searcher's machine."""
ERROR: Final = "error"
SAME_AS: Final = "same_as"
"""Number of the trial that had the same runs."""
RETRY_OF: Final = "retry_of"
"""Number of the failed trial that is tried again."""
SURPLUS: Final = "surplus"
"""Whether another process had drawn the last trial at the same moment."""
_ABOUT: Final = "abaw"
"""Attribute of a study: what is compared in it."""
_STARTUP: Final = 5
"""Trials that are done before any is pruned."""
_FEWEST: Final = 4
"""Trials of different values that tell which setting matters."""

_active: set[str] = set()
"""Which searches go on in this process."""


class SharedStudy:
    """A study in a database, opened.

    Args:
        url: of the database.
        name: of the study.
        seed: draws what is tried.
        warmup: epochs before which no trial is pruned; None prunes none.

    Raises:
        UsageError: the URL is none, or its driver is not installed.
        StudyError: the database cannot be opened.
    """

    def __init__(self, url: str, name: str, *, seed: int = 0, warmup: int | None = None) -> None:
        optuna.logging.set_verbosity(optuna.logging.CRITICAL)  # what goes wrong is told by errors
        self.url, self.name = url, name
        self._me = Owner.this_process()
        self._mine: set[int] = set()
        median = optuna.pruners.MedianPruner
        pruner = optuna.pruners.NopPruner() if warmup is None else median(_STARTUP, warmup)
        self._storage = open_storage(url)
        with self._errors():
            self._study = optuna.create_study(
                storage=self._storage,
                study_name=name,
                sampler=NumberedSampler(seed),
                pruner=pruner,
                direction="maximize",
                load_if_exists=True,
            )
        self._id = self._study._study_id
        _active.add(self._me.taking)

    def close(self) -> None:
        """Let go of the database, and put back what is unfinished, as far as that can be."""
        _active.discard(self._me.taking)
        try:
            with suppress(StudyError), self._errors():  # else the next search finds us gone
                for trial_id in self._mine:
                    with unless_finished():
                        self._storage.set_trial_state_values(trial_id, TrialState.WAITING)
        finally:
            self._storage.remove_session()
            self._storage._backend.engine.dispose()

    def check_about(self, about: Mapping[str, Any]) -> None:
        """Keep what is compared in the study, or refuse it if that is something else there.

        Args:
            about: name -> what it is, as JSON takes it.

        Raises:
            StudyError: the study compares something else.
        """
        asked: dict[str, Any] = json.loads(json.dumps(about))
        with self._errors():
            found = self._study.user_attrs.get(_ABOUT)
            if found is None and not self.trials():
                self._study.set_user_attr(_ABOUT, asked)
                found = self._study.user_attrs[_ABOUT]  # of whoever was first
            is_maximised = self._study.directions == [optuna.study.StudyDirection.MAXIMIZE]
        if found == asked and is_maximised:
            return
        if not isinstance(found, dict) or not is_maximised:
            what = "it was not made by abaw"
        else:
            none = "left out"
            what = "; ".join(
                f"{key} is {found.get(key, none)} there and {asked.get(key, none)} here"
                for key in {**found, **asked}
                if found.get(key) != asked.get(key)
            )
        message = (
            f"the study {self.name!r} of {shown(self.url)} compares something else: {what}; give "
            f"another --study, or search as it does"
        )
        raise StudyError(message)

    def trials(self) -> list[FrozenTrial]:
        """Return all trials by number, but those that nobody is to work on."""
        with self._errors():
            found = self._storage.get_all_trials(self._id, deepcopy=False)
        return [trial for trial in found if SURPLUS not in trial.user_attrs]

    def claim(self, space: Mapping[str, Space], n_trials: int) -> FrozenTrial | None:
        """Return a trial that is now this process's to work on; None if there are enough.

        Args:
            space: what its values are drawn from.
            n_trials: how many the study is to have.

        Raises:
            StudyError: the database cannot be used.
        """
        self.put_back()
        with self._errors():
            trial_id = self._waiting(n_trials)
            if trial_id is None and n_counted(self.trials()) < n_trials:
                trial_id = self._new(n_trials)
            if trial_id is None:
                return None
            self._mine.add(trial_id)
            draw(self._study, trial_id, space)
            found: FrozenTrial = self._storage.get_trial(trial_id)
            return found

    def put_back(self, *, unseen: bool = False) -> None:
        """Let trials wait whose process has died.

        Args:
            unseen: those too whose process cannot be looked at from here.
        """
        for trial in self.trials():
            if trial.state != TrialState.RUNNING or trial._trial_id in self._mine:
                continue
            alive = is_alive(trial)
            if alive is False or (unseen and alive is None):
                with self._errors(), unless_finished():
                    self._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)

    def retry(self) -> None:
        """Let failed trials be tried again."""
        for trial in failed(self.trials()):
            with self._errors():
                self._study.enqueue_trial(trial.params, user_attrs={RETRY_OF: trial.number})

    def keep(self, trial: FrozenTrial, attributes: Mapping[str, Any]) -> None:
        """Keep something beside a trial, unless it is finished."""
        with self._errors(), unless_finished():
            for key, value in attributes.items():
                self._storage.set_trial_user_attr(trial._trial_id, key, value)

    def report(self, trial_id: int, step: int, value: float) -> bool:
        """Keep what a trial has come to at a step; return whether it ends here, for it is poor.

        A trial that is gone through again keeps what it told first.
        """
        with self._errors():
            trial = self._storage.get_trial(trial_id)
            if step not in trial.intermediate_values:
                with unless_finished():
                    self._storage.set_trial_intermediate_value(trial_id, step, value)
                trial = self._storage.get_trial(trial_id)
            return bool(self._study.pruner.prune(self._study, trial))

    def finish(
        self,
        trial: FrozenTrial,
        state: TrialState,
        value: float | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """Tell what became of a trial; nothing is changed if another process has told before."""
        self.keep(trial, attributes or {})
        with self._errors(), unless_finished():
            values = None if value is None else [value]
            self._storage.set_trial_state_values(trial._trial_id, state, values)
        self._mine.discard(trial._trial_id)

    def twin(self, trial: FrozenTrial, runs: Sequence[str]) -> FrozenTrial | None:
        """Return a trial that is done or under way and has the same runs, if there is one."""
        for other in self.trials():
            has_runs = other.user_attrs.get(RUNS) == list(runs)
            is_other = other.number != trial.number and other.state != TrialState.FAIL
            if has_runs and is_other and _is_begun(other):
                return other
        return None

    def importances(self) -> dict[str, float]:
        """Return setting -> its share of what trials differ by (fANOVA), the highest first.

        Empty if too few trials are done that came to different values.
        """
        done = (trial for trial in self.trials() if trial.state == TrialState.COMPLETE)
        if len({trial.value for trial in done}) < _FEWEST:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        with self._errors():
            return dict(optuna.importance.get_param_importances(self._study, evaluator=evaluator))

    def _errors(self) -> AbstractContextManager[None]:
        return study_errors(self.url)

    def _waiting(self, n_trials: int) -> int | None:
        """Take a waiting trial that was begun, or that there is room for."""
        me = json.dumps(asdict(self._me))
        for trial in self.trials():
            if trial.state != TrialState.WAITING:
                continue
            if not _is_begun(trial) and n_counted(self.trials()) >= n_trials:
                continue
            trial_id: int = trial._trial_id
            with unless_finished():
                # Named before and after, so that it is never under way by a process that is dead.
                self._storage.set_trial_user_attr(trial_id, SEARCHER, me)
                if self._storage.set_trial_state_values(trial_id, TrialState.RUNNING):
                    self._storage.set_trial_user_attr(trial_id, SEARCHER, me)
                    return trial_id
        return None

    def _new(self, n_trials: int) -> int | None:
        """Make a trial; None if other processes were quicker and there are enough."""
        attributes = {SEARCHER: json.dumps(asdict(self._me))}
        new = optuna.trial.create_trial(state=TrialState.RUNNING, user_attrs=attributes)
        trial_id: int = self._storage.create_new_trial(self._id, new)
        number = self._storage.get_trial(trial_id).number
        before = [trial for trial in self.trials() if trial.number < number]
        if n_counted(before) < n_trials:
            return trial_id
        with unless_finished():
            self._storage.set_trial_user_attr(trial_id, SURPLUS, True)
            self._storage.set_trial_state_values(trial_id, TrialState.FAIL)
        return None


def is_alive(trial: FrozenTrial) -> bool | None:
    """Return whether the process that works on a trial lives; None if that cannot be told."""
    owner = Owner.from_text(trial.user_attrs.get(SEARCHER, ""))
    if owner is None:
        return None
    if replace(owner, taking="") == replace(Owner.this_process(), taking=""):
        return owner.taking in _active
    return owner.is_alive()


def host_of(trial: FrozenTrial) -> str:
    """Return the machine that works on a trial, as it calls itself."""
    owner = Owner.from_text(trial.user_attrs.get(SEARCHER, ""))
    return owner.host if owner else "an unknown machine"


def failed(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that failed and were not tried again since."""
    trials = list(trials)
    replaced = {trial.user_attrs.get(RETRY_OF) for trial in trials}
    return [
        trial
        for trial in trials
        if trial.state == TrialState.FAIL
        and trial.number not in replaced
        and SAME_AS not in trial.user_attrs
    ]


def n_counted(trials: Iterable[FrozenTrial]) -> int:
    """Return how many trials were begun; one that was tried again counts once."""
    trials = list(trials)
    replaced = {trial.user_attrs.get(RETRY_OF) for trial in trials}
    return sum(_is_begun(trial) and trial.number not in replaced for trial in trials)


def _is_begun(trial: FrozenTrial) -> bool:
    return trial.state != TrialState.WAITING or SEARCHER in trial.user_attrs
