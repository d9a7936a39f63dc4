"""Searches for the best settings: draws trials, has them trained, and tells the study of them.

The study lies in a database that several processes may share, each with this same function. Nothing
but the study and the folders of the runs says how far a search is, so one that was killed anywhere
goes on when it is started again.
"""

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from ..core.errors import AbawError, UsageError
from .config import RunConfig
from .executor import Executor, Job, Outcome, ProcessExecutor
from .fitting import EpochReport
from .metrics import figure
from .search_about import most_epochs, what_is_compared
from .search_result import SearchResult
from .search_spec import SearchSpec
from .study import ERROR, FOLDER, RUNS, SAME_AS, SharedStudy, n_counted
from .study_storage import FrozenTrial, TrialState, values_of
from .sweep import SPEC_FILE
from .train import planned
from .trial_work import TrialEnd, TrialWork, train_trial

_WARMUP_SHARE: Final = 0.25
"""Of the epochs, before which no trial is pruned: a low learning rate looks poor until then."""


def search(
    spec: SearchSpec,
    cache: Path,
    out: Path,
    *,
    jobs: int = 1,
    retry: bool = False,
    progress: bool = True,
) -> SearchResult:
    """Train trials until the study has as many as it is to have, and return what it holds then.

    Args:
        spec: what is searched for.
        cache: folder of the stores.
        out: folder of the runs.
        jobs: processes that train side by side, a trial each.
        retry: try trials again that failed, and take over those whose machine cannot be seen.
        progress: show a bar on stderr.

    Raises:
        CacheError, TemporalError: stores are missing, or labels are not as needed.
        StudyError: the study's database cannot be used, or the study compares something else.
        UsageError: the database's URL is none, or its driver is not installed.
    """
    about = what_is_compared(spec, cache)
    out.mkdir(parents=True, exist_ok=True)
    warmup = round(most_epochs(spec) * _WARMUP_SHARE) if spec.prune else None
    study = SharedStudy(spec.url(out), spec.study, seed=spec.sampler_seed, warmup=warmup)
    try:
        study.check_about(about)
        spec.write(out / SPEC_FILE)
        if retry:
            study.put_back(unseen=True)
            study.retry()
        _Search(spec, cache, out, study, warmup).run(ProcessExecutor(jobs), progress=progress)
        result = SearchResult.of(study, out, list(spec.space))
    finally:
        study.close()
    alone = {key: values[0] for key, values in spec.runs.grid.items() if len(values) == 1}
    result.write_best({**spec.runs.fixed, **alone})
    return result


class _Search:
    """The trials that this process has trained."""

    def __init__(
        self, spec: SearchSpec, cache: Path, out: Path, study: SharedStudy, warmup: int | None
    ) -> None:
        self._spec = spec
        self._cache = cache
        self._out = out
        self._study = study
        self._warmup = warmup
        self._trials: dict[str, FrozenTrial] = {}
        """Job -> the trial that is under way."""
        self._bar: Any = None

    def run(self, executor: Executor, *, progress: bool) -> None:
        """Train trials until there are enough."""
        n_trials = self._spec.trials
        with tqdm(total=n_trials, unit="trial", disable=not progress) as self._bar:
            self._show()
            with closing(executor.run(self._jobs(), self._watch)) as outcomes:
                for outcome in outcomes:
                    self._tell(outcome)
                    self._show()

    def _jobs(self) -> Iterator[Job]:
        """Yield trials to train, each drawn when there is room for it."""
        while (trial := self._study.claim(self._spec.space, self._spec.trials)) is not None:
            try:
                configs = self._spec.configs(values_of(trial, self._spec.space))
                runs = [(one, planned(one, self._cache, self._out)[0]) for one in configs]
            except UsageError as error:  # the sampler is to learn that this is no good
                self._study.finish(trial, TrialState.PRUNED, None, {ERROR: _line(error)})
                continue
            except (AbawError, OSError) as error:
                self._study.finish(trial, TrialState.FAIL, None, {ERROR: _line(error)})
                continue
            names = [folder.name for _, folder in runs]
            place = str(self._out.resolve())
            self._study.keep(trial, {RUNS: names, FOLDER: place})
            if twin := self._study.twin(trial, names):
                self._repeat(trial, twin)
                continue
            yield self._job(trial, tuple(runs))

    def _job(self, trial: FrozenTrial, runs: tuple[tuple[RunConfig, Path], ...]) -> Job:
        name = f"trial-{trial.number}"
        self._trials[name] = trial
        url = self._spec.url(self._out)
        work = TrialWork(
            url,
            self._spec.study,
            trial._trial_id,
            runs,
            self._cache,
            most_epochs(self._spec),
            self._warmup,
        )
        return Job(name, train_trial, (work,))

    def _repeat(self, trial: FrozenTrial, twin: FrozenTrial) -> None:
        """Tell of a trial what came of another that had the same runs."""
        same: dict[str, Any] = {SAME_AS: twin.number}
        if twin.state == TrialState.COMPLETE:
            self._study.finish(trial, TrialState.COMPLETE, twin.value, same)
        elif twin.state == TrialState.PRUNED:
            for step, value in sorted(twin.intermediate_values.items()):
                self._study.report(trial._trial_id, step, value)
            self._study.finish(trial, TrialState.PRUNED, twin.value, same)
        else:  # under way: nothing is known of it, and it tells the sampler nothing
            self._study.finish(trial, TrialState.FAIL, None, same)

    def _tell(self, outcome: Outcome) -> None:
        """Tell the study what became of a trial."""
        trial = self._trials.pop(outcome.job.name)
        end = outcome.value or TrialEnd("failed", error=outcome.error)
        if end.kind == "failed":
            self._study.finish(trial, TrialState.FAIL, None, {ERROR: end.error})
            tqdm.write(f"{outcome.job.name}: {end.error}", file=sys.stderr)
        else:
            state = TrialState.COMPLETE if end.kind == "done" else TrialState.PRUNED
            self._study.finish(trial, state, end.value)

    def _watch(self, name: str, told: EpochReport) -> None:
        self._bar.set_description(f"{name} epoch {told.epoch}/{told.n_epochs}")

    def _show(self) -> None:
        trials = self._study.trials()
        values = [t.value for t in trials if t.state == TrialState.COMPLETE and t.value is not None]
        self._bar.n = min(n_counted(t for t in trials if t.state.is_finished()), self._bar.total)
        self._bar.set_postfix(best=figure(max(values, default=None), 3))


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
