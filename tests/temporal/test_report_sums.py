"""Sums by recording give the official measure of any choice of recordings."""

import math

import numpy as np
import pytest

from abaw.temporal.data.recordings import recording_of
from abaw.temporal.metrics import AffectRows, LabelMasks, Scores, score_rows
from abaw.temporal.reporting.board import KEYS
from abaw.temporal.reporting.sums import measures, recording_sums

from .made_predictions import noisy, truth_of

VIDEOS = ("a", "a_left", "b", "c_right", "c_left", "d", "e")


def found_of(table) -> AffectRows:
    return AffectRows(table.valence, table.arousal, table.expression, table.au)


def resampled(truth, found, recordings, counts) -> Scores:
    """`score_rows` on the rows of the recordings, one after another, as often as they count."""
    of_row = np.array([recording_of(video) for video, _ in truth.keys])
    order = np.concatenate(
        [
            np.flatnonzero(of_row == name)
            for name, count in zip(recordings, counts, strict=True)
            for _ in range(count)
        ]
    )

    def taken(some, kind):
        names = ("valence", "arousal", "expression", "au")
        return kind(*(getattr(some, name)[order] for name in names))

    return score_rows(
        taken(truth.labels, AffectRows),
        taken(truth.is_labelled, LabelMasks),
        taken(found, AffectRows),
    )


def test_the_measure_of_a_draw_is_that_of_its_rows_one_after_another():
    truth = truth_of(videos=VIDEOS, n=40)
    found = found_of(noisy(truth, 0.6))
    sums = recording_sums(truth, found)
    assert sums.recordings == ("a", "b", "c", "d", "e")
    counts = np.random.default_rng(0).multinomial(5, np.full(5, 0.2), size=40)
    counts = np.concatenate([np.ones((1, 5), int), counts])
    values = measures(sums, counts)
    for place, some in enumerate(counts):
        scores = resampled(truth, found, sums.recordings, some)
        for key in KEYS:
            assert values[key][place] == pytest.approx(getattr(scores, key), abs=1e-12)


def test_a_constant_prediction_scores_exactly_0_in_a_draw_too():
    truth = truth_of(videos=VIDEOS, n=40)
    n = len(truth.keys)
    flat = np.full(n, 0.1, np.float32)
    found = found_of(noisy(truth, 0.6))
    found = AffectRows(flat, found.arousal, found.expression, found.au)
    assert measures(recording_sums(truth, found), np.ones((1, 5)))["CCC_V"].tolist() == [0.0]


def test_what_a_draw_has_no_labels_of_is_not_a_number():
    truth = truth_of(videos=("a", "b"), n=40)
    of_row = np.array([video for video, _ in truth.keys])
    truth.is_labelled.expression[of_row == "b"] = False
    truth.is_labelled.au[of_row == "b", 3] = False
    truth.is_labelled.valence[of_row == "b"] = False
    values = measures(
        recording_sums(truth, found_of(noisy(truth, 0.6))), np.array([[0, 2], [2, 0]])
    )
    assert {key: np.isnan(values[key]).tolist() for key in KEYS} == {
        key: [True, False] for key in KEYS
    }


def test_a_task_that_is_not_predicted_has_no_measure():
    truth = truth_of(videos=("a", "b"), n=40)
    found = found_of(noisy(truth, 0.6))
    values = measures(recording_sums(truth, found, {"valence", "au"}), np.ones((1, 2)))
    there = {key for key in KEYS if not math.isnan(values[key][0])}
    assert there == {"CCC_V", "F1_AU"}
