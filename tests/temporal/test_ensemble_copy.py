"""An ensemble's folder holds all that predicting takes, and can be moved alone."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from abaw.cache import FingerprintError
from abaw.core.errors import UsageError
from abaw.temporal.data.folds import write_folds
from abaw.temporal.ensemble import EnsembleSettings, ensemble
from abaw.temporal.ensemble_file import load_ensemble
from abaw.temporal.errors import TemporalError
from abaw.temporal.predict import predict
from abaw.temporal.predictions import read_predictions
from abaw.temporal.run_folder import open_labels
from abaw.temporal.sweep import sweep
from abaw.temporal.sweep_spec import spec_of
from abaw.temporal.train import train

from .made import config, write_cache
from .made_predictions import noisy
from .made_runs import Made, write_run
from .test_user_run import MINE

pytestmark = pytest.mark.heavy

SMALL = {"projection": 8, "hidden_size": 8, "head_hidden": (8,), "epochs": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def folds(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep over two folds and two seeds."""
    out = tmp_path_factory.mktemp("folds")
    write_folds(open_labels(cache, "labels"), cache / "folds.json", 2, 0)
    spec = spec_of({**SMALL, "features": ("face_a",)}, {"fold": "1-2", "seed": "0-1"})
    sweep(spec, cache, out / "sweep", progress=False).raise_for_failures()
    return out / "sweep"


def test_a_moved_ensemble_predicts_the_same_without_its_sweep(folds: Path, cache, tmp_path: Path):
    ensemble([folds], tmp_path / "mix", cache)
    predict(tmp_path / "mix", "test", tmp_path / "before.csv", cache)
    facts = json.loads((tmp_path / "mix" / "ensemble.json").read_text())
    places = [run["folder"] for member in facts["members"] for run in member["runs"]]
    away = folds.rename(folds.with_name("away"))
    try:
        moved = (tmp_path / "mix").rename(tmp_path / "elsewhere")
        result = predict(moved, "test", tmp_path / "after.csv", cache)
    finally:
        away.rename(folds)
    assert result.n_frames > 40
    assert (tmp_path / "after.csv").read_bytes() == (tmp_path / "before.csv").read_bytes()
    assert len(places) == 4
    for place in places:
        assert {path.name for path in (moved / place).iterdir()} == {
            "run.json",
            "model.safetensors",
        }


def test_new_videos_are_predicted_by_the_models_of_all_folds(folds: Path, cache, tmp_path: Path):
    settings = EnsembleSettings("equal", smoothing="none", tune_thresholds=False)
    ensemble([folds], tmp_path / "mix", cache, settings)
    predict(tmp_path / "mix", "test", tmp_path / "mix.csv", cache)
    found = read_predictions(tmp_path / "mix.csv")
    alone = []
    for run in sorted(path.parent for path in folds.glob("*/run.json")):
        predict(run, "test", tmp_path / "one.csv", cache, is_raw=True)
        alone.append(read_predictions(tmp_path / "one.csv"))
    assert len(alone) == 4
    for name in ("valence", "arousal", "p_expression", "p_au"):
        columns = np.stack([getattr(table, name) for table in alone])
        assert columns.std(axis=0).max() > 1e-3  # the four models differ
        np.testing.assert_allclose(getattr(found, name), columns.mean(axis=0), atol=2e-6)


def test_names_are_safe_and_of_their_own_and_only_what_counts_is_copied(made: Made, tmp_path: Path):
    good, other = noisy(made.truth, 0.01), noisy(made.truth, 0.01, seed=2)
    odd = tmp_path / ("a b;$(c)+" + "ä" * 60)
    bad = made.tables[3]
    runs = [
        write_run(folder, table, made.labels, seed=seed)
        for seed, (folder, table) in enumerate(
            ((odd / "Run", good), (tmp_path / "run", other), (odd, bad))
        )
    ]
    facts = ensemble(runs, tmp_path / "out", made.cache, EnsembleSettings("greedy")).facts
    folders = [member["runs"][0]["folder"] for member in facts["members"]]
    identities = [member["runs"][0]["identity"] for member in facts["members"]]
    assert folders == [f"members/Run-{identities[0]}", f"members/run-{identities[1]}", None]
    assert {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").glob("*/*")} == {
        folder for folder in folders if folder
    }
    assert str(tmp_path) not in (tmp_path / "out" / "ensemble.json").read_text()
    named = ensemble(runs[2:], tmp_path / "out", made.cache).facts["members"][0]["runs"][0]
    assert named["folder"] == f"members/a-b-c-{named['identity']}"


def test_an_ensemble_that_is_replaced_leaves_no_copies_and_nothing_else_is_removed(made, tmp_path):
    out = tmp_path / "out"
    ensemble(made.runs[:3], out, made.cache, EnsembleSettings("equal"))
    dropped, *kept = sorted((out / "members").iterdir())
    assert [path.name[:3] for path in (dropped, *kept)] == ["r0-", "r1-", "r2-"]
    notes = dropped / "notes.txt"
    notes.write_text("mine")
    ensemble(made.runs[1:3], out, made.cache, EnsembleSettings("equal"))
    assert sorted((out / "members").iterdir()) == [dropped, *kept]
    assert list(dropped.iterdir()) == [notes]
    ensemble(made.runs[:2], out, made.cache, copy=False)
    assert list((out / "members").glob("*/*")) == [notes]
    found = [run.folder for run in load_ensemble(out).runs]
    assert found == [run.resolve() for run in made.runs[:2]]


def test_folders_that_a_file_of_someone_elses_names_are_not_removed(made: Made, tmp_path: Path):
    victim = write_run(tmp_path / "victim", made.tables[0], made.labels, seed=8)
    out = tmp_path / "out"
    out.mkdir()
    for named in ("../victim", "members/../../victim", str(victim), "members/.."):
        members = [{"runs": [{"folder": named}]}]
        (out / "ensemble.json").write_text(json.dumps({"members": members}))
        ensemble(made.runs[:2], out, made.cache)
        assert (victim / "run.json").exists()
        shutil.rmtree(out / "members")


def test_a_run_without_its_model_is_not_copied(made: Made, tmp_path: Path):
    run = write_run(tmp_path / "run", made.tables[0], made.labels, seed=9)
    (run / "model.safetensors").unlink()
    with pytest.raises(TemporalError, match=r"must hold model\.safetensors, but .*run does not"):
        ensemble([made.runs[1], run], tmp_path / "out", made.cache)
    assert not (tmp_path / "out").exists()


def test_code_is_not_copied_but_told_and_must_be_there_the_same(cache: Path, tmp_path: Path):
    code = tmp_path / "mine.py"
    code.write_text(MINE)
    settings = config(features=("face_a",), encoder=f"{code}:Mine", epochs=1)
    run = train(settings, cache, tmp_path / "run", progress=False)
    result = ensemble([run.folder], tmp_path / "mix", cache)
    known_by = run.facts["encoder_code"]
    assert f"not copied: the code of the encoder {code}:Mine ({known_by})" in result.text()
    assert not [path for path in (tmp_path / "mix").rglob("*.py*")]
    shutil.rmtree(run.folder)
    predict(tmp_path / "mix", "test", tmp_path / "test.csv", cache)
    code.write_text(MINE.replace("return self.linear", "return 2 * self.linear"))
    with pytest.raises(FingerprintError, match="bring the old code back"):
        predict(tmp_path / "mix", "test", tmp_path / "test.csv", cache)
    code.unlink()
    with pytest.raises(UsageError, match=r"the file of the encoder .*mine\.py:Mine must exist"):
        predict(tmp_path / "mix", "test", tmp_path / "test.csv", cache)
