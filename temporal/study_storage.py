"""The database of a study: opened, drawn from, and what it raises told in a sentence.

Needs Optuna, an extra. Everything in the database is numbers, texts and JSON.
"""

import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

import numpy as np

from ..core.errors import UsageError
from .errors import StudyError
from .search_space import Choice, Scalar, Space

try:
    import optuna
    from optuna.exceptions import ExperimentalWarning, StorageInternalError
    from optuna.exceptions import UpdateFinishedTrialError as FinishedError
    from optuna.trial import FrozenTrial, TrialState
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError
except ImportError as missing:
    needed = "a search needs Optuna, which is not installed; pip install 'abaw[search]'"
    raise UsageError(needed) from missing

__all__ = ["FrozenTrial", "TrialState", "optuna"]

_LOCK_SECONDS: Final = 30
"""How long a database file that another process has locked is waited for; Optuna asks for a new
trial five times."""
_OPENINGS: Final = 5


class NumberedSampler(optuna.samplers.BaseSampler):
    """TPE whose draws depend on a seed, a trial's number, and the trials before it.

    So a search that was broken off draws what it would have drawn, and two processes that share a
    study and a seed do not draw the same. Trials under way count as poor ones, lest they be drawn
    again.

    Args:
        seed: of all trials.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._sampler = self._of(0)

    def _of(self, number: int) -> Any:  # noqa: ANN401 - a sampler of Optuna, which is untyped here
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        with warnings.catch_warnings():  # both options are called experimental in older versions
            warnings.simplefilter("ignore", ExperimentalWarning)
            return optuna.samplers.TPESampler(multivariate=True, constant_liar=True, seed=seed)

    def before_trial(self, study: Any, trial: Any) -> None:  # noqa: ANN401
        """Begin a trial."""
        self._sampler = self._of(trial.number)

    def infer_relative_search_space(self, study: Any, trial: Any) -> Any:  # noqa: ANN401
        """Return the settings that are drawn together."""
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:  # noqa: ANN401
        """Draw settings together."""
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Any,  # noqa: ANN401
        trial: Any,  # noqa: ANN401
        param_name: str,
        param_distribution: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Draw one setting."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)


def draw(study: Any, trial_id: int, space: Mapping[str, Space]) -> None:  # noqa: ANN401
    """Give a trial of an Optuna study the values that it lacks, and keep them."""
    trial = optuna.trial.Trial(study, trial_id)
    for key, one in space.items():
        if isinstance(one, Choice):
            trial.suggest_categorical(key, one.values)
        elif one.is_whole:
            step = 1 if one.step is None else int(one.step)
            trial.suggest_int(key, int(one.low), int(one.high), step=step, log=one.log)
        else:
            trial.suggest_float(key, one.low, one.high, step=one.step, log=one.log)


def values_of(trial: FrozenTrial, keys: Iterable[str]) -> dict[str, Scalar]:
    """Return setting -> value of a trial, of the settings asked for.

    A database may hold others, of whoever can write to it: they are not for a run.
    """
    return {key: trial.params[key] for key in keys if key in trial.params}


def open_storage(url: str) -> Any:  # noqa: ANN401 - a storage of Optuna
    """Return the database of an URL, made if it is not there.

    Raises:
        UsageError: the URL is none, or its driver is not installed.
        StudyError: it cannot be opened, or is no database of studies.
    """
    options: dict[str, Any] = {}
    try:
        parts = make_url(url)
        if parts.get_backend_name() == "sqlite" and "timeout" not in parts.query:
            options["connect_args"] = {"timeout": _LOCK_SECONDS}
        parts.get_dialect()
    except NoSuchModuleError as error:
        message = f"{shown(url)} names a database that SQLAlchemy does not know: {error}"
        raise UsageError(message) from error
    except ArgumentError as error:
        message = (
            f"--storage takes an URL of a database, like sqlite:///study.db or "
            f"postgresql://USER@HOST/NAME, but got {shown(url)!r}"
        )
        raise UsageError(message) from error
    with study_errors(url):
        for opening in range(_OPENINGS):
            try:
                storage = optuna.storages.RDBStorage(url, engine_kwargs=options)
            except ImportError as error:
                lacking = error.__cause__ or error
                message = (
                    f"{shown(url)} needs the driver of its database, which is not installed "
                    f"({lacking}); pip install it"
                )
                raise UsageError(message) from error
            except SQLAlchemyError as error:
                # Two processes made the tables at the same time; now they are there.
                is_race = isinstance(error, IntegrityError) or "already exists" in str(error)
                if not is_race or opening == _OPENINGS - 1:
                    raise
                time.sleep(0.1 * (opening + 1))
            except RuntimeError as error:
                reason = str(error).partition(". ")[0]
                message = (
                    f"{shown(url)} must be of this version of Optuna, but is not: {reason}; give "
                    f"another --storage, or use the version that made it"
                )
                raise StudyError(message) from error
            else:
                break
    return optuna.storages.get_storage(storage)


def shown(url: str) -> str:
    """Return an URL without its password."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url


@contextmanager
def study_errors(url: str) -> Iterator[None]:
    """Turn what a database raises into a StudyError."""
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        cause = error if isinstance(error, SQLAlchemyError) else error.__cause__ or error
        reason = (str(getattr(cause, "orig", None) or cause).splitlines() or ["no reason"])[0]
        if "locked" in reason:
            what = "is locked by another process, and stayed so; end that process"
        else:
            what = f"cannot be used: {reason}; mend it, or give another --storage"
        message = (
            f"the database {shown(url)} of the study {what}, then start the search again: it goes "
            f"on, and no finished run is trained again"
        )
        raise StudyError(message) from error


def unless_finished() -> Any:  # noqa: ANN401 - a context manager
    """Pass over a change of a trial that is finished."""
    return suppress(FinishedError)
