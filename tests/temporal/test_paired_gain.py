"""Gains tested over seeds and recordings, and p-values adjusted for their number."""

import numpy as np
import pytest
from scipy import stats

from abaw.temporal.data.recordings import recording_of
from abaw.temporal.errors import TemporalError
from abaw.temporal.metrics import ccc_score
from abaw.temporal.paired_gain import holm, paired_gain, pseudovalues

from .made_predictions import noisy, truth_of

VIDEOS = ("a", "a_left", "b", "c", "d")


def test_holm_on_an_example_worked_out_by_hand():
    # Sorted: 0.005 * 4, 0.01 * 3, 0.03 * 2, and 0.04 * 1, which may not be below 0.06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_where_recordings_are_alike_it_is_a_paired_t_test_over_seeds():
    rng = np.random.default_rng(0)
    with_it, without = rng.normal(size=(5, 1)), rng.normal(size=(5, 1))
    found = paired_gain(np.tile(with_it, 7), np.tile(without, 7))
    expected = stats.ttest_rel(with_it[:, 0], without[:, 0])
    assert found.value == pytest.approx((with_it - without).mean())
    assert (found.p, found.df) == (pytest.approx(expected.pvalue), pytest.approx(4))
    low, high = found.interval
    assert (low, high) == pytest.approx(tuple(expected.confidence_interval()))


def test_where_seeds_are_alike_its_error_is_that_of_the_mean_over_recordings():
    rng = np.random.default_rng(1)
    gains = rng.normal(size=(1, 9))
    found = paired_gain(np.tile(gains, (5, 1)), np.zeros((5, 9)))
    expected = stats.ttest_1samp(gains[0], 0)
    assert found.error == pytest.approx(stats.sem(gains[0]))
    assert (found.p, found.df) == (pytest.approx(expected.pvalue), pytest.approx(8))


@pytest.mark.parametrize("parts", [(1, 0, 0.1), (0.1, 1, 0.1), (0.3, 1, 2), (0, 0, 1)])
def test_without_a_gain_one_in_twenty_is_below_five_percent(parts: tuple[float, float, float]):
    """Whatever varies: seeds, recordings, or each seed on each recording."""
    rng = np.random.default_rng(2)
    n, seeds, recordings = 2000, 5, 20
    of_seed, of_recording, of_both = parts
    below = 0
    for _ in range(n):
        d = of_seed * rng.normal(size=(seeds, 1)) + of_recording * rng.normal(size=(1, recordings))
        d = d + of_both * rng.normal(size=(seeds, recordings))
        below += paired_gain(d, np.zeros_like(d)).p < 0.05
    assert below / n < 0.05 + 3 * (0.05 * 0.95 / n) ** 0.5


def test_a_gain_of_one_recording_only_is_none():
    difference = np.zeros((5, 20))
    difference[:, 3] = 2
    assert paired_gain(difference, np.zeros((5, 20))).p > 0.2
    assert paired_gain(difference + 0.5, np.zeros((5, 20))).p < 0.05


def test_pseudovalues_are_those_of_leaving_recordings_out_and_their_mean_is_the_measure():
    truth = truth_of(videos=VIDEOS, n=40)
    table = noisy(truth, 0.5, 1)
    places = table.places()
    predicted = table.valence[[places[key] for key in truth.keys]]
    recording = [recording_of(video) for video, _ in truth.keys]
    found = pseudovalues("valence", predicted, truth, recording)
    counts = np.asarray(truth.is_labelled.valence) & np.asarray(truth.is_labelled.arousal)
    true = truth.labels.valence
    whole = ccc_score(true[counts], predicted[counts])
    assert len(found) == 4  # `a` and `a_left` are one
    assert found.mean() == pytest.approx(whole)
    without = []
    for name in sorted(set(recording)):
        some = counts & (np.array(recording) != name)
        without.append(ccc_score(true[some], predicted[some]))
    # Differences of pseudovalues are those of the measures without, 3 times and turned round.
    assert np.diff(found) == pytest.approx(-3 * np.diff(without))


def test_one_recording_is_too_few():
    truth = truth_of(videos=("a", "a_left"), n=20)
    predicted = np.zeros(len(truth.keys))
    with pytest.raises(TemporalError, match="over recordings, which needs 2 with labels, not 1"):
        pseudovalues("valence", predicted, truth, ["a"] * len(truth.keys))


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (5,)])
def test_too_few_seeds_or_recordings_are_no_test(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match="2 seeds and 2 recordings"):
        paired_gain(np.zeros(shape), np.zeros(shape))
