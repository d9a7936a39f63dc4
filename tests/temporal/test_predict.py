"""A finished run predicts every frame that is asked for."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from abaw.cache import FingerprintError
from abaw.core.errors import UsageError
from abaw.core.tasks import TASKS
from abaw.temporal import inference
from abaw.temporal.config import RunConfig
from abaw.temporal.data.annotations import write_annotations
from abaw.temporal.data.dataset import Segment, SequenceDataset
from abaw.temporal.data.features import FeatureMaker
from abaw.temporal.data.join import join
from abaw.temporal.data.segments import windows
from abaw.temporal.errors import AnnotationError, TemporalError
from abaw.temporal.inference import predict_sequences
from abaw.temporal.nets.build import build_network
from abaw.temporal.predict import predict
from abaw.temporal.predictions import read_predictions
from abaw.temporal.run_folder import load_model, open_embeddings, open_labels
from abaw.temporal.train import train

from .made import Row, annotate, write_cache, write_label_store, write_store

pytestmark = pytest.mark.heavy


def small(**changes) -> RunConfig:
    settings = {
        "features": ("face_a", "face_b"),
        "projection": 8,
        "hidden_size": 8,
        "head_hidden": (4,),
        "epochs": 1,
        "device": "cpu",
    }
    return RunConfig(**(settings | changes))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def run(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(small(), cache, out=tmp_path_factory.mktemp("runs"), progress=False).folder


def asked_of(cache: Path, split: str) -> list[tuple[str, int]]:
    labels = open_labels(cache, "labels")
    return [
        (video, int(frame)) for video in labels.videos_of(split) for frame in labels[video].frame
    ]


def test_the_validation_split_gets_the_predictions_of_the_trainer(
    run: Path, cache: Path, tmp_path: Path
):
    result = predict(run, "val", tmp_path / "val.csv", cache, is_raw=True)
    assert result.path.read_bytes() == (run / "val_predictions.csv").read_bytes()
    assert f"{result.n_frames} predictions" in result.text()


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_every_listed_frame_gets_one_row_with_or_without_a_crop(
    run: Path, cache: Path, tmp_path: Path, split: str
):
    table = read_predictions(predict(run, split, tmp_path / "out.csv", cache, is_raw=True).path)
    assert list(zip(table.video, table.frame.tolist(), strict=True)) == asked_of(cache, split)
    np.testing.assert_allclose(table.p_expression.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(table.expression, table.p_expression.argmax(axis=1))
    np.testing.assert_array_equal(table.au, table.p_au >= 0.5)
    assert np.abs(table.valence).max() <= 1


def test_a_list_asks_for_other_frames_than_the_labels_do(run: Path, cache: Path, tmp_path: Path):
    video = open_labels(cache, "labels").videos_of("test")[0]
    listed = tmp_path / "list.txt"
    names = [f"{video}/00003.jpg", f"{video}/00003.jpg", f"{video}/00900.jpg", "unseen/00001.jpg"]
    write_annotations(listed, names, None)
    table = read_predictions(predict(run, "test", tmp_path / "o.csv", cache, listed).path)
    rows = list(zip(table.video, table.frame.tolist(), strict=True))
    assert rows == [(video, 3), (video, 900), ("unseen", 1)]


def test_a_frame_that_was_dropped_gets_the_prediction_of_the_nearest(tmp_path: Path):
    rng = np.random.default_rng(0)
    values = annotate(rng.normal(size=(9, 6)))
    frames = np.array([2, 3, 4, 5, 8])
    faces = {name: (frames, rng.normal(size=(5, 4))) for name in ("t", "v")}
    cache = tmp_path / "c"
    write_store(cache / "a.h5", faces)
    rows = {
        split: [Row(video, n + 1, v) for n, v in enumerate(values)]
        for split, video in (("train", "t"), ("val", "v"))
    }
    write_label_store(cache, **rows)
    config = small(features=("a",), fill="drop", max_missing=1.0)
    folder = train(config, cache, tmp_path / "run", progress=False).folder
    table = read_predictions(folder / "val_predictions.csv")
    assert table.frame.tolist() == list(range(1, 10))
    source = [2, 2, 3, 4, 5, 5, 8, 8, 8]
    for frame, from_frame in zip(table.frame, source, strict=True):
        assert table.valence[frame - 1] == table.valence[from_frame - 1]
    assert len(set(table.valence.tolist())) == 5


WAYS = {
    "windows": {"segment_length": 8, "stride": 8, "overlap": 0.5},
    "onward": {"bidirectional": False},
}


@pytest.mark.parametrize("way", WAYS)
def test_predictions_do_not_depend_on_what_else_is_predicted(run: Path, cache: Path, way: str):
    settings = small(**WAYS[way])
    _, standardizer = load_model(run, small(), TASKS)
    maker = FeatureMaker(standardizer, settings)
    network = build_network(maker.n_features, settings)
    stores, labels = open_embeddings(cache, ("face_a", "face_b")), open_labels(cache, "labels")
    lines, _ = join(stores, labels, "val", settings)
    together = predict_sequences(network, SequenceDataset(lines, maker), settings)
    start = 0
    for line in lines:
        alone = predict_sequences(network, SequenceDataset([line], maker), settings)
        cut = slice(start, start + len(alone))
        for name in ("valence", "p_au", "p_expression"):
            found, expected = getattr(together, name)[cut], getattr(alone, name)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
        start += len(alone)


def test_a_network_of_one_direction_gives_the_same_in_pieces(run: Path, cache: Path, monkeypatch):
    settings = small(bidirectional=False)
    _, standardizer = load_model(run, small(), TASKS)
    maker = FeatureMaker(standardizer, settings)
    network = build_network(maker.n_features, settings)
    stores, labels = open_embeddings(cache, ("face_a", "face_b")), open_labels(cache, "labels")
    dataset = SequenceDataset(join(stores, labels, "val", settings)[0], maker)
    whole = predict_sequences(network, dataset, settings)
    monkeypatch.setattr(inference, "_STREAM_FRAMES", 7)
    pieces = predict_sequences(network, dataset, settings)
    np.testing.assert_allclose(pieces.valence, whole.valence, rtol=0, atol=1e-6)
    np.testing.assert_allclose(pieces.p_expression, whole.p_expression, rtol=0, atol=1e-6)


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 0.75, 1.0])
def test_a_frame_gets_the_mean_of_the_windows_that_hold_it(run: Path, cache: Path, overlap: float):
    settings = small(segment_length=8, stride=8, overlap=overlap)
    _, standardizer = load_model(run, small(), TASKS)
    maker = FeatureMaker(standardizer, settings)
    network = build_network(maker.n_features, settings).eval()
    stores, labels = open_embeddings(cache, ("face_a", "face_b")), open_labels(cache, "labels")
    dataset = SequenceDataset(join(stores, labels, "val", settings)[0], maker)
    found = predict_sequences(network, dataset, settings)
    start = 0
    for number, line in enumerate(dataset.lines):
        sums, count = np.zeros(len(line)), np.zeros(len(line))
        for first, stop in windows(len(line), 8, max(1, round(8 * (1 - overlap)))):
            x = dataset.features(dataset.plan([Segment(number, first, stop)]))
            with torch.inference_mode():
                outputs, _ = network(x, torch.ones(x.shape[:2], dtype=torch.bool))
            sums[first:stop] += outputs["valence"][0].numpy()
            count[first:stop] += 1
        expected = (sums / count).clip(-1, 1)[line.nearest(line.asked)]
        cut = slice(start, start + len(line.asked))
        np.testing.assert_allclose(found.valence[cut], expected, rtol=0, atol=1e-6)
        start += len(line.asked)


def test_other_weights_under_the_same_name_are_refused_with_both_fingerprints(
    run: Path, cache: Path, tmp_path: Path
):
    other = tmp_path / "other"
    labels = open_labels(cache, "labels")
    store = open_embeddings(cache, ("face_a",))[0]
    frames = {video: (store[video].frame, store[video].embedding) for video in store}
    changed = write_store(other / "face_a.h5", frames, weights="sha256:11ff")
    write_store(other / "face_b.h5", frames)
    (other / "labels.h5").write_bytes(labels.path.read_bytes())
    with pytest.raises(FingerprintError) as caught:
        predict(run, "val", tmp_path / "out.csv", other)
    for words in (store.fingerprint, changed.fingerprint, "face_a", "--cache"):
        assert words in str(caught.value)
    assert not (tmp_path / "out.csv").exists()


def test_a_split_without_frames_is_refused(run: Path, cache: Path, tmp_path: Path):
    with pytest.raises(UsageError, match=r"train, val, test, but got 'dev'"):
        predict(run, "dev", tmp_path / "out.csv", cache)
    other = write_cache(tmp_path / "c")
    rows = [Row(video, frame) for video, frame in asked_of(cache, "val")]
    write_label_store(other, val=rows)
    with pytest.raises(TemporalError, match=r"labels\.h5 must list frames of the split 'test'"):
        predict(run, "test", tmp_path / "out.csv", other)


def test_a_list_that_is_not_there_is_refused(run: Path, cache: Path, tmp_path: Path):
    with pytest.raises(AnnotationError, match=r"nothing\.txt"):
        predict(run, "test", tmp_path / "out.csv", cache, tmp_path / "nothing.txt")


def test_a_folder_without_a_finished_run_is_refused(cache: Path, tmp_path: Path):
    with pytest.raises(TemporalError, match=r"must hold a finished run, but its run\.json"):
        predict(tmp_path, "val", tmp_path / "out.csv", cache)
    (tmp_path / "run.json").write_text(json.dumps({"format": "abaw-run", "format_version": 99}))
    with pytest.raises(TemporalError, match="must be a run of format 2"):
        predict(tmp_path, "val", tmp_path / "out.csv", cache)


def test_a_checkpoint_that_is_cut_short_is_refused(run: Path, cache: Path, tmp_path: Path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_bytes((run / "run.json").read_bytes())
    data = (run / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(TemporalError, match=r"model\.safetensors must be this run's checkpoint"):
        predict(folder, "val", tmp_path / "out.csv", cache)
