"""A sweep trains every combination once, whatever happens to it on the way."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from abaw.cli import main
from abaw.core.errors import UsageError
from abaw.temporal.score import score_file
from abaw.temporal.sweep import sweep
from abaw.temporal.sweep_plan import plan_sweep
from abaw.temporal.sweep_spec import spec_from_file, spec_from_flags

from .made import write_cache

SMALL = {"projection": 8, "hidden_size": 8, "head_hidden": 4, "device": "cpu", "epochs": 1}
SET = [f"{key}={value}" for key, value in SMALL.items()]
NONE = dict.fromkeys(("features", "encoder", "framework", "fold", "seed"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cache(tmp_path_factory.mktemp("cache"))


def spec(**varied):
    return spec_from_flags(None, SET, NONE | {"features": "face_a"} | varied)


def test_runs_are_all_combinations_each_once():
    found = spec(features="face_a,face_b,face_a+face_b", encoder="gru,lstm", seed="0-2,1").configs()
    assert len(found) == 3 * 2 * 3
    assert {config.features for config in found} == {
        ("face_a",),
        ("face_b",),
        ("face_a", "face_b"),
    }
    assert {config.seed for config in found} == {0, 1, 2}
    assert all(config.projection == 8 for config in found)


def test_a_setting_with_bars_is_varied_and_a_graph_keeps_its_commas():
    found = spec_from_flags(
        None,
        ["epochs=1|2", "dropout=0.1"],
        NONE | {"features": "a", "framework": "se,sbe-hsf:valence>au,au>expression"},
    ).configs()
    assert {(config.framework, config.epochs, config.dropout) for config in found} == {
        (framework, epochs, 0.1)
        for framework in ("se", "sbe-hsf:valence>au,au>expression")
        for epochs in (1, 2)
    }


def test_a_file_says_the_same_as_flags(tmp_path: Path):
    path = tmp_path / "sweep.yaml"
    grid = {"features": ["face_a", "face_b"], "fold": ["0-1", "all"], "head_hidden": [[4], [8, 4]]}
    path.write_text(yaml.safe_dump({"config": "paper-gru", "fixed": {"epochs": 3}, "grid": grid}))
    found = spec_from_file(path).configs()
    assert {(c.features, c.fold, c.head_hidden) for c in found} == {
        ((name,), fold, widths)
        for name in ("face_a", "face_b")
        for fold in (0, 1, "all")
        for widths in ((4,), (8, 4))
    }
    assert {(c.epochs, c.beta1) for c in found} == {(3, 0.5)}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"gird": {}}, "holds 'gird'; did you mean grid"),
        ({"grid": {"hiden_size": [1], "features": "a"}}, "'hiden_size'; did you mean hidden_size"),
        ({"grid": {"seed": []}, "fixed": {"features": "a"}}, "seed of a sweep must have a value"),
        ({"grid": {"seed": [1]}}, "needs features"),
        ({"grid": [1]}, "must be mappings"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, values, words: str):
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(UsageError, match=words):
        spec_from_file(path)


def test_a_combination_that_cannot_be_is_named():
    with pytest.raises(UsageError, match=r"with features=a, .*hidden_size=7 cannot be: .*even"):
        spec_from_flags(None, ["hidden_size=8|7"], NONE | {"features": "a"}).configs()


@pytest.mark.heavy
def test_runs_are_done_once_and_their_scores_are_those_of_their_predictions(
    cache: Path, tmp_path: Path
):
    small = spec(encoder="gru,none", seed="0,1")
    first = sweep(small, cache, tmp_path, jobs=2, progress=False)
    assert len(first.rows) == 4
    assert not first.failures
    for name, score, seconds in first.rows:
        run = tmp_path / name
        assert score == score_file(run / "val_predictions.csv", cache / "labels").P_MTL
        assert seconds > 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("run.json")}
    again = sweep(small, cache, tmp_path, progress=False)
    assert sorted(again.rows) == sorted((name, score, 0.0) for name, score, _ in first.rows)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("run.json")} == before


@pytest.mark.heavy
def test_what_fails_is_recorded_and_the_rest_goes_on(cache: Path, tmp_path: Path):
    # The second embedding lacks frames, more than are allowed here.
    strict = spec_from_flags(
        None, [*SET, "max_missing=0.0001"], NONE | {"features": "face_a,face_b", "seed": "0,1"}
    )
    found = CliRunner().invoke(
        main,
        ["temporal-sweep", "--features", "face_a,face_b", "--seed", "0,1", "--out", str(tmp_path)]
        + [x for pair in (*SET, "max_missing=0.0001") for x in ("--set", pair)]
        + ["--cache", str(cache), "-q"],
    )
    assert found.exit_code == 1
    assert "2 runs done, 2 failed" in found.stdout
    failures = json.loads((tmp_path / "failures.json").read_text())
    assert len(failures) == 2
    assert all("face_b" in name and "lack" in text for name, text in failures.items())
    left = sweep(strict, cache, tmp_path, progress=False)
    assert (left.n_left, len(left.rows), len(left.failures)) == (2, 2, 2)
    assert "--retry tries them again" in left.text()
    retried = sweep(strict, cache, tmp_path, retry=True, progress=False)
    assert (retried.n_left, len(retried.failures)) == (0, 2)


def test_a_folder_without_a_sweep_has_nothing_to_go_on_with(cache: Path, tmp_path: Path):
    found = CliRunner().invoke(
        main, ["temporal-sweep", "--out", str(tmp_path), "--cache", str(cache)]
    )
    assert found.exit_code == 2
    assert "holds no sweep to go on with" in found.stderr


@pytest.mark.heavy
def test_the_plan_knows_what_is_done(cache: Path, tmp_path: Path):
    small = spec(seed="0,1")
    sweep(spec(seed="1"), cache, tmp_path, progress=False)
    assert [run.is_done for run in plan_sweep(small, cache, tmp_path)] == [False, True]


def test_the_same_run_asked_for_in_two_ways_is_one(cache: Path, tmp_path: Path):
    both = spec_from_flags(None, [*SET, "threads=1|2"], NONE | {"features": "face_a"})
    assert len(both.configs()) == 2
    assert len(plan_sweep(both, cache, tmp_path)) == 1


@pytest.mark.heavy
def test_tensorboard_finds_every_run_of_a_sweep(cache: Path, tmp_path: Path):
    sweep(spec(seed="0,1"), cache, tmp_path, jobs=2, progress=False)
    code = (
        "import sys\n"
        "from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer\n"
        "found = EventMultiplexer().AddRunsFromDirectory(sys.argv[1])\n"
        "found.Reload()\n"
        "for run in found.Runs():\n"
        "    value = found.Scalars(run, 'val/P_MTL')[-1]\n"
        "    print(run, value.step, value.value)\n"
    )
    text = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout
    told = {line.split()[0]: line.split()[1:] for line in text.splitlines()}
    runs = {path.parent: json.loads(path.read_text()) for path in tmp_path.rglob("run.json")}
    assert set(told) == {folder.name for folder in runs}
    for folder, facts in runs.items():
        step, value = told[folder.name]
        assert step == "1"
        assert float(value) == pytest.approx(facts["scores"]["P_MTL"], abs=1e-6)
