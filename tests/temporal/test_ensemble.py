"""Ensembles of runs: what is written, what it scores and what it predicts."""

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from click.testing import CliRunner

from abaw.cli import main
from abaw.core.tasks import TASKS
from abaw.temporal.data.recordings import recording_of
from abaw.temporal.ensemble import EnsembleSettings, ensemble
from abaw.temporal.ensemble_file import is_ensemble, load_ensemble, mix
from abaw.temporal.ensemble_members import read_members
from abaw.temporal.errors import TemporalError
from abaw.temporal.mix_weights import Weighting
from abaw.temporal.mixing import ExpressionMix
from abaw.temporal.predictions import read_predictions
from abaw.temporal.score import score_table
from abaw.temporal.settings.training import Smoothing
from abaw.temporal.train import train

from .made import config, write_cache
from .made_predictions import noisy, table_from, truth_of
from .made_runs import VIDEOS, Made, assert_same, edit_run, write_labels_of, write_run

pytestmark = pytest.mark.heavy

PLAIN = EnsembleSettings("equal", smoothing="none", tune_thresholds=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"))


def test_an_ensemble_of_models_with_different_faults_beats_each(made: Made, tmp_path: Path):
    facts = ensemble(made.runs, tmp_path, made.cache).facts
    alone = [member["scores"]["P_MTL"] for member in facts["members"]]
    scores = {name: figures["P_MTL"] for name, figures in facts["scores"].items()}
    assert scores["nested"] > max(alone) + 0.2
    assert scores["in_sample"] > scores["nested"]
    assert scores["nested"] > scores["equal_nested"] > scores["equal"]
    for member, is_useless in zip(facts["members"], (False, False, False, True), strict=True):
        for task in TASKS:
            assert (member["weights"][task] < 0.1) == is_useless, (member["name"], task)


def test_scores_of_members_are_those_of_the_runs(made: Made, tmp_path: Path):
    facts = ensemble(made.runs, tmp_path, made.cache).facts
    for member, table in zip(facts["members"], made.tables, strict=True):
        assert member["scores"] == score_table(table, made.rows, "").to_dict()


@pytest.mark.parametrize("weighting", ["equal", "fitted", "greedy"])
@pytest.mark.parametrize("expression", ["mean", "vote"])
def test_the_folder_predicts_what_was_scored_in_sample(
    made: Made, tmp_path: Path, weighting: str, expression: str
):
    settings = EnsembleSettings(weighting, expression)
    facts = ensemble(made.runs, tmp_path, made.cache, settings, copy=False).facts
    assert is_ensemble(tmp_path)
    assert not is_ensemble(made.runs[0])
    loaded = load_ensemble(tmp_path)
    tables = [read_predictions(run.folder / "val_predictions.csv") for run in loaded.runs]
    found = score_table(mix(tables, loaded), made.rows, "").to_dict()
    assert found == facts["scores"]["in_sample"]
    raw = mix(tables, loaded, is_raw=True)
    assert_same(loaded.postprocess.apply(raw), mix(tables, loaded))


def test_the_nested_predictions_are_written_and_score_what_is_said(made: Made, tmp_path: Path):
    facts = ensemble(made.runs, tmp_path, made.cache).facts
    table = read_predictions(tmp_path / "nested_predictions.csv")
    assert score_table(table, made.rows, "").to_dict() == facts["scores"]["nested"]


@pytest.mark.parametrize("weighting", ["fitted", "greedy"])
def test_no_label_of_a_recording_reaches_its_nested_predictions(tmp_path: Path, weighting: str):
    made = Made(tmp_path)
    settings = EnsembleSettings(weighting)
    ensemble(made.runs, tmp_path / "before", made.cache, settings)
    own = np.array([recording_of(video) == "a" for video, _ in made.truth.keys])
    labels = made.truth.labels
    turned = replace(
        made.truth,
        labels=replace(
            labels,
            valence=np.where(own, -labels.valence, labels.valence),
            expression=np.where(own, 7 - labels.expression, labels.expression),
            au=np.where(own[:, None], 1 - labels.au, labels.au),
        ),
    )
    other = write_labels_of(tmp_path / "other", turned)
    for number, (run, table) in enumerate(zip(made.runs, made.tables, strict=True)):
        write_run(run, table, other, seed=number)
    ensemble(made.runs, tmp_path / "after", tmp_path / "other", settings)
    before, after = (
        read_predictions(tmp_path / name / "nested_predictions.csv") for name in ("before", "after")
    )
    rows = np.flatnonzero([recording_of(video) == "a" for video in before.video])
    assert 0 < len(rows) < len(before)
    assert_same(after.take(rows), before.take(rows))
    rest = np.setdiff1d(np.arange(len(before)), rows)
    assert (after.valence[rest] != before.valence[rest]).any()


@pytest.mark.heavy
def test_on_labels_that_are_noise_weights_gain_in_sample_and_not_nested(tmp_path: Path):
    gains = []
    for seed in range(6):
        truth = truth_of(seed, VIDEOS, n=30, missing=0.0)
        labels = write_labels_of(tmp_path / f"c{seed}", truth)
        rng = np.random.default_rng(seed)
        n = len(truth.keys)
        runs = []
        for number in range(8):
            table = table_from(
                truth.keys,
                rng.normal(size=(n, 2)) / 2,
                3 * rng.normal(size=(n, 8)),
                3 * rng.normal(size=(n, 12)),
            )
            runs.append(write_run(tmp_path / f"r{seed}-{number}", table, labels, seed=number))
        settings = EnsembleSettings("greedy", smoothing="none", tune_thresholds=False)
        facts = ensemble(runs, tmp_path / "out", tmp_path / f"c{seed}", settings).facts
        scores = facts["scores"]
        kinds = ("in_sample", "nested")
        gains.append([scores[name]["P_MTL"] - scores["equal"]["P_MTL"] for name in kinds])
    in_sample, nested = np.mean(gains, axis=0)
    assert in_sample > 0.15, in_sample
    assert nested < 0.05, nested


@pytest.mark.parametrize("weighting", ["equal", "fitted", "greedy"])
@pytest.mark.parametrize("expression", ["mean", "vote"])
def test_an_ensemble_of_one_run_is_that_run(
    made: Made, tmp_path: Path, weighting: str, expression: str
):
    settings = replace(PLAIN, weighting=weighting, expression=expression)
    facts = ensemble(made.runs[:1], tmp_path, made.cache, settings).facts
    alone = facts["members"][0]["scores"]
    assert all(scores == alone for scores in facts["scores"].values())
    assert_same(mix([made.tables[0]], load_ensemble(tmp_path)), made.tables[0])


def test_runs_without_weight_are_not_needed(made: Made, tmp_path: Path):
    good = noisy(made.truth, 0.01)
    wrong = replace(
        good,
        valence=-good.valence,
        arousal=-good.arousal,
        expression=7 - good.expression,
        p_expression=good.p_expression[:, ::-1],
        au=1 - good.au,
        p_au=1 - good.p_au,
    )
    runs = [
        write_run(tmp_path / str(seed), table, made.labels, seed=seed)
        for seed, table in enumerate((wrong, good, noisy(made.truth, 0.01, seed=2)))
    ]
    settings = EnsembleSettings("greedy")
    facts = ensemble(runs, tmp_path / "out", made.cache, settings, copy=False).facts
    assert set(facts["members"][0]["weights"].values()) == {0}
    loaded = load_ensemble(tmp_path / "out")
    assert [run.folder for run in loaded.runs] == [run.resolve() for run in runs[1:]]
    assert all(len(shares) == 2 for shares in loaded.weights.values())
    with pytest.raises(ValueError, match="of 2 runs mixes as many tables, not 4"):
        mix(made.tables, loaded)


def test_an_ensemble_can_be_moved_with_its_runs_and_knows_them(made: Made, tmp_path: Path):
    place = tmp_path / "one"
    runs = [
        write_run(place / "runs" / str(number), table, made.labels, seed=number)
        for number, table in enumerate(made.tables[:2])
    ]
    ensemble(runs, place / "mixed", made.cache, copy=False)
    assert str(tmp_path) not in (place / "mixed" / "ensemble.json").read_text()
    moved = tmp_path / "two"
    place.rename(moved)
    assert [run.folder.parent for run in load_ensemble(moved / "mixed").runs] == [
        (moved / "runs").resolve()
    ] * 2
    edit_run(moved / "runs" / "0", identity="00000000")
    with pytest.raises(TemporalError, match=r"holds 00000000; put the run back"):
        load_ensemble(moved / "mixed")


def test_one_recording_alone_has_the_equal_mean_as_its_nested_figure(tmp_path: Path):
    truth = truth_of(videos=("a", "a_left"), n=60)
    labels = write_labels_of(tmp_path / "c", truth)
    runs = [
        write_run(tmp_path / str(seed), noisy(truth, 0.5, seed), labels, seed=seed)
        for seed in (1, 2)
    ]
    result = ensemble(runs, tmp_path / "out", tmp_path / "c")
    assert result.facts["scores"]["nested"] == result.facts["scores"]["equal"]
    assert "one recording has annotated rows" in result.text()


def test_figures_of_tasks_that_are_not_predicted_are_left_out(made: Made, tmp_path, monkeypatch):
    affect = frozenset({"valence", "arousal"})
    found = read_members(made.runs[:2], made.cache)
    members = tuple(
        replace(member, table=replace(member.table, tasks=affect)) for member in found.members
    )
    monkeypatch.setattr(
        "abaw.temporal.ensemble.read_members", lambda *_: replace(found, members=members)
    )
    result = ensemble(made.runs[:2], tmp_path, made.cache)
    for scores in (*result.facts["scores"].values(), result.facts["members"][0]["scores"]):
        assert scores["F1_EXPR"] is scores["F1_AU"] is scores["P_MTL"] is None
        assert scores["per_expression"] == scores["per_au"] == {}
        assert scores["CCC_V"] > 0.3
    assert set(load_ensemble(tmp_path).weights) == affect


def test_the_command_prints_members_and_both_figures(made: Made, tmp_path: Path):
    arguments = ["temporal-ensemble", *map(str, made.runs), "--out", str(tmp_path)]
    arguments += ["--cache", str(made.cache), "--weights", "greedy", "--smoothing", "gaussian"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    facts = json.loads((tmp_path / "ensemble.json").read_text())
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["CCC_V", "CCC_A", "F1_EXPR", "F1_AU", "P_MTL"]
    starts = [
        *(f"face gru se s{number} " for number in range(4)),
        "equal mean ",
        "equal mean, post-processed, nested ",
        "ensemble, not post-processed, nested ",
        "ensemble, in-sample ",
        "ensemble, nested ",
    ]
    for line, start in zip(lines[1:10], starts, strict=True):
        assert line.startswith(start)
    assert lines[9].split()[-1] == f"{facts['scores']['nested']['P_MTL']:.3f}"
    assert "fitted on 4 of 5 groups of recordings" in result.stdout
    assert facts["weighting"] == "greedy"
    assert facts["postprocess"]["smoothing"] == "gaussian"


def test_the_commands_choices_are_those_that_there_are():
    options = {option.name: option for option in main.commands["temporal-ensemble"].params}
    for name, choices in (
        ("weights", Weighting),
        ("expression", ExpressionMix),
        ("smoothing", Smoothing),
    ):
        assert tuple(options[name].type.choices) == get_args(choices)


def test_an_error_is_one_line(made: Made, tmp_path: Path):
    arguments = ["temporal-ensemble", str(tmp_path), "--out", str(tmp_path / "o")]
    result = CliRunner().invoke(main, [*arguments, "--cache", str(made.cache)])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.heavy
def test_trained_runs_are_mixed(tmp_path: Path):
    cache = write_cache(tmp_path / "c")
    runs = [
        train(config(seed=seed), cache, tmp_path / str(seed), progress=False).folder
        for seed in (0, 1)
    ]
    result = ensemble(runs, tmp_path / "mixed", cache)
    for member, run in zip(result.facts["members"], runs, strict=True):
        assert member["scores"] == json.loads((run / "run.json").read_text())["scores"]
    assert result.facts["random_weights"]
    assert "RANDOM WEIGHTS" in result.text()
