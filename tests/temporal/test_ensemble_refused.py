"""What no ensemble can be made of, or read from, and what is said then."""

import json
from pathlib import Path

import numpy as np
import pytest

from abaw.core.errors import UsageError
from abaw.temporal.ensemble import EnsembleSettings, ensemble
from abaw.temporal.ensemble_file import load_ensemble
from abaw.temporal.errors import PredictionError, TemporalError

from .made_predictions import truth_of
from .made_runs import VIDEOS, Made, write_labels_of, write_run

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"))


def test_the_same_run_twice_is_refused(made: Made, tmp_path: Path):
    again = write_run(tmp_path / "again", made.tables[0], made.labels, seed=0, threads=3)
    with pytest.raises(UsageError, match=r"r0 and .*again are the same run .*fold 0"):
        ensemble([made.runs[0], again], tmp_path / "out", made.cache)


def test_a_run_on_all_data_is_refused(made: Made, tmp_path: Path):
    whole = write_run(tmp_path / "whole", made.tables[0], made.labels, fold="all")
    with pytest.raises(UsageError, match=r"whole was trained on all data .*give runs of a fold"):
        ensemble([made.runs[0], whole], tmp_path / "out", made.cache)


def test_runs_on_other_labels_are_refused(made: Made, tmp_path: Path):
    other = write_labels_of(tmp_path / "other", truth_of(1, VIDEOS, n=80))
    run = write_run(tmp_path / "run", made.tables[0], other)
    with pytest.raises(TemporalError, match=r"scored on the same labels, but .*run was on"):
        ensemble([*made.runs, run], tmp_path / "out", made.cache)


def test_rows_that_differ_are_refused(made: Made, tmp_path: Path):
    short = made.tables[0].take(np.arange(1, len(made.tables[0])))
    run = write_run(tmp_path / "run", short, made.labels, seed=9)
    with pytest.raises(PredictionError, match=r"same frames, but .* with 1 in only one of them"):
        ensemble([made.runs[0], run], tmp_path / "out", made.cache)
    with pytest.raises(PredictionError, match="lack 1 of 560"):
        ensemble([run], tmp_path / "out", made.cache)


def test_an_unfinished_run_is_refused(made: Made, tmp_path: Path):
    with pytest.raises(TemporalError, match=r"must hold a finished run, but its run\.json"):
        ensemble([made.runs[0], tmp_path], tmp_path / "out", made.cache)
    run = write_run(tmp_path / "run", made.tables[0], made.labels)
    (run / "val_predictions.csv").unlink()
    with pytest.raises(PredictionError, match=r"val_predictions\.csv must be a readable"):
        ensemble([run], tmp_path / "out", made.cache)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_a_run_is_no_place_for_an_ensemble(made: Made):
    with pytest.raises(UsageError, match="holds a run; give another --out"):
        ensemble(made.runs, made.runs[0], made.cache)


def test_no_run_at_all_is_refused(made: Made, tmp_path: Path):
    with pytest.raises(UsageError, match="at least one run"):
        ensemble([], tmp_path, made.cache)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"weighting": "best"}, "weights of an ensemble must be equal, fitted, greedy"),
        ({"expression": "max"}, "expression of an ensemble must be mean, vote, but got 'max'"),
        ({"smoothing": "boxy"}, "smoothing of an ensemble must be none, box, gaussian, median"),
        ({"n_groups": 1}, "n_groups of an ensemble must be at least 2, but got 1"),
    ],
)
def test_settings_that_are_not_choices_are_refused(settings: dict, words: str):
    with pytest.raises(UsageError, match=words):
        EnsembleSettings(**settings)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "other"}, "must be an ensemble of format 1"),
        ({"format_version": 2}, "must be an ensemble of format 1"),
        ({"members": []}, "must hold members with weights and runs"),
        ({"members": [{"weights": {"au": 1}}]}, "must hold members with weights and runs"),
        ({"expression": "max"}, "must hold members with weights and runs"),
        ({"postprocess": {}}, "must hold smoothing, a width of each task"),
    ],
)
def test_a_broken_file_is_refused(made: Made, tmp_path: Path, change: dict, words: str):
    ensemble(made.runs[:2], tmp_path, made.cache)
    path = tmp_path / "ensemble.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(TemporalError, match=words):
        load_ensemble(tmp_path)


def test_a_folder_without_an_ensemble_is_refused(made: Made):
    with pytest.raises(TemporalError, match=r"r0 must hold an ensemble, but ensemble\.json"):
        load_ensemble(made.runs[0])
