"""A run: the same numbers again, one best model, everything that made it saved with it."""

import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from abaw.core.errors import NameLookupError, UsageError
from abaw.core.tasks import TASKS
from abaw.temporal.config import RunConfig
from abaw.temporal.constant import constant_scores
from abaw.temporal.data.join import join
from abaw.temporal.data.standardize import fit_standardizer
from abaw.temporal.errors import TemporalError
from abaw.temporal.metrics import Scores
from abaw.temporal.predictions import read_predictions
from abaw.temporal.run_folder import open_embeddings, open_labels
from abaw.temporal.run_log import BestEpoch, choice_value
from abaw.temporal.score import rows_of, score_file
from abaw.temporal.train import train

from .made import (
    UNLABELLED,
    Row,
    annotate,
    config,
    latent_path,
    write_cache,
    write_label_store,
    write_store,
)

KEYS = ("CCC_V", "CCC_A", "F1_EXPR", "F1_AU", "P_MTL", "N")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def run(cache: Path, tmp_path_factory: pytest.TempPathFactory):
    return train(config(), cache, out=tmp_path_factory.mktemp("runs"), progress=False)


def test_the_folder_holds_all_that_made_the_run(run, cache: Path):
    names = {path.name for path in run.folder.iterdir()}
    expected = {"run.json", "model.safetensors", "metrics.jsonl", "val_predictions.csv"}
    assert expected < names
    assert any(name.startswith("events.out.tfevents") for name in names)
    facts = json.loads((run.folder / "run.json").read_text())
    assert RunConfig.from_dict(facts["config"], "run.json") == config()
    for store in open_embeddings(cache, ("face_a", "face_b")):
        assert facts["stores"][store.name]["fingerprint"] == store.fingerprint
    assert facts["labels"]["fingerprint"] == open_labels(cache, "labels").fingerprint
    assert facts["random_weights"] is True
    assert facts["join"]["train"]["missing"]["face_b"] > 0
    assert facts["made"]["versions"]["torch"] == version("torch")
    assert "RANDOM WEIGHTS" in run.text()


def test_every_epoch_is_one_line_of_strict_json(run):
    lines = (run.folder / "metrics.jsonl").read_text().splitlines()
    found = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert [line["epoch"] for line in found] == [1, 2]
    assert all(set(line["loss"]) == set(TASKS) for line in found)
    best = max(found, key=lambda line: line["val"]["P_MTL"])
    assert best["epoch"] == run.facts["best_epoch"]
    assert best["val"]["P_MTL"] == run.scores["P_MTL"]


def test_its_table_is_the_score_of_its_predictions_to_all_digits(run, cache: Path):
    predictions = run.folder / "val_predictions.csv"
    scored = score_file(predictions, cache / "labels", "val").to_dict()
    assert {key: scored[key] for key in KEYS} == {key: run.scores[key] for key in KEYS}
    rows = rows_of(open_labels(cache, "labels").table, "val")
    assert len(set(rows.keys)) == len(rows.keys) - 1, "the sample has one row twice"
    found = read_predictions(predictions)
    assert len(found) == len(set(zip(found.video, found.frame.tolist(), strict=True)))
    assert len(found) == len(set(rows.keys))


def test_the_same_config_and_seeds_give_the_same_numbers(run, cache: Path, tmp_path: Path):
    torch.manual_seed(99)
    torch.rand(3)
    again = train(config(), cache, tmp_path / "again", progress=False)
    for name in ("metrics.jsonl", "val_predictions.csv", "model.safetensors"):
        assert (again.folder / name).read_bytes() == (run.folder / name).read_bytes(), name


@pytest.mark.parametrize("key", ["seed", "data_seed"])
def test_either_seed_gives_another_run(run, cache: Path, tmp_path: Path, key: str):
    other = train(config(**{key: 1}), cache, out=tmp_path, progress=False)
    assert other.folder.name != run.folder.name
    assert (other.folder / "metrics.jsonl").read_text() != (
        run.folder / "metrics.jsonl"
    ).read_text()


def test_training_leaves_the_callers_random_numbers_and_threads_alone(cache: Path, tmp_path: Path):
    torch.manual_seed(5)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        train(config(epochs=1, threads=1), cache, out=tmp_path, progress=False)
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_finished_run_is_returned_and_not_done_again(run, cache: Path):
    before = {path: path.stat().st_mtime_ns for path in run.folder.iterdir()}
    again = train(config(), cache, out=run.folder.parent, progress=False)
    assert again.was_there
    assert again.scores == run.scores
    assert "done before" in again.text()
    assert {path: path.stat().st_mtime_ns for path in run.folder.iterdir()} == before


def test_what_a_run_left_without_its_state_is_done_again(run, cache: Path, tmp_path: Path):
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "metrics.jsonl").write_text('{"epoch": 1}\n')
    (folder / "events.out.tfevents.1.old").write_bytes(b"")
    whole = train(config(), cache, folder, progress=False)
    assert not whole.was_there
    assert (folder / "metrics.jsonl").read_bytes() == (run.folder / "metrics.jsonl").read_bytes()
    assert not (folder / "events.out.tfevents.1.old").exists()


def test_another_run_in_the_folder_is_not_overwritten(run, cache: Path):
    with pytest.raises(UsageError, match=r"holds another run .*settings or data differ"):
        train(config(seed=7), cache, run.folder, progress=False)


def test_changed_frames_are_another_run(run, tmp_path: Path):
    other = train(
        config(epochs=1), write_cache(tmp_path / "c", seed=1), out=tmp_path, progress=False
    )
    assert other.folder.name != run.folder.name


def test_the_name_tells_features_encoder_framework_and_seed(run):
    assert run.folder.name.startswith("face_a+face_b-gru-se-s0-")


def test_the_checkpoint_holds_the_standardisation(run, cache: Path):
    tensors = load_file(run.folder / "model.safetensors")
    stores = open_embeddings(cache, ("face_a", "face_b"))
    lines, _ = join(stores, open_labels(cache, "labels"), "train", config())
    standardizer = fit_standardizer(lines)
    np.testing.assert_array_equal(tensors["standardizer.mean"].numpy(), standardizer.mean)
    np.testing.assert_array_equal(tensors["standardizer.scale"].numpy(), standardizer.scale)


@pytest.mark.heavy
def test_a_network_learns_what_the_features_show(tmp_path: Path):
    cache = write_cache(tmp_path / "c", n_train=30, n_val=10)
    result = train(
        config(features=("face_a",), projection=64, hidden_size=64, epochs=40),
        cache,
        out=tmp_path,
        progress=False,
    )
    labels = open_labels(cache, "labels")
    constant = constant_scores(
        rows_of(labels.table, "train"), rows_of(labels.table, "val")
    ).to_dict()
    for key, gain in (("CCC_V", 0.3), ("CCC_A", 0.3), ("F1_EXPR", 0.1), ("F1_AU", 0.05)):
        assert result.scores[key] > constant[key] + gain, key


@pytest.mark.parametrize("fill", ["hold", "zero", "drop"])
def test_every_fill_rule_gives_every_asked_frame_a_prediction(
    cache: Path, tmp_path: Path, fill: str
):
    result = train(config(fill=fill, epochs=1), cache, out=tmp_path, progress=False)
    assert result.scores["P_MTL"] is not None


def one_video(folder: Path, hide: slice | None = None, frames: int = 30) -> Path:
    """A cache of one training and one validation video; `hide` columns are not annotated."""
    rng = np.random.default_rng(0)
    rows, faces = {}, {}
    for split in ("train", "val"):
        latent = latent_path(rng, frames)
        values = annotate(latent)
        if hide is not None:
            values[:, hide] = np.array(UNLABELLED)[hide]
        rows[split] = [Row(split, n + 1, v) for n, v in enumerate(values)]
        faces[split] = range(1, frames + 1), latent
    write_store(folder / "face_a.h5", faces)
    write_label_store(folder, **rows)
    return folder


@pytest.mark.parametrize(
    ("hide", "missing", "keys"),
    [
        (slice(0, 1), "valence", ("CCC_V", "CCC_A")),
        (slice(2, 3), "expression", ("F1_EXPR",)),
        (slice(3, 15), "au", ("F1_AU",)),
    ],
)
def test_a_task_without_any_label_costs_nothing_and_scores_nothing(
    tmp_path: Path, hide, missing, keys
):
    result = train(
        config(features=("face_a",)), one_video(tmp_path, hide), out=tmp_path, progress=False
    )
    lines = [
        json.loads(line) for line in (result.folder / "metrics.jsonl").read_text().splitlines()
    ]
    assert all(missing not in line["loss"] for line in lines)
    assert missing not in result.facts["tasks"]
    for key in (*keys, "P_MTL"):
        assert result.scores[key] is None
    assert "P_MTL n/a" in result.text()


def test_a_video_of_one_frame_trains(tmp_path: Path):
    result = train(
        config(features=("face_a",)), one_video(tmp_path, frames=1), out=tmp_path, progress=False
    )
    assert result.scores["CCC_V"] == 0.0
    assert result.scores["N"] == {"VA": 1, "EXPR": 1, "AU": 1}


def test_the_best_epoch_is_kept_even_if_it_is_below_0_and_not_the_last():
    best = BestEpoch(TASKS, patience=2)
    values = (-0.4, -0.1, 0.3, 0.2, 0.3)
    scored = [Scores(value, value, 0.0, 0.0, {}, {}, {}) for value in values]
    found = [best.improves(n, scores) for n, scores in enumerate(scored)]
    assert found == [True, True, True, False, False]
    assert (best.epoch, best.value) == (2, 0.3)
    assert not best.is_over(3)
    assert best.is_over(4)


def test_a_checkpoint_is_chosen_by_the_trained_tasks():
    scores = Scores(0.4, 0.2, 0.3, 0.5, {}, {}, {"AU1": 0.5})
    assert choice_value(scores, frozenset(TASKS)) == pytest.approx(scores.P_MTL)
    assert choice_value(scores, frozenset({"arousal", "expression"})) == pytest.approx(0.1 + 0.3)
    partial = replace(scores, CCC_V=None, CCC_A=None, F1_AU=None)
    assert choice_value(partial, frozenset(TASKS)) == pytest.approx(0.3 + 0.5)


def test_a_split_without_validation_labels_is_refused_before_training(tmp_path: Path):
    cache = one_video(tmp_path)
    write_label_store(cache, train=[Row("train", 1, annotate(np.zeros((1, 6)))[0])])
    with pytest.raises(TemporalError, match=r"needs validation labels .*none among its 0 .*rows"):
        train(config(features=("face_a",)), cache, tmp_path / "r", progress=False)
    assert not (tmp_path / "r").exists()


def test_training_labels_that_are_all_missing_are_refused(tmp_path: Path):
    cache = one_video(tmp_path, slice(0, 15))
    with pytest.raises(TemporalError, match="needs labelled frames"):
        train(config(features=("face_a",)), cache, out=tmp_path, progress=False)


def test_too_many_missing_frames_are_refused_unless_allowed(cache: Path, tmp_path: Path):
    strict = config(max_missing=0.001)
    with pytest.raises(
        TemporalError, match=r"at most 0.1% of the labelled frames .*of the train split"
    ):
        train(strict, cache, out=tmp_path, progress=False)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"encoder": "gruu"}, NameLookupError, "did you mean gru"),
        ({"framework": "sea"}, NameLookupError, "did you mean se"),
        ({"device": "gpu"}, UsageError, "'gpu'"),
    ],
)
def test_a_wrong_name_is_refused_before_any_data_are_read(tmp_path: Path, changes, error, words):
    with pytest.raises(error, match=words):
        train(config(**changes), tmp_path / "no-cache", out=tmp_path, progress=False)


def test_features_that_are_labels_are_refused(cache: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="'labels'"):
        train(config(features=("labels",)), cache, out=tmp_path, progress=False)
    with pytest.raises(TemporalError, match="must hold labels, but holds embeddings"):
        train(config(labels="face_a"), cache, out=tmp_path, progress=False)
