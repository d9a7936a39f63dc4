"""Scores of runs as one table, under the constant predictor."""

import json
import statistics
from pathlib import Path

import pytest
from click.testing import CliRunner

from abaw.cli import main
from abaw.temporal.config import RunConfig
from abaw.temporal.constant import constant_scores
from abaw.temporal.errors import TemporalError
from abaw.temporal.report import score_table
from abaw.temporal.run_folder import open_labels
from abaw.temporal.score import rows_of
from abaw.temporal.train import train

from .made import write_cache

pytestmark = pytest.mark.heavy

KEYS = ["CCC_V", "CCC_A", "F1_EXPR", "F1_AU", "P_MTL"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def runs(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    out = tmp_path_factory.mktemp("runs")
    small = {"projection": 8, "hidden_size": 8, "head_hidden": (4,), "epochs": 1, "device": "cpu"}
    return [
        train(RunConfig(features=features, **small), cache, out=out, progress=False).folder
        for features in (("face_a",), ("face_a", "face_b"))
    ]


def test_the_constant_is_the_first_row_and_every_row_a_name_and_five_numbers(runs, cache: Path):
    lines = score_table(runs, cache).splitlines()
    assert lines[0].split() == [*KEYS, "processed"]
    assert [line.split()[0] for line in lines[1:4]] == ["constant", "face_a", "face_a+face_b"]
    labels = open_labels(cache, "labels").table
    constant = constant_scores(rows_of(labels, "train"), rows_of(labels, "val")).to_dict()
    scores = [constant, *(json.loads((run / "run.json").read_text())["scores"] for run in runs)]
    for line, one in zip(lines[1:4], scores, strict=True):
        cells = [cell.strip("*") for cell in line.split()[1:]]
        assert cells[:5] == [f"{one[key]:.3f}" for key in KEYS]
    for line, run in zip(lines[1:4], (None, *runs), strict=True):
        told = json.loads((run / "run.json").read_text())["postprocess"] if run else None
        assert line.split()[6:] == ([f"{told['nested']['P_MTL']:.3f}"] if told else [])


def test_embeddings_of_random_weights_are_named(runs, cache: Path):
    lines = score_table(runs, cache).splitlines()
    assert lines[4] == "* the best of the 2 rows"
    assert lines[5].startswith("processed: ")
    assert lines[6].startswith("RANDOM WEIGHTS: face_b ")
    assert "random" not in score_table(runs[:1], cache).lower()


def trained(cache: Path, out: Path, **changes) -> Path:
    small = {"projection": 8, "hidden_size": 8, "head_hidden": (4,), "epochs": 1, "device": "cpu"}
    config = RunConfig(**({"features": ("face_a",)} | small | changes))
    return train(config, cache, out=out, progress=False).folder


def test_runs_of_other_seeds_are_one_row_with_mean_and_deviation(runs, cache: Path, tmp_path: Path):
    seeds = [runs[0], *(trained(cache, tmp_path, seed=seed) for seed in (1, 2))]
    lines = score_table([*seeds, runs[1]], cache).splitlines()
    assert lines[0].split() == ["runs", *KEYS, "processed"]
    values = [json.loads((run / "run.json").read_text())["scores"]["P_MTL"] for run in seeds]
    assert lines[2].split()[:2] == ["face_a", "3"]
    mean = f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"
    assert mean in lines[2]
    assert lines[3].split()[:2] == ["face_a+face_b", "1"]


def test_runs_on_the_same_features_go_by_encoder_or_by_their_folders(
    runs, cache: Path, tmp_path: Path
):
    other = trained(cache, tmp_path, encoder="lstm")
    lines = score_table([runs[0], other], cache).splitlines()
    assert lines[2].startswith("face_a gru se")
    assert lines[3].startswith("face_a lstm se")
    wide = trained(cache, tmp_path, hidden_size=16)
    text = score_table([runs[0], wide], cache)
    assert wide.name in text
    assert runs[0].name in text


def test_runs_of_several_folds_are_under_the_mean_constant(cache: Path, tmp_path: Path):
    assert CliRunner().invoke(main, ["folds", "--k", "2", "--cache", str(cache)]).exit_code == 0
    folds = [trained(cache, tmp_path, fold=fold) for fold in (1, 2)]
    lines = score_table(folds, cache).splitlines()
    assert lines[1].split()[0] == "constant"
    assert lines[1].count("±") == len(KEYS)
    assert lines[2].split()[:2] == ["face_a", "2"]


def test_a_run_on_all_has_no_row(cache: Path, tmp_path: Path):
    with pytest.raises(TemporalError, match=r"trained on all \(fold=all\); leave it out"):
        score_table([trained(cache, tmp_path, fold="all")], cache)


def test_runs_on_other_labels_are_refused(runs, cache: Path, tmp_path: Path):
    other = write_cache(tmp_path / "c", seed=1)
    with pytest.raises(TemporalError, match=r"scored on the same labels.*report them apart"):
        score_table(runs, other)


def test_a_folder_without_a_run_is_refused(cache: Path, tmp_path: Path):
    with pytest.raises(TemporalError, match="must hold a finished run"):
        score_table([tmp_path], cache)
