"""Scores of runs as one table, under the constant predictor."""

import json
from pathlib import Path

import pytest

from abaw.temporal.config import RunConfig
from abaw.temporal.constant import constant_scores
from abaw.temporal.errors import TemporalError
from abaw.temporal.report import score_table
from abaw.temporal.run_folder import open_labels
from abaw.temporal.score import rows_of
from abaw.temporal.train import train

from .made import write_cache

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
    assert lines[0].split() == KEYS
    assert [line.split()[0] for line in lines[1:4]] == ["constant", "face_a", "face_a+face_b"]
    labels = open_labels(cache, "labels").table
    constant = constant_scores(rows_of(labels, "train"), rows_of(labels, "val")).to_dict()
    scores = [constant, *(json.loads((run / "run.json").read_text())["scores"] for run in runs)]
    for line, one in zip(lines[1:4], scores, strict=True):
        assert line.split()[1:] == [f"{one[key]:.3f}" for key in KEYS]


def test_embeddings_of_random_weights_are_named(runs, cache: Path):
    lines = score_table(runs, cache).splitlines()
    assert lines[4].startswith("RANDOM WEIGHTS: face_b ")
    assert "random" not in score_table(runs[:1], cache).lower()


def test_runs_on_the_same_features_go_by_their_folders(runs, cache: Path):
    text = score_table([runs[0], runs[0]], cache)
    assert text.count(runs[0].name) == 2


def test_runs_on_other_labels_are_refused(runs, cache: Path, tmp_path: Path):
    other = write_cache(tmp_path / "c", seed=1)
    with pytest.raises(TemporalError, match=r"scored on the same labels.*report them apart"):
        score_table(runs, other)


def test_a_folder_without_a_run_is_refused(cache: Path, tmp_path: Path):
    with pytest.raises(TemporalError, match="must hold a finished run"):
        score_table([tmp_path], cache)
