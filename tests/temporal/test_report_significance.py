"""Rows against the best one, over recordings that are drawn whole."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from abaw.cli import main
from abaw.temporal.config import RunConfig
from abaw.temporal.errors import PredictionError
from abaw.temporal.paired_gain import holm
from abaw.temporal.predictions import write_predictions
from abaw.temporal.reporting.board import read_board
from abaw.temporal.reporting.evidence import repeats
from abaw.temporal.reporting.significance import Comparison, significance
from abaw.temporal.score import score_file, score_table
from abaw.temporal.selection import select

from .made_predictions import noisy
from .made_report import Reported, finished
from .made_runs import edit_run

pytestmark = pytest.mark.heavy


@pytest.fixture
def made(tmp_path: Path) -> Reported:
    return Reported(tmp_path)


def compared(made: Reported, **options) -> dict[str, Comparison]:
    found = significance(read_board([made.folder], made.cache), **options)
    return {one.row.name: one for one in found.comparisons}


def test_the_difference_is_that_of_the_official_measures(made: Reported):
    runs = [made.add("good", 0.3, features="good"), made.add("bad", 1.5, features="bad")]
    good, bad = (
        score_file(run / "val_predictions.csv", made.cache / "labels.h5").P_MTL for run in runs
    )
    found = compared(made)
    assert list(found) == ["good", "bad", "constant"]
    assert found["good"].value == pytest.approx(good, abs=1e-12)
    assert found["bad"].difference == pytest.approx(bad - good, abs=1e-12)


def test_predictions_count_by_video_and_frame_in_whatever_order_they_are_written(made: Reported):
    runs = [made.add("good", 0.3, features="good"), made.add("bad", 1.5, features="bad")]
    before = compared(made)
    rng = np.random.default_rng(0)
    for run in runs:
        path = run / "val_predictions.csv"
        head, *rows = path.read_text().splitlines(keepends=True)
        path.write_text("".join([head, *(rows[place] for place in rng.permutation(len(rows)))]))
    after = compared(made)
    for name, one in before.items():
        assert after[name].value == pytest.approx(one.value, abs=1e-12)
        assert after[name].p_holm == one.p_holm


def test_what_is_far_below_is_told_apart_and_what_is_alike_is_not(made: Reported):
    made.add("good", 0.3, features="good")
    made.add("alike", 0.3, features="alike", seed=1)
    made.add("bad", 1.5, features="bad")
    found = compared(made)
    best, other = sorted(["good", "alike"], key=lambda name: -found[name].value)
    assert found[best].difference is None
    assert found["bad"].high < 0
    assert found["bad"].p_holm < 0.05
    assert found[other].p_holm > 0.05
    assert found[other].low < found[other].difference <= found[other].high


def test_what_is_far_below_is_told_apart_among_many_rows_too(made: Reported):
    made.add("good", 0.1, features="good")
    for number in range(27):
        made.add(f"bad{number}", 1.5, features=f"bad{number}", seed=number)
    found = compared(made)
    assert len(found) == 29
    assert max(one.p_holm for name, one in found.items() if name.startswith("bad")) < 0.05


def test_equal_predictions_differ_by_nothing(made: Reported):
    made.add("one", 0.5, features="one")
    made.add("two", 0.5, features="two")
    two = compared(made)["two"]
    assert (two.difference, two.low, two.high, two.p) == (0, 0, 0, 1)


def test_the_same_draws_come_again_and_others_with_another_seed(made: Reported):
    made.add("good", 0.3, features="good")
    made.add("bad", 0.5, features="bad")
    first, again, other = (compared(made, seed=seed)["bad"] for seed in (0, 0, 1))
    assert (first.low, first.high, first.p) == (again.low, again.high, again.p)
    assert (first.low, first.high) != (other.low, other.high)


def test_p_is_corrected_as_holm_does(made: Reported):
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1, 1]
    for name, noise in (("a", 0.3), ("b", 0.32), ("c", 0.6)):
        made.add(name, noise, features=name)
    found = [one for one in compared(made).values() if one.p is not None]
    assert [one.p_holm for one in found] == holm([one.p for one in found])


def test_seeds_of_one_row_are_scored_each_and_their_measures_averaged(made: Reported):
    runs = [made.add(f"s{seed}", 0.5, features="face", seed=seed) for seed in (0, 1, 2)]
    scores = [
        score_file(run / "val_predictions.csv", made.cache / "labels.h5").P_MTL for run in runs
    ]
    assert compared(made)["face"].value == pytest.approx(np.mean(scores), abs=1e-12)


def test_predictions_that_are_not_those_of_the_scores_are_not_used(made: Reported):
    run = made.add("good", 0.3, features="good")
    bad = made.add("bad", 0.5, features="bad")
    write_predictions(bad / "val_predictions.csv", made.table(0.6))
    found = compared(made)
    assert found["bad"].difference is None
    assert "must be what the scores of" in found["bad"].reason
    edit_run(run, scores=compared_scores(run, 0.01))
    with pytest.raises(PredictionError, match="train the run again"):
        significance(read_board([run], made.cache))


def compared_scores(run: Path, change: float) -> dict:
    scores = json.loads((run / "run.json").read_text())["scores"]
    return scores | {"P_MTL": scores["P_MTL"] + change}


def test_one_run_twice_is_no_second_seed(made: Reported, tmp_path: Path):
    made.add("one", 0.5, features="face", threads=1)
    made.add("two", 0.5, features="face", threads=2)
    board = read_board([made.folder], made.cache)
    with pytest.raises(PredictionError, match="a run is given twice"):
        repeats(board, board.rows[0])


def test_folds_are_pooled_and_rows_of_other_folds_left_alone(made: Reported):
    arguments = ["folds", "--k", "2", "--cache", str(made.cache)]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    rows = {}
    for name, noise in (("good", 0.3), ("bad", 1.0)):
        table = noisy(made.truth, noise)
        for fold in (1, 2):
            config = RunConfig(features=name, fold=fold)
            selection = select(made.labels, config, made.cache)
            rows[fold] = selection.rows("val")
            own = table.subset({video for video, _ in rows[fold].keys})
            run = made.folder / f"{name}-{fold}"
            finished(run, own, made.labels, rows[fold], features=name, fold=fold)
            edit_run(run, **selection.facts())
    made.add("official", 1.5, features="official")
    made.add("bad-0", 1.0, features="bad")  # the official split shares recordings with the folds
    board = read_board([made.folder], made.cache)
    bad = next(row for row in board.rows if row.name == "bad")
    with pytest.raises(PredictionError, match="must have no recording in common"):
        repeats(board, bad)
    shutil.rmtree(made.folder / "bad-0")
    board = read_board([made.folder], made.cache)
    (pooled,) = repeats(board, board.best)
    both = {key for some in rows.values() for key in some.keys}
    assert set(pooled.rows.keys) == both
    score = score_table(noisy(made.truth, 0.3), pooled.rows, "all").P_MTL
    found = {one.row.name: one for one in significance(board).comparisons}
    assert found["good"].value == pytest.approx(score, abs=1e-12)
    assert found["bad"].high < 0
    assert found["official"].reason == "it was scored on other folds"
