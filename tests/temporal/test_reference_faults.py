"""Faults of the published evaluation that must not come back; its smoothing is in other files.

Partly labelled AUs, absent classes, single frames, and padding that is computed (in training, see
`test_feeding`). `test_metrics` holds the figures on record of the first two.
"""

from pathlib import Path

import numpy as np
import pytest

from abaw.core.tasks import AUS, EXPRESSIONS, TASKS
from abaw.temporal.data.dataset import SequenceDataset
from abaw.temporal.data.features import FeatureMaker
from abaw.temporal.data.join import join
from abaw.temporal.data.standardize import Standardizer
from abaw.temporal.inference import predict_sequences
from abaw.temporal.metrics import AffectRows, LabelMasks, score_rows
from abaw.temporal.nets.build import build_network
from abaw.temporal.postprocess import PostProcess
from abaw.temporal.postprocess_fit import fit
from abaw.temporal.predictions import read_predictions
from abaw.temporal.run_folder import load_model, open_embeddings, open_labels
from abaw.temporal.thresholds import best_threshold
from abaw.temporal.train import train

from .made import Row, annotate, config, write_label_store, write_store
from .made_predictions import noisy, truth_of
from .test_feeding import line


def rows_of_classes(y_true: list[int], y_pred: list[int]) -> tuple:
    n = len(y_true)
    zeros, aus = np.zeros(n), np.zeros((n, 12), int)
    none = np.zeros(n, bool)
    masks = LabelMasks(none, none, np.ones(n, bool), np.zeros((n, 12), bool))
    truth, predicted = (AffectRows(zeros, zeros, np.array(y), aus) for y in (y_true, y_pred))
    return truth, masks, predicted


def test_an_absent_class_takes_part_in_the_mean_and_moves_no_name():
    # Of 8 classes Neutral, Happiness and Other occur: 1, 1/2 and 0 are their F1.
    scores = score_rows(*rows_of_classes([0, 0, 4, 4, 7], [0, 0, 4, 7, 4]))
    by_name = dict.fromkeys(EXPRESSIONS, 0.0) | {"Neutral": 1.0, "Happiness": 0.5}
    assert scores.per_expression == pytest.approx(by_name)
    assert pytest.approx(1.5 / 8) == scores.F1_EXPR


def test_a_single_aus_missing_label_moves_no_other_aus_figure_or_threshold():
    truth = truth_of(missing=0.0)
    table = noisy(truth, 0.6, au_bias=-1)
    is_labelled = np.ones((len(truth.keys), 12), bool)
    is_labelled[:12, 0] = False  # as many as there are columns: flattened, they would still fit
    masks = LabelMasks(*vars(truth.is_labelled).values())
    masks = LabelMasks(masks.valence, masks.arousal, masks.expression, is_labelled)
    predicted = AffectRows(table.valence, table.arousal, table.expression, table.au)
    whole = score_rows(truth.labels, truth.is_labelled, predicted).per_au
    partly = score_rows(truth.labels, masks, predicted).per_au
    assert {name: partly[name] for name in AUS[1:]} == {name: whole[name] for name in AUS[1:]}
    rows = type(truth)(truth.keys, truth.labels, masks)
    threshold = fit(table, rows, "none").threshold
    for au in range(12):
        some = is_labelled[:, au]
        own = best_threshold(truth.labels.au[some, au], table.p_au[some, au])[0]
        assert threshold[au] == own, AUS[au]


@pytest.fixture(scope="module", name="single")
def _single(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A cache in which most videos have one frame, and a run on it."""
    cache = tmp_path_factory.mktemp("single")
    rng = np.random.default_rng(0)
    faces: dict = {}
    rows: dict[str, list[Row]] = {"train": [], "val": []}
    for number in range(14):
        video, n = f"v{number}", 5 if number in {3, 11} else 1
        split = "train" if number < 9 else "val"
        latent = rng.normal(size=(n, 6))
        faces[video] = np.arange(1, n + 1), latent @ rng.normal(size=(6, 4))
        rows[split] += [Row(video, i + 1, v) for i, v in enumerate(annotate(latent))]
    write_store(cache / "face.h5", faces)
    write_label_store(cache, **rows)
    # Windows of one frame only: every batch is (B, 1).
    settings = config(features=("face",), segment_length=1, stride=1, batch_size=3)
    return cache, train(settings, cache, cache / "run", progress=False).folder


def test_videos_of_one_frame_are_predicted_as_any_other(single: tuple[Path, Path]):
    cache, run = single
    table = read_predictions(run / "val_predictions.csv")
    counts = {f"v{number}": 5 if number == 11 else 1 for number in range(9, 14)}
    assert {video: table.video.count(video) for video in set(table.video)} == counts
    settings = config(features=("face",), segment_length=1, stride=1)
    network, standardizer = load_model(run, settings, TASKS)
    maker = FeatureMaker(standardizer, settings)
    stores, labels = open_embeddings(cache, ("face",)), open_labels(cache, "labels")
    lines, _ = join(stores, labels, "val", settings)
    for one in lines:
        alone = predict_sequences(network, SequenceDataset([one], maker), settings)
        own = np.flatnonzero(np.array(table.video) == one.video)
        np.testing.assert_allclose(alone.valence, table.valence[own], rtol=0, atol=1e-6)
        np.testing.assert_allclose(alone.p_au, table.p_au[own], rtol=0, atol=1e-6)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_predicting_computes_hardly_more_frames_than_there_are(bidirectional: bool):
    """The published evaluation pads whole videos to the longest of 8: 61 % of its frames."""
    settings = config(bidirectional=bidirectional, projection=4, hidden_size=4, overlap=0.0)
    lengths = np.random.default_rng(0).integers(20, 1500, 40).tolist()
    standardizer = Standardizer(np.zeros(2, np.float32), np.ones(2, np.float32))
    lines = [line(number, length) for number, length in enumerate(lengths)]
    dataset = SequenceDataset(lines, FeatureMaker(standardizer, settings))
    network = build_network(2, settings, TASKS)
    assert network.is_causal is not bidirectional
    computed = []
    network.register_forward_pre_hook(
        lambda _, inputs: computed.append(inputs[0].shape[:2].numel())
    )
    table = predict_sequences(network, dataset, settings)
    assert len(table) == sum(lengths)
    assert sum(lengths) <= sum(computed) < 1.15 * sum(lengths)


def test_a_video_of_one_frame_is_smoothed_to_itself():
    truth = truth_of(videos=tuple("abcdef"), n=1, missing=0.0)
    table = noisy(truth, 0.5)
    found = PostProcess("box", 15, 15, 15, 15).apply(table)
    for column in ("valence", "p_expression", "p_au"):
        np.testing.assert_array_equal(getattr(found, column), getattr(table, column))
