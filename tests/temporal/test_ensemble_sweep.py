"""An ensemble of a folder of runs, as a sweep leaves it."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from abaw.cli import main
from abaw.core.errors import UsageError
from abaw.temporal.ensemble import EnsembleSettings, ensemble
from abaw.temporal.ensemble_members import folds_from_text
from abaw.temporal.errors import TemporalError
from abaw.temporal.found_runs import find_runs

from .made_predictions import noisy
from .made_runs import VIDEOS, Folded, Made, write_run

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Its `runs` folder is a sweep in which a run failed and two are not finished."""
    made = Made(tmp_path_factory.mktemp("made"))
    runs = made.runs[0].parent
    (runs / "sweep.yaml").write_text("grid: {}\n")
    (runs / "failures.json").write_text(json.dumps({"z-odd": "the loss must be finite"}))
    for name, file in (
        ("y-begun", "metrics.jsonl"),
        ("z-odd", "metrics.jsonl"),
        ("x", "training.pt"),
    ):
        (runs / name).mkdir()
        (runs / name / file).touch()
    (runs / "plots").mkdir()
    return made


def test_a_sweeps_folder_stands_for_its_finished_runs_and_the_others_are_told(made, tmp_path):
    runs = made.runs[0].parent
    result = ensemble([runs], tmp_path / "sweep", made.cache)
    one_by_one = ensemble(made.runs, tmp_path / "named", made.cache)
    assert result.facts["members"] == one_by_one.facts["members"]
    assert result.facts["scores"] == one_by_one.facts["scores"]
    assert result.left_out == {
        str(runs / "z-odd"): "failed: the loss must be finite",
        str(runs / "y-begun"): "not finished: it has 0 epochs and no run.json",
        str(runs / "x"): "not finished: it has 0 epochs and no run.json",
    }
    for folder, reason in result.left_out.items():
        assert f"left out: {folder}: {reason}\n" in result.text()


def test_a_run_that_is_named_and_found_counts_once(made: Made):
    runs = made.runs[0].parent
    found = find_runs([made.runs[2], runs, runs])
    assert found.folders == (made.runs[2], *(made.runs[n] for n in (0, 1, 3)))
    assert found.listed == {runs / name for name in ("r0", "r1", "r2", "r3")}
    assert find_runs([made.runs[0], made.runs[0]]).folders == (made.runs[0],) * 2


def test_a_folder_without_finished_runs_is_refused(tmp_path: Path):
    (tmp_path / "failures.json").write_text('{"a": "no memory"}')
    with pytest.raises(TemporalError, match=r"must hold finished runs, but holds none, but 1 that"):
        find_runs([tmp_path])
    (tmp_path / "failures.json").write_text("[]")
    with pytest.raises(TemporalError, match=r"failures\.json must say which runs failed"):
        find_runs([tmp_path])


def test_a_model_of_a_sweep_that_lacks_a_fold_is_told_and_left_out(tmp_path: Path):
    folded = Folded(tmp_path / "sweep")
    (folded.runs[5] / "run.json").unlink()
    (folded.runs[5] / "metrics.jsonl").touch()
    whole = write_run(
        tmp_path / "sweep" / "whole", folded.tables[0], folded.labels, fold="all", seed=0
    )
    result = ensemble([tmp_path / "sweep"], tmp_path / "out", folded.cache)
    assert len(result.facts["members"]) == 1
    assert [run["fold"] for run in result.facts["members"][0]["runs"]] == [0, 1, 2]
    assert result.left_out == {
        str(folded.runs[5]): "not finished: it has 0 epochs and no run.json",
        str(whole): "trained on all data, so it has no validation predictions",
        str(folded.runs[3]): "its model lacks fold 2",
        str(folded.runs[4]): "its model lacks fold 2",
    }
    (folded.runs[1] / "run.json").unlink()
    with pytest.raises(TemporalError, match=r"a run of each of folds 0, 1, 2, but none has"):
        ensemble([tmp_path / "sweep"], tmp_path / "out", folded.cache)


def test_folds_can_be_chosen(tmp_path: Path):
    folded = Folded(tmp_path / "sweep")
    # Fold 0 of a real sweep has recordings that other folds have, too.
    again = noisy(folded.truth, 0.5, 3)
    rows = np.flatnonzero(np.isin(again.video, VIDEOS[-3:]))
    for number in (0, 1):
        write_run(folded.runs[3 * number], again.take(rows), folded.labels, seed=number, fold=0)
    with pytest.raises(
        TemporalError, match=r"'d' is predicted in fold 0 and in fold 2; leave fold"
    ):
        ensemble([tmp_path / "sweep"], tmp_path / "out", folded.cache)
    arguments = ["temporal-ensemble", tmp_path / "sweep", "--out", tmp_path / "out"]
    arguments += ["--cache", folded.cache, "--fold", "1-2"]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    facts = json.loads((tmp_path / "out" / "ensemble.json").read_text())
    assert [run["fold"] for run in facts["members"][0]["runs"]] == [1, 2]
    settings = EnsembleSettings(folds=frozenset({7}))
    with pytest.raises(UsageError, match="at least one run of fold 7, but none is given"):
        ensemble(folded.runs, tmp_path / "out", folded.cache, settings)


def test_a_text_of_folds_is_read():
    assert folds_from_text(None) is None
    assert folds_from_text("0") == {0}
    assert folds_from_text("1, 3-5") == {1, 3, 4, 5}
    for text in ("", "a", "1-", "-1", "1-99999999999"):
        with pytest.raises(UsageError, match="--fold takes folds like 0, 1,3 or 1-6"):
            folds_from_text(text)
