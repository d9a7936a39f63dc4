"""Processes share a study: none draws too many, and what a dead one leaves is taken up."""

import json
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import optuna
import pytest

from abaw.core.errors import UsageError
from abaw.temporal.errors import StudyError
from abaw.temporal.search_space import Choice, Range
from abaw.temporal.study import SEARCHER, SharedStudy, failed, n_counted
from abaw.temporal.study_storage import TrialState, values_of

pytestmark = pytest.mark.heavy

SPACE = {"learning_rate": Range(1e-4, 1e-1, False, log=True), "encoder": Choice(("gru", "lstm"))}
ABOUT = {"learning_rate": "0.0001 to 0.1 (log)", "encoder": "gru, lstm"}


def url(tmp_path: Path, extra: str = "") -> str:
    return f"sqlite:///{tmp_path / 'study.db'}{extra}"


@contextmanager
def opened(at: str, **options) -> Iterator[SharedStudy]:
    with closing(SharedStudy(at, "s", **options)) as study:
        study.check_about(ABOUT)
        yield study


def finish(study: SharedStudy, n: int) -> list[dict]:
    """Do trials whose value is their learning rate; return what was drawn."""
    drawn = []
    while len(drawn) < n and (trial := study.claim(SPACE, 10**6)) is not None:
        drawn.append(values_of(trial, SPACE))
        study.finish(trial, TrialState.COMPLETE, trial.params["learning_rate"])
    return drawn


def test_draws_depend_on_the_seed_and_on_nothing_else(tmp_path: Path):
    drawn = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        with opened(url(tmp_path / name), seed=seed) as study:
            drawn.append(finish(study, 7))
        with opened(url(tmp_path / name), seed=seed) as study:  # broken off and taken up
            drawn[-1] += finish(study, 7)
    assert drawn[0] == drawn[1] != drawn[2]
    assert len({str(values) for values in drawn[0]}) == 14
    assert all(1e-4 <= values["learning_rate"] <= 0.1 for values in drawn[0])


def test_two_that_share_a_study_draw_other_values_and_no_trial_too_many(tmp_path: Path):
    with opened(url(tmp_path)) as one, opened(url(tmp_path)) as two:
        found = []
        while True:
            trials = [study.claim(SPACE, 7) for study in (one, two)]
            found += [trial for trial in trials if trial is not None]
            if None in trials:
                break
        assert sorted(trial.number for trial in found) == list(range(7))
        assert len({str(trial.params) for trial in found}) == 7
        assert one.claim(SPACE, 7) is two.claim(SPACE, 7) is None
        one.finish(found[0], TrialState.COMPLETE, 1.0)
        one.finish(found[0], TrialState.FAIL, None)  # told before: nothing changes
        assert one.trials()[0].value == 1.0


def test_a_trial_drawn_at_the_same_moment_as_the_last_is_nobodys(tmp_path: Path):
    with opened(url(tmp_path)) as one, opened(url(tmp_path)) as two:
        assert one.claim(SPACE, 1) is not None
        # What `claim` does when it had counted before the other's trial was there.
        assert two._new(1) is None
        assert [trial.number for trial in two.trials()] == [0]
        assert two.claim(SPACE, 2) is not None


CLAIMING = """
import sys, time
from abaw.temporal.search_space import Choice, Range
from abaw.temporal.study import SharedStudy
space = {
    "learning_rate": Range(1e-4, 1e-1, False, log=True),
    "encoder": Choice(("gru", "lstm")),
}
study = SharedStudy(sys.argv[1], "s")
trial = study.claim(space, 3)
study.report(trial._trial_id, 1, 0.25)
study.keep(trial, {"runs": ["a"]})
print("claimed", flush=True)
time.sleep(600)
"""


@pytest.mark.heavy
def test_what_a_killed_process_leaves_is_taken_up_as_it_was(tmp_path: Path):
    with opened(url(tmp_path)) as study:
        command = [sys.executable, "-c", CLAIMING, url(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "claimed\n"
            left = study.trials()[0]
            study.put_back()
            assert study.trials()[0].state == TrialState.RUNNING  # its process is alive
            process.kill()
        found = study.claim(SPACE, 1)
        assert found is not None
        assert (found.number, found.params) == (0, left.params)
        assert found.intermediate_values == {1: 0.25}
        assert found.user_attrs["runs"] == ["a"]
        assert found.user_attrs[SEARCHER] != left.user_attrs[SEARCHER]
        assert study.claim(SPACE, 1) is None


def test_what_ends_early_in_this_process_waits_for_the_next(tmp_path: Path):
    with opened(url(tmp_path)) as study:
        begun = study.claim(SPACE, 1)
    assert begun is not None
    with opened(url(tmp_path)) as study:
        assert study.trials()[0].state == TrialState.WAITING
        found = study.claim(SPACE, 1)
        assert found is not None
        assert (found.number, found.params) == (0, begun.params)


def test_a_machine_that_cannot_be_seen_keeps_its_trial_until_it_is_taken_over(tmp_path: Path):
    with opened(url(tmp_path)) as study:
        trial = study.claim(SPACE, 1)
        assert trial is not None
        owner = json.loads(trial.user_attrs[SEARCHER]) | {"host": f"not-{socket.gethostname()}"}
        study.keep(trial, {SEARCHER: json.dumps(owner)})
        study._mine.clear()
        assert study.claim(SPACE, 1) is None
        study.put_back(unseen=True)
        taken = study.claim(SPACE, 1)
        assert taken is not None
        assert taken.number == 0


def test_a_failed_trial_is_tried_again_when_asked_and_counts_once(tmp_path: Path):
    with opened(url(tmp_path)) as study:
        first, second = (study.claim(SPACE, 2) for _ in range(2))
        assert first is not None
        assert second is not None
        study.finish(first, TrialState.FAIL, None, {"error": "it broke"})
        study.finish(second, TrialState.COMPLETE, 1.0)
        assert study.claim(SPACE, 2) is None
        study.retry()
        study.retry()  # asked twice, tried once
        again = study.claim(SPACE, 2)
        assert again is not None
        assert (again.number, again.params) == (2, first.params)
        assert study.claim(SPACE, 2) is None
        study.finish(again, TrialState.FAIL, None)
        assert [trial.number for trial in failed(study.trials())] == [2]
        assert n_counted(study.trials()) == 2


def test_a_step_told_twice_keeps_its_first_value_and_the_poor_are_pruned(tmp_path: Path):
    with opened(url(tmp_path), warmup=2) as study:
        for place in range(5):
            trial = study.claim(SPACE, 9)
            assert trial is not None
            for step in (1, 2, 3):
                assert not study.report(trial._trial_id, step, 1.0 + place / 10)
            study.finish(trial, TrialState.COMPLETE, 1.0)
        trial = study.claim(SPACE, 9)
        assert trial is not None
        assert not study.report(trial._trial_id, 1, 0.1)  # within the warm-up
        assert study.report(trial._trial_id, 2, 0.2)
        assert study.report(trial._trial_id, 1, 0.9)
        assert study.trials()[-1].intermediate_values == {1: 0.1, 2: 0.2}


def test_what_others_put_into_a_trial_besides_its_settings_is_not_for_a_run(tmp_path: Path):
    with opened(url(tmp_path)) as study:
        path = optuna.distributions.CategoricalDistribution(("file.py:Class",))
        foreign = optuna.trial.create_trial(
            state=TrialState.WAITING,
            params={"framework": "file.py:Class"},
            distributions={"framework": path},
        )
        study._study.add_trial(foreign)
        trial = study.claim(SPACE, 1)
        assert trial is not None
        assert trial.params["framework"] == "file.py:Class"
        assert set(values_of(trial, SPACE)) == set(SPACE)


def test_another_study_of_the_name_is_refused_and_says_what_differs(tmp_path: Path):
    with opened(url(tmp_path)), closing(SharedStudy(url(tmp_path), "s")) as other:
        words = "encoder is gru, lstm there and gru here; layers is left out there and 1 to 2 here"
        with pytest.raises(StudyError, match=words):
            other.check_about({**ABOUT, "encoder": "gru", "layers": "1 to 2"})
        other.check_about(ABOUT)
    for direction in ("maximize", "minimize"):
        study = optuna.create_study(
            storage=url(tmp_path), study_name=direction, direction=direction
        )
        study.add_trial(optuna.trial.create_trial(value=1.0))
        words = "not made by abaw"
        with (
            closing(SharedStudy(url(tmp_path), direction)) as other,
            pytest.raises(StudyError, match=words),
        ):
            other.check_about(ABOUT)
        study._storage._backend.engine.dispose()


@pytest.mark.parametrize(
    ("at", "kind", "words"),
    [
        ("nothing", UsageError, "takes an URL of a database"),
        ("oracel://h/d", UsageError, "oracel://h/d names a database that SQLAlchemy does not know"),
        (
            "postgresql+psycopg2://me:secret@h/d",
            UsageError,
            r"//me:\*\*\*@h/d needs the driver of its database, .*psycopg2.*pip install",
        ),
        ("sqlite:////no/such/folder/study.db", StudyError, "unable to open database file"),
    ],
)
def test_a_database_that_cannot_be_opened_is_told_in_a_sentence(at: str, kind, words: str):
    with pytest.raises(kind, match=words) as caught:
        SharedStudy(at, "s")
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_told_in_a_sentence(tmp_path: Path):
    (tmp_path / "study.db").write_bytes(b"no database" * 100)
    with pytest.raises(StudyError, match=r"study.db of the study cannot be used: .*not a database"):
        SharedStudy(url(tmp_path), "s")
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("create table studies (a)")
        other.commit()
    with pytest.raises(StudyError, match=r"other\.db of the study cannot be used: table studies"):
        SharedStudy(f"sqlite:///{tmp_path / 'other.db'}", "s")


def test_a_database_of_another_version_of_optuna_is_told_in_a_sentence(tmp_path: Path):
    with opened(url(tmp_path)):
        pass
    with closing(sqlite3.connect(tmp_path / "study.db")) as other:
        other.execute("update alembic_version set version_num = 'v3.0.0.a'")
        other.commit()
    with pytest.raises(
        StudyError, match=r"must be of this version of Optuna, but is not: .*set up by"
    ):
        SharedStudy(url(tmp_path), "s")


@contextmanager
def locked(tmp_path: Path, seconds: float) -> Iterator[None]:
    """Lock the database for some time, or for as long as the block lasts."""

    def hold() -> None:
        with closing(sqlite3.connect(tmp_path / "study.db")) as other:
            other.execute("begin exclusive")
            is_held.set()
            end.wait(seconds)
            other.rollback()

    is_held, end = threading.Event(), threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    is_held.wait()
    try:
        yield
    finally:
        end.set()
        thread.join()


@pytest.mark.heavy
def test_a_database_that_is_locked_is_waited_for(tmp_path: Path):
    with opened(url(tmp_path)) as study:
        with locked(tmp_path, 2):
            begun = time.monotonic()
            trial = study.claim(SPACE, 1)
            assert time.monotonic() - begun > 1
        assert trial is not None
        with locked(tmp_path, 2):
            study.finish(trial, TrialState.COMPLETE, 1.0)
        assert study.trials()[0].value == 1.0


@pytest.mark.heavy
def test_a_database_that_stays_locked_is_told_in_a_sentence(tmp_path: Path):
    with opened(url(tmp_path, "?timeout=0.1")) as study:
        trial = study.claim(SPACE, 2)
        assert trial is not None
        with locked(tmp_path, 60):
            for act in (
                lambda: study.claim(SPACE, 2),
                lambda: study.finish(trial, TrialState.COMPLETE, 1.0),
                lambda: study.report(trial._trial_id, 1, 1.0),
            ):
                with pytest.raises(StudyError, match="is locked by another process"):
                    act()
        study.finish(trial, TrialState.COMPLETE, 1.0)
        assert [found.value for found in study.trials()] == [1.0]


def test_what_matters_is_told_once_enough_is_known(tmp_path: Path):
    with opened(url(tmp_path)) as study:
        finish(study, 3)
        assert study.importances() == {}
        finish(study, 12)
        found = study.importances()
        assert next(iter(found)) == "learning_rate"
        assert found["learning_rate"] > 0.8
