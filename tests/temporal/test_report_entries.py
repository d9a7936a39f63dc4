"""What a report finds in the folders it is given: runs, sweeps with failures, ensembles."""

import json
import shutil
from pathlib import Path

import pytest

from abaw.temporal.ensemble import ensemble
from abaw.temporal.errors import TemporalError
from abaw.temporal.report import score_table
from abaw.temporal.reporting.board import read_board
from abaw.temporal.score import score_file

from .made_report import Reported

pytestmark = pytest.mark.heavy


@pytest.fixture
def made(tmp_path: Path) -> Reported:
    made = Reported(tmp_path)
    made.add("good", 0.3, features="good")
    made.add("bad", 0.9, features="bad")
    return made


def test_a_sweep_is_read_with_the_runs_that_failed_or_are_not_finished(made: Reported):
    (made.folder / "failures.json").write_text(json.dumps({"lost": "the data are gone"}))
    (made.folder / "sweep.yaml").write_text("grid: {}\n")
    begun = made.folder / "begun"
    begun.mkdir()
    shutil.copy(made.folder / "good" / "metrics.jsonl", begun)
    (made.folder / "other").mkdir()  # of no run
    damaged = made.folder / "damaged"
    damaged.mkdir()
    (damaged / "run.json").write_text("{")
    text = score_table([made.folder], made.cache)
    lines = {line.split("  ")[0]: line for line in text.splitlines()}
    assert {"good", "bad", "constant"} <= set(lines)
    assert lines["lost"].endswith("failed: the data are gone")
    assert lines["begun"].endswith("not finished: it has 4 epochs and no run.json")
    assert "cannot be read" in lines["damaged"]
    assert "other" not in lines


def test_a_run_that_failed_once_and_is_done_now_is_no_failure(made: Reported):
    (made.folder / "failures.json").write_text(json.dumps({"good": "long ago"}))
    assert read_board([made.folder], made.cache).not_done == ()


def test_a_run_in_two_of_the_folders_counts_once(made: Reported):
    board = read_board([made.folder, made.folder / "good"], made.cache)
    assert [len(row.entries) for row in board.rows] == [1, 1]


def test_a_sweep_without_a_finished_run_is_refused_by_what_became_of_it(made: Reported):
    for name in ("good", "bad"):
        shutil.rmtree(made.folder / name)
    (made.folder / "failures.json").write_text(json.dumps({"lost": "the data are gone"}))
    with pytest.raises(TemporalError, match=r"needs a finished run.*lost: failed: the data are go"):
        read_board([made.folder], made.cache)


def test_a_folder_of_other_things_is_refused(made: Reported, tmp_path: Path):
    with pytest.raises(TemporalError, match="must hold a finished run"):
        read_board([made.folder, tmp_path / "features"], made.cache)


def test_an_ensemble_is_a_row_with_its_nested_figures(made: Reported):
    mix = made.folder / "mix"
    ensemble([made.folder / "good", made.folder / "bad"], mix, made.cache)
    board = read_board([made.folder], made.cache)
    (row,) = [row for row in board.rows if row.is_ensemble]
    assert row.name == "mix (ensemble)"
    for name, told in (("nested_raw", row.figure("P_MTL")), ("nested", row.processed())):
        found = score_file(mix / f"{name}_predictions.csv", made.cache / "labels.h5")
        assert told.mean == found.P_MTL


def test_the_best_of_each_measure_is_marked_and_a_single_row_is_not(made: Reported):
    text = score_table([made.folder], made.cache)
    good = next(line for line in text.splitlines() if line.startswith("good"))
    assert good.count("*") == 5
    assert "bad" in text
    assert text.count("*") == 6
    assert "*" not in score_table([made.folder / "good"], made.cache)


def test_an_ensemble_without_figures_before_post_processing_is_to_be_made_again(made: Reported):
    mix = made.folder / "mix"
    ensemble([made.folder / "good", made.folder / "bad"], mix, made.cache)
    facts = json.loads((mix / "ensemble.json").read_text())
    del facts["scores"]["nested_raw"]
    (mix / "ensemble.json").write_text(json.dumps(facts))
    with pytest.raises(TemporalError, match="make it again by abaw temporal-ensemble"):
        read_board([mix], made.cache)
