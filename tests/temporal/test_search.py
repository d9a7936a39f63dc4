"""A search comes to what its runs come to, whoever shares it and whatever happens on the way."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from abaw.cli import main
from abaw.temporal.report import score_table
from abaw.temporal.score import score_file
from abaw.temporal.search import search
from abaw.temporal.search_result import SearchResult
from abaw.temporal.search_spec import SearchSpec, search_from_values
from abaw.temporal.study import SharedStudy
from abaw.temporal.study_storage import TrialState

from .made import write_cache

pytestmark = pytest.mark.heavy

SMALL = {"features": "face_a", "projection": 8, "hidden_size": 8, "head_hidden": 4, "device": "cpu"}
RATE = {"low": 1e-4, "high": 0.1, "log": True}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cache(tmp_path_factory.mktemp("cache"))


def values(search: dict, **changes) -> dict:
    fixed = SMALL | {"epochs": 1} | changes.pop("fixed", {})
    return {"fixed": fixed, "search": search} | changes


def spec(search: dict, **changes) -> SearchSpec:
    return search_from_values(values(search, **changes), Path("test"))


def command(cache: Path, out: Path, *arguments: str) -> list[str]:
    return [*arguments, "--out", str(out), "--cache", str(cache), "-q"]


def begin(cache: Path, out: Path, *arguments: str) -> subprocess.Popen:
    whole = [sys.executable, "-m", "abaw", "temporal-sweep", *command(cache, out, *arguments)]
    return subprocess.Popen(
        whole, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def written(path: Path, search: dict, **changes) -> str:
    path.write_text(yaml.safe_dump(values(search, **changes)))
    return str(path)


def study_of(out: Path, keys: list[str]) -> SearchResult:
    with closing(SharedStudy(f"sqlite:///{out / 'study.db'}", "search")) as study:
        return SearchResult.of(study, out, keys)


def scored(result: SearchResult) -> list[tuple]:
    return [(t.number, t.state, t.params, t.intermediate_values, t.value) for t in result.trials]


def times(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in out.rglob("run.json")}


def wait_for(condition, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


@pytest.mark.slow
def test_a_search_is_the_same_each_time_and_its_values_are_the_means_of_its_runs(
    cache: Path, tmp_path: Path
):
    asked = spec({"learning_rate": RATE, "layers": {"low": 1, "high": 2}}, grid={"seed": "0-1"})
    asked = SearchSpec(asked.runs, asked.space, trials=4)
    one, two = (search(asked, cache, tmp_path / name, progress=False) for name in "ab")
    assert scored(one) == scored(two)
    labels = cache / "labels"
    for trial in one.trials:
        assert trial.state == TrialState.COMPLETE
        folders = [tmp_path / "a" / name for name in trial.user_attrs["runs"]]
        scores = [score_file(folder / "val_predictions.csv", labels).P_MTL for folder in folders]
        assert trial.value == sum(scores) / 2
        for seed, folder in enumerate(folders):
            config = json.loads((folder / "run.json").read_text())["config"]
            assert (config["seed"], config["learning_rate"]) == (
                seed,
                trial.params["learning_rate"],
            )
        assert sorted(trial.intermediate_values) == [1, 2]  # an epoch of each run
        assert trial.intermediate_values[2] == pytest.approx(trial.value)
        assert f"{trial.value:.3f}" in score_table(folders, cache)
    best = yaml.safe_load((tmp_path / "a" / "best.yaml").read_text())
    assert best == SMALL | {"epochs": 1} | one.best[0].params
    assert "what the trials differ by (fANOVA): " in one.text()
    before = times(tmp_path / "a")
    more = SearchSpec(asked.runs, asked.space, trials=5)
    assert len(search(more, cache, tmp_path / "a", progress=False).trials) == 5
    assert before.items() <= times(tmp_path / "a").items()


def test_the_poor_end_early_and_leave_nothing_that_looks_like_a_run(cache: Path, tmp_path: Path):
    rates = {"choice": [0.02, 0.03, 0.04, 0.05, 0.06, 1e-7, 2e-7, 3e-7]}
    asked = spec({"learning_rate": rates}, fixed={"epochs": 4}, trials=16)
    found = search(asked, cache, tmp_path, progress=False)
    pruned = [trial for trial in found.trials if trial.state == TrialState.PRUNED]
    assert pruned
    for trial in pruned:
        assert trial.params["learning_rate"] < 1e-6
        assert max(trial.intermediate_values) < 4
        assert trial.value == trial.intermediate_values[max(trial.intermediate_values)]
        assert not (tmp_path / trial.user_attrs["runs"][0]).exists()
    folders = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    done = [trial for trial in found.trials if trial.state == TrialState.COMPLETE]
    assert folders == {trial.user_attrs["runs"][0] for trial in done}
    # The same settings were drawn again: their run was not trained again.
    again = [trial for trial in done if "same_as" in trial.user_attrs]
    assert again
    for trial in again:
        assert trial.value == found.trials[trial.user_attrs["same_as"]].value
    assert f"{len(done)} trials done, {len(pruned)} ended early" in found.text()
    whole = SearchSpec(asked.runs, asked.space, trials=7, prune=False)
    kept = search(whole, cache, tmp_path / "whole", progress=False)
    assert {trial.state for trial in kept.trials} == {TrialState.COMPLETE}


def test_settings_that_cannot_be_are_told_apart_from_failures(cache: Path, tmp_path: Path):
    asked = spec({"hidden_size": {"low": 7, "high": 10}}, trials=6)
    found = search(asked, cache, tmp_path, progress=False)
    odd = [trial for trial in found.trials if trial.params["hidden_size"] % 2]
    assert odd
    for trial in odd:
        assert trial.state == TrialState.PRUNED
        assert "hidden_size must be even" in trial.user_attrs["error"]
    assert f"{len(odd)} that cannot be" in found.text()
    found.raise_for_failures()
    assert {path.parent.name for path in times(tmp_path)} == {
        trial.user_attrs["runs"][0] for trial in found.trials if trial not in odd
    }


def test_what_fails_is_told_and_tried_again_when_asked(cache: Path, tmp_path: Path):
    path = written(
        tmp_path / "s.yaml",
        {"features": {"choice": ["face_a", "face_b"]}},
        fixed={"max_missing": 0.0001},
        trials=4,
    )
    out = tmp_path / "out"
    found = CliRunner().invoke(main, ["temporal-sweep", *command(cache, out, path)])
    assert found.exit_code == 1
    failures = [t for t in study_of(out, ["features"]).trials if t.state == TrialState.FAIL]
    assert failures
    assert {trial.params["features"] for trial in failures} == {"face_b"}
    assert all("face_b" in trial.user_attrs["error"] for trial in failures)
    assert f"{len(failures)} failed, in {out}" in found.stdout
    assert f"{len(failures)} trials of the search in {out} failed" in found.stderr
    again = CliRunner().invoke(main, ["temporal-sweep", *command(cache, out)])
    assert (again.exit_code, again.stdout) == (1, found.stdout)
    retried = CliRunner().invoke(main, ["temporal-sweep", *command(cache, out, "--retry")])
    assert f"{len(failures)} failed, in {out}" in retried.stdout
    assert len(study_of(out, ["features"]).trials) == 4 + len(failures)


@pytest.mark.slow
def test_a_killed_search_goes_on_and_does_no_finished_run_again(cache: Path, tmp_path: Path):
    path = written(
        tmp_path / "s.yaml",
        {"learning_rate": RATE},
        fixed={"epochs": 12, "save_every": 1},
        trials=4,
    )
    out = tmp_path / "out"
    process = begin(cache, out, path)
    try:
        wait_for(lambda: times(out) and list(out.rglob("training.pt")))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    done, left = times(out), study_of(out, ["learning_rate"])
    assert {trial.state for trial in left.trials} >= {TrialState.RUNNING}
    process = begin(cache, out)
    text, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    found = study_of(out, ["learning_rate"])
    assert len(found.trials) == 4
    assert done.items() <= times(out).items()
    assert [trial.params for trial in found.trials[: len(left.trials)]] == [
        trial.params for trial in left.trials
    ]
    for before, after in zip(left.trials, found.trials, strict=False):
        assert before.intermediate_values.items() <= after.intermediate_values.items()
    # What was broken off comes to what it would have come to.
    whole = search(
        search_from_values(yaml.safe_load(Path(path).read_text()), Path(path)),
        cache,
        tmp_path / "whole",
        progress=False,
    )
    assert scored(found) == scored(whole)
    assert f"{len(found.best)} trials done" in text


def test_two_processes_share_a_study_and_do_each_trial_once(cache: Path, tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    path = written(tmp_path / "s.yaml", {"learning_rate": RATE}, trials=10, storage=url)
    outs = [tmp_path / "a", tmp_path / "b"]
    processes = [begin(cache, out, path) for out in outs]
    for process in processes:
        _, errors = process.communicate(timeout=180)
        assert process.returncode == 0, errors
    with closing(SharedStudy(url, "search")) as study:
        trials = study.trials()
    assert len(trials) == 10
    assert len({str(trial.params) for trial in trials}) == 10
    for out in outs:
        mine = {
            trial.user_attrs["runs"][0]
            for trial in trials
            if trial.user_attrs["folder"] == str(out.resolve())
            and trial.state == TrialState.COMPLETE
        }
        assert mine
        assert {path.parent.name for path in times(out)} == mine
        assert (out / "best.yaml").exists()


@pytest.mark.slow
def test_a_database_that_another_process_locks_for_seconds_costs_no_run(
    cache: Path, tmp_path: Path
):
    path = written(tmp_path / "s.yaml", {"learning_rate": RATE}, fixed={"epochs": 10}, trials=3)
    out = tmp_path / "out"
    process = begin(cache, out, path)
    wait_for(lambda: list(out.rglob("metrics.jsonl")))
    with closing(sqlite3.connect(out / "study.db", timeout=30)) as other:
        other.execute("begin exclusive")
        time.sleep(4)
        other.rollback()
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    found = study_of(out, ["learning_rate"])
    assert [trial.state for trial in found.trials] == [TrialState.COMPLETE] * 3
    assert [len(trial.intermediate_values) for trial in found.trials] == [10] * 3


@pytest.mark.slow
def test_a_database_that_stays_locked_ends_the_search_and_loses_no_run(cache: Path, tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'shared.db'}?timeout=0.5"
    path = written(
        tmp_path / "s.yaml", {"learning_rate": RATE}, fixed={"epochs": 10}, trials=3, storage=url
    )
    out = tmp_path / "out"
    process = begin(cache, out, path)
    wait_for(lambda: list(out.rglob("metrics.jsonl")))
    with closing(sqlite3.connect(tmp_path / "shared.db", timeout=30)) as other:
        other.execute("begin exclusive")
        _, errors = process.communicate(timeout=60)
        other.rollback()
    assert process.returncode == 1
    assert "Error: the database sqlite:///" in errors
    assert "is locked by another process" in errors
    assert "Traceback" not in errors
    done = times(out)
    assert len(done) == 1  # it went on without the study
    process = begin(cache, out)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert done.items() <= times(out).items()
    with closing(SharedStudy(url, "search")) as study:
        assert [trial.state for trial in study.trials()] == [TrialState.COMPLETE] * 3


def test_another_search_in_a_folder_is_refused(cache: Path, tmp_path: Path):
    search(spec({"layers": {"low": 1, "high": 2}}, trials=1), cache, tmp_path, progress=False)
    kept = (tmp_path / "sweep.yaml").read_text()
    path = written(tmp_path / "s.yaml", {"layers": {"low": 1, "high": 3}}, fixed={"epochs": 2})
    found = CliRunner().invoke(main, ["temporal-sweep", *command(cache, tmp_path, path)])
    assert found.exit_code == 1
    assert "layers is 1 to 2 there and 1 to 3 here; epochs is 1 there and 2 here" in found.stderr
    assert (tmp_path / "sweep.yaml").read_text() == kept
