"""An ensemble of the best members: the choice is in-sample, and the nested figure makes it anew."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from abaw.cli import main
from abaw.core.errors import UsageError
from abaw.temporal.data.recordings import recording_of
from abaw.temporal.ensemble import EnsembleSettings, ensemble
from abaw.temporal.ensemble_members import read_members
from abaw.temporal.member_choice import choose_members
from abaw.temporal.mixing import equal_weights, mix_tables
from abaw.temporal.predictions import PredictionTable, read_predictions
from abaw.temporal.score import score_table

from .made_predictions import noisy, rows_where, table_from, truth_of
from .made_runs import VIDEOS, Folded, Made, assert_same, write_labels_of, write_run

pytestmark = pytest.mark.heavy

PLAIN = EnsembleSettings("equal", smoothing="none", tune_thresholds=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"))


def test_the_best_by_their_own_p_mtl_take_part(made: Made, tmp_path: Path):
    alone = [score_table(table, made.rows, "").P_MTL for table in made.tables]
    result = ensemble(made.runs, tmp_path, made.cache, EnsembleSettings(best=2))
    best = sorted(np.argsort(alone)[-2:].tolist())
    assert [member["name"][-2:] for member in result.facts["members"]] == [f"s{n}" for n in best]
    found = result.facts["best"]
    assert (found["n"], found["of"]) == (2, 4)
    assert list(found["scores"].values()) == pytest.approx(alone, abs=1e-12)
    mean = mix_tables(made.tables, equal_weights(made.tables))  # of all four, without a choice
    assert result.facts["scores"]["equal"] == score_table(mean, made.rows, "").to_dict()
    assert "best 2 of 4 members" in result.text()
    assert "is itself in-sample" in result.text()
    assert "equal mean of all 4 " in result.text()


def test_over_folds_the_mean_counts(tmp_path: Path):
    folded = Folded(tmp_path)
    found = read_members(folded.runs, folded.cache)
    everything = np.ones(len(found.rows.keys), bool)
    own = [
        np.array([key[0] in videos for key in found.rows.keys]) for videos in folded.parts.values()
    ]
    expected = [
        [score_table(member.table, rows_where(found.rows, some), "").P_MTL for some in own]
        for member in found.members
    ]
    for is_chosen, folds in ((everything, [0, 1, 2]), (~own[1], [0, 2])):
        choice = choose_members(found, [is_chosen], 1)
        means = np.array(expected)[:, folds].mean(axis=1)
        np.testing.assert_allclose(choice.scores, means, atol=1e-12)
        assert choice.places[0].tolist() == [int(np.argmax(means))]


def _parts(first: PredictionTable, second: PredictionTable, is_second) -> PredictionTable:
    """One table with the rows of another where they are chosen."""

    def mixed(name: str) -> np.ndarray:
        one, other = getattr(first, name), getattr(second, name)
        return np.where(is_second.reshape(-1, *[1] * (one.ndim - 1)), other, one)

    names = ("valence", "arousal", "expression", "au", "p_expression", "p_au")
    return replace(first, **{name: mixed(name) for name in names})


@pytest.mark.parametrize("weighting", ["equal", "fitted", "greedy"])
def test_nested_predictions_are_of_members_chosen_on_other_recordings(tmp_path: Path, weighting):
    """One member is best by what it says of recording `a` alone: that must not choose it there."""
    truth = truth_of(videos=VIDEOS, n=80, missing=0.0)
    labels = write_labels_of(tmp_path / "c", truth)
    good, fair, bad = noisy(truth, 0.4, 1), noisy(truth, 0.45, 2), noisy(truth, 5.0, 3)
    is_a = np.array([recording_of(video) == "a" for video in good.video])
    tables = [_parts(good, bad, is_a), fair]
    runs = [
        write_run(tmp_path / str(seed), table, labels, seed=seed)
        for seed, table in enumerate(tables)
    ]
    settings = replace(PLAIN, weighting=weighting, best=1)
    facts = ensemble(runs, tmp_path / "out", tmp_path / "c", settings).facts
    assert [member["name"][-2:] for member in facts["members"]] == ["s1"]
    nested = read_predictions(tmp_path / "out" / "nested_predictions.csv")
    rows = np.flatnonzero([recording_of(video) == "a" for video in nested.video])
    assert_same(nested.take(rows), read_predictions(runs[0] / "val_predictions.csv").take(rows))
    assert [names[0][-2:] for names in facts["best"]["without_group"]].count("s0") == 1
    assert facts["scores"]["nested"]["P_MTL"] < facts["scores"]["in_sample"]["P_MTL"] - 0.1


def test_the_best_of_many_that_are_noise_gain_in_sample_and_not_nested(tmp_path: Path):
    gains = []
    for seed in range(6):
        truth = truth_of(seed, VIDEOS, n=30, missing=0.0)
        labels = write_labels_of(tmp_path / f"c{seed}", truth)
        rng = np.random.default_rng(seed)
        n = len(truth.keys)
        runs = [
            write_run(
                tmp_path / f"r{seed}-{number}",
                table_from(
                    truth.keys,
                    rng.normal(size=(n, 2)) / 2,
                    3 * rng.normal(size=(n, 8)),
                    3 * rng.normal(size=(n, 12)),
                ),
                labels,
                seed=number,
            )
            for number in range(12)
        ]
        settings = replace(PLAIN, best=1)
        scores = ensemble(runs, tmp_path / "out", tmp_path / f"c{seed}", settings).facts["scores"]
        tables = [read_predictions(run / "val_predictions.csv") for run in runs]
        mean = np.mean([score_table(table, truth, "").P_MTL for table in tables])
        gains.append([scores[name]["P_MTL"] - mean for name in ("in_sample", "nested")])
    in_sample, nested = np.mean(gains, axis=0)
    assert in_sample > 0.06, in_sample
    assert nested < 0.03, nested


def test_more_than_there_are_is_all_and_said(made: Made, tmp_path: Path):
    result = ensemble(made.runs, tmp_path / "9", made.cache, EnsembleSettings(best=9))
    every = ensemble(made.runs, tmp_path / "all", made.cache)
    assert result.facts["scores"] == every.facts["scores"]
    assert result.facts["members"] == every.facts["members"]
    assert "best 9 of 4 members: all take part" in result.text()


def test_members_of_different_tasks_have_no_best(made: Made):
    found = read_members(made.runs[:2], made.cache)
    one, other = found.members
    affect = replace(other, table=replace(other.table, tasks=frozenset({"valence", "arousal"})))
    everything = np.ones(len(found.rows.keys), bool)
    with pytest.raises(UsageError, match=r"must predict the same tasks, but face gru se s0 pred"):
        choose_members(replace(found, members=(one, affect)), [everything], 1)
    with pytest.raises(UsageError, match="best of an ensemble must be at least 1, but got 0"):
        EnsembleSettings(best=0)


@pytest.mark.parametrize("more", [(), ("--best", "2", "--weights", "greedy")])
def test_abaw_score_gives_both_figures_from_the_written_files(made: Made, tmp_path: Path, more):
    arguments = ["temporal-ensemble", *made.runs, "--out", tmp_path, "--cache", made.cache, *more]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    facts = json.loads((tmp_path / "ensemble.json").read_text())
    for name in ("in_sample", "nested"):
        path = tmp_path / f"{name}_predictions.csv"
        scored = CliRunner().invoke(
            main, ["score", str(path), "--cache", str(made.cache), "--json"]
        )
        assert json.loads(scored.stdout) == facts["scores"][name]
    assert facts["scores"]["in_sample"] != facts["scores"]["nested"]
