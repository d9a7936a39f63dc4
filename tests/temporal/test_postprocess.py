"""Post-processing: what it does to a table, and what is fitted to which rows."""

import json
from dataclasses import replace

import numpy as np
import pytest

from abaw.core.tasks import TASKS
from abaw.temporal.errors import PredictionError
from abaw.temporal.metrics import LabelMasks
from abaw.temporal.postprocess import PostProcess
from abaw.temporal.postprocess_fit import WIDTHS, fit
from abaw.temporal.score import score_table
from abaw.temporal.smoothing import smooth

from .made_predictions import noisy, truth_of

COLUMNS = ("valence", "arousal", "expression", "au", "p_expression", "p_au")
FIGURES = ("CCC_V", "CCC_A", "F1_EXPR", "F1_AU")
LOW = (0.3,) * 12


def assert_same(found, expected, columns=COLUMNS):
    assert found.video == expected.video
    for name in ("frame", *columns):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def test_by_default_the_table_stays_as_it_is():
    table = noisy(truth_of(), 0.5)
    assert PostProcess().apply(table) is table
    assert PostProcess("box").apply(table) is table
    assert_same(PostProcess("none", valence=5, au=5).apply(table), table)


@pytest.mark.parametrize("kind", ["box", "gaussian", "median"])
def test_each_task_is_smoothed_by_its_own_width_video_by_video(kind: str):
    table = noisy(truth_of(videos=("a", "b"), n=50), 0.5)
    process = PostProcess(kind, valence=2, expression=5, au=10, threshold=(0.5,) * 11 + (0.2,))
    found = process.apply(table)
    rows = [np.array(table.video) == video for video in ("a", "b")]

    def expected(name: str, width: int) -> np.ndarray:
        parts = [
            smooth(getattr(table, name)[some], table.frame[some], kind, width) for some in rows
        ]
        return np.concatenate(parts).astype(np.float32)

    np.testing.assert_array_equal(found.valence, expected("valence", 2))
    np.testing.assert_array_equal(found.arousal, table.arousal)
    np.testing.assert_array_equal(found.p_expression, expected("p_expression", 5))
    np.testing.assert_array_equal(found.expression, found.p_expression.argmax(axis=1))
    np.testing.assert_array_equal(found.p_au, expected("p_au", 10))
    np.testing.assert_array_equal(found.au[:, :11], found.p_au[:, :11] >= 0.5)
    np.testing.assert_array_equal(found.au[:, 11], found.p_au[:, 11] >= 0.2)
    assert found.au.dtype == found.expression.dtype == np.int8


def test_smoothed_affect_is_clipped():
    table = noisy(truth_of(), 0.2)
    wide = replace(table, valence=table.valence * 3)
    assert np.abs(wide.valence).max() > 1
    found = PostProcess("box", valence=2).apply(wide)
    assert np.abs(found.valence).max() == 1


def test_smoothing_of_predictions_stops_at_the_border_of_a_video():
    table = noisy(truth_of(videos=("a", "b"), n=40), 0.5)
    process = PostProcess("box", valence=15, arousal=15, expression=15, au=15)
    changed = replace(table, valence=np.where(np.array(table.video) == "a", -1, table.valence))
    in_b = np.array(table.video) == "b"
    found, other = process.apply(table), process.apply(changed)
    np.testing.assert_array_equal(found.valence[in_b], other.valence[in_b])
    assert (found.valence[~in_b] != other.valence[~in_b]).any()


def test_a_threshold_moves_only_its_own_au():
    table = noisy(truth_of(), 0.8)
    found = PostProcess(threshold=(0.5, 0.9, *[0.5] * 10)).apply(table)
    np.testing.assert_array_equal(found.au[:, 1], table.p_au[:, 1] >= 0.9)
    rest = np.arange(12) != 1
    np.testing.assert_array_equal(found.au[:, rest], table.au[:, rest])
    assert (found.au[:, 1] != table.au[:, 1]).any()


def test_tasks_that_are_not_predicted_are_left_alone():
    table = replace(noisy(truth_of(), 0.5), tasks=frozenset({"valence", "arousal"}))
    process = fit(table, truth_of())
    assert process.expression == process.au == 0
    assert process.threshold == (0.5,) * 12
    assert process.valence > 0
    found = PostProcess("box", 5, 5, 5, 5, LOW).apply(table)
    assert_same(found, table, ("expression", "au", "p_expression", "p_au"))
    assert (found.valence != table.valence).any()


def test_parameters_survive_json():
    process = PostProcess("gaussian", 2, 5, 10, 0, tuple(np.linspace(0.1, 0.9, 12)))
    text = json.dumps(process.to_dict(), allow_nan=False)
    assert PostProcess.from_dict(json.loads(text), "p.json") == process


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(
            {"smoothing": "boxy"}, "none, box, gaussian, median, but is 'boxy'", id="kind"
        ),
        pytest.param({"width": {"valence": 1}}, "arousal", id="task"),
        pytest.param({"width": dict.fromkeys(TASKS, 1.5)}, "1.5", id="fraction"),
        pytest.param({"width": dict.fromkeys(TASKS, -1)}, "-1", id="negative"),
        pytest.param({"au_threshold": {"AU1": 0.5}}, "AU10", id="au"),
        pytest.param({"more": 1}, "more", id="unknown"),
        pytest.param({"width": None}, "NoneType", id="nothing"),
    ],
)
def test_parameters_that_are_not_whole_are_refused_by_name(change, words: str):
    with pytest.raises(PredictionError, match=r"p\.json must hold smoothing") as caught:
        PostProcess.from_dict(PostProcess().to_dict() | change, "p.json")
    assert words in str(caught.value)


@pytest.mark.parametrize("kind", ["box", "gaussian", "median"])
@pytest.mark.parametrize("is_tuned", [True, False], ids=["tuned", "untuned"])
def test_what_is_fitted_scores_no_worse_than_any_other_width(kind: str, is_tuned: bool):
    truth = truth_of(n=60)
    table = noisy(truth, 0.6, au_bias=-1.5)
    best = fit(table, truth, kind, tune_thresholds=is_tuned)
    scores = score_table(best.apply(table), truth, "fitted")
    for width in WIDTHS:
        other = PostProcess(kind, width, width, width, width, best.threshold)
        tried = score_table(other.apply(table), truth, "tried")
        for figure in FIGURES:
            assert getattr(scores, figure) >= getattr(tried, figure), (figure, width)
    raw = score_table(table, truth, "raw")
    assert scores.P_MTL > raw.P_MTL + 0.1
    assert (best.threshold != (0.5,) * 12) == is_tuned


def test_without_smoothing_only_thresholds_are_fitted():
    truth = truth_of()
    process = fit(noisy(truth, 0.5, au_bias=-2), truth, "none")
    assert set(process.widths.values()) == {0}
    assert max(process.threshold) < 0.5


def test_each_task_is_chosen_by_its_own_measure():
    # Only valence is noisy: a width that was common to all would blur the others.
    truth = truth_of(missing=0.0)
    clean, rough = noisy(truth, 0.01), noisy(truth, 0.8)
    process = fit(replace(clean, valence=rough.valence), truth, tune_thresholds=False)
    assert process.valence > 0
    assert process.arousal == process.expression == process.au == 0


def test_of_widths_that_score_the_same_the_smallest_is_taken():
    truth = truth_of()
    table = noisy(truth, 0.5)
    flat = {
        name: np.broadcast_to(getattr(table, name)[:1], getattr(table, name).shape)
        for name in COLUMNS
    }
    assert fit(replace(table, **flat), truth, tune_thresholds=False) == PostProcess("box")


def test_a_threshold_tells_neighbouring_probabilities_apart():
    truth = truth_of()
    low = np.float32(0.3)
    high = np.nextafter(low, np.float32(1))
    table = replace(noisy(truth, 0.5), p_au=np.where(truth.labels.au > 0, high, low))
    found = fit(table, truth, "none").apply(table)
    np.testing.assert_array_equal(found.au, truth.labels.au)


def test_what_is_not_annotated_has_no_part_in_the_choice():
    truth = truth_of(missing=0.5)
    table = noisy(truth, 0.5)
    rng = np.random.default_rng(3)
    masks, labels = truth.is_labelled, truth.labels
    both = masks.valence & masks.arousal
    other = replace(
        truth,
        labels=replace(
            labels,
            valence=np.where(both, labels.valence, -5),
            arousal=np.where(both, labels.arousal, rng.normal(size=len(both)) * 9),
            expression=np.where(masks.expression, labels.expression, -1),
            au=np.where(masks.au, labels.au, rng.integers(0, 2, masks.au.shape)),
        ),
    )
    assert fit(table, other) == fit(table, truth)


def test_a_row_counts_as_often_as_it_is_listed():
    # One video wants smoothing, the other none; what is listed ten times decides.
    truth = truth_of(videos=("rough", "clean"), missing=0.0)
    rough, clean = noisy(truth, 0.9), noisy(truth, 0.0)
    is_rough = np.array(rough.video) == "rough"
    table = replace(clean, valence=np.where(is_rough, rough.valence, clean.valence))

    def listed(is_often: np.ndarray):
        order = np.concatenate([np.arange(len(is_often)), *[np.flatnonzero(is_often)] * 20])
        return replace(
            truth,
            keys=[truth.keys[row] for row in order],
            labels=type(truth.labels)(*(column[order] for column in vars(truth.labels).values())),
            is_labelled=LabelMasks(*(column[order] for column in vars(truth.is_labelled).values())),
        )

    assert fit(table, listed(~is_rough)).valence == 0
    assert fit(table, listed(is_rough)).valence > 0


def test_without_labels_or_probabilities():
    truth = truth_of()
    none = np.zeros(len(truth.keys), bool)
    unlabelled = replace(
        truth, is_labelled=LabelMasks(none, none, none, np.zeros((len(none), 12), bool))
    )
    assert fit(noisy(truth, 0.5), unlabelled) == PostProcess("box")
    bare = replace(noisy(truth, 0.5), p_expression=None, p_au=None)
    with pytest.raises(PredictionError, match="expression needs probabilities"):
        fit(bare, truth)
    assert fit(bare, truth, "none", tune_thresholds=False) == PostProcess()
    with pytest.raises(PredictionError, match="au needs probabilities"):
        PostProcess(threshold=LOW).apply(bare)


def test_a_row_without_a_prediction_is_named():
    truth = truth_of()
    table = noisy(truth_of(videos=tuple("abcde")), 0.5)
    with pytest.raises(PredictionError, match=r"lack 120 of 720, the first is frame .* of 'f'"):
        fit(table, truth)
