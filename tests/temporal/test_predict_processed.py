"""What was fitted on validation predictions is applied to others, of a run or of an ensemble."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from abaw.cli import main
from abaw.core.errors import UsageError
from abaw.temporal.ensemble import EnsembleSettings, ensemble
from abaw.temporal.ensemble_file import load_ensemble, mix
from abaw.temporal.postprocess import PostProcess
from abaw.temporal.predict import predict
from abaw.temporal.predictions import read_predictions
from abaw.temporal.run_folder import open_labels
from abaw.temporal.score import rows_of, score_table
from abaw.temporal.train import train

from .made import config, write_cache

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def runs(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    out = tmp_path_factory.mktemp("runs")
    made = [
        config(features=("face_a",), seed=1),
        config(features=("face_b",), encoder="lstm", fill="zero"),
    ]
    return [train(one, cache, out=out, progress=False).folder for one in made]


def predicted(run: Path, split: str, out: Path, cache: Path, **more):
    predict(run, split, out, cache, **more)
    return read_predictions(out)


def test_a_run_predicts_with_what_was_fitted_on_its_validation_predictions(
    runs: list[Path], cache: Path, tmp_path: Path
):
    opened = train(config(features=("face_a",), seed=1), cache, runs[0], progress=False)
    facts = opened.facts["postprocess"]
    process = PostProcess.from_dict(facts["parameters"], "run.json")
    raw = predicted(runs[0], "val", tmp_path / "raw.csv", cache, is_raw=True)
    kept = read_predictions(runs[0] / "val_predictions.csv")
    np.testing.assert_array_equal(raw.p_au, kept.p_au)
    found = predicted(runs[0], "val", tmp_path / "val.csv", cache)
    expected = process.apply(raw)
    np.testing.assert_array_equal(found.au, expected.au)
    np.testing.assert_array_equal(found.valence, expected.valence)
    assert not np.array_equal(found.au, raw.au)
    rows = rows_of(open_labels(cache, "labels").table, "val")
    scores = score_table(found, rows, "val").to_dict()
    assert scores["P_MTL"] == facts["in_sample"]["P_MTL"]
    assert facts["nested"]["P_MTL"] < facts["in_sample"]["P_MTL"]
    assert "in-sample" in opened.text()


@pytest.mark.parametrize("is_raw", [True, False])
def test_an_ensemble_of_other_features_and_encoders_predicts_like_a_run(
    runs: list[Path], cache: Path, tmp_path: Path, is_raw: bool
):
    ensemble(runs, tmp_path / "mixed", cache, EnsembleSettings("equal"))
    tables = [
        predicted(run, "test", tmp_path / f"{n}.csv", cache, is_raw=True)
        for n, run in enumerate(runs)
    ]
    found = predicted(tmp_path / "mixed", "test", tmp_path / "test.csv", cache, is_raw=is_raw)
    expected = mix(tables, load_ensemble(tmp_path / "mixed"), is_raw=is_raw)
    np.testing.assert_allclose(found.p_expression, expected.p_expression, atol=1e-6)
    np.testing.assert_array_equal(found.au, expected.au)


def test_an_ensemble_over_folds_predicts_what_none_of_its_runs_has_learnt(
    cache: Path, tmp_path: Path
):
    arguments = ["folds", "--k", "2", "--cache", str(cache)]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    made = [
        train(config(features=("face_a",), fold=k), cache, out=tmp_path / "runs", progress=False)
        for k in (1, 2)
    ]
    result = ensemble([run.folder for run in made], tmp_path / "mixed", cache)
    assert len(result.facts["members"]) == 1
    assert result.facts["nested"]["over"] == "folds"
    found = predicted(tmp_path / "mixed", "test", tmp_path / "test.csv", cache)
    assert len(found) > 0
    with pytest.raises(UsageError, match=r"no honest prediction; .*nested_predictions\.csv"):
        predict(tmp_path / "mixed", "val", tmp_path / "val.csv", cache)
