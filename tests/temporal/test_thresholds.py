"""Thresholds against brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abaw.temporal.thresholds import best_threshold

PROBABILITIES = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.floats(0, 1, width=32))


def f1_at(y_true, probability, threshold: float) -> float:
    is_present = probability.astype(np.float64) >= threshold
    n = y_true.sum() + is_present.sum()
    return 2 * (is_present & (y_true > 0)).sum() / n if n else 0.0


@settings(deadline=None)
@given(rows=st.lists(st.tuples(st.integers(0, 1), PROBABILITIES), min_size=1, max_size=30))
def test_no_threshold_has_a_better_f1_and_none_as_good_is_nearer(rows):
    y_true = np.array([y for y, _ in rows])
    probability = np.array([p for _, p in rows], np.float32)
    threshold, f1 = best_threshold(y_true, probability)
    assert f1 == pytest.approx(f1_at(y_true, probability, threshold), abs=1e-12)
    points = np.unique(np.concatenate([[0.0, 0.5], probability.astype(np.float64)]))
    tried = [*points, *((points[1:] + points[:-1]) / 2)]
    scores = {point: f1_at(y_true, probability, point) for point in tried}
    assert f1 == pytest.approx(max(scores.values()), abs=1e-12)
    if scores[0.5] > f1 - 1e-12:
        assert threshold == 0.5
    # No cut that is as good lies wholly between the one that is taken and 0.5.
    lies_between = [
        point
        for point, score in scores.items()
        if score > f1 - 1e-12 and min(threshold, 0.5) < point < max(threshold, 0.5)
    ]
    taken = probability.astype(np.float64) >= threshold
    for point in lies_between:
        np.testing.assert_array_equal(probability.astype(np.float64) >= point, taken)


def test_equal_probabilities_are_never_cut_apart():
    y_true = np.array([1, 0, 0, 1])
    threshold, f1 = best_threshold(y_true, np.array([0.7, 0.7, 0.1, 0.1]))
    assert f1 == f1_at(y_true, np.array([0.7, 0.7, 0.1, 0.1]), threshold) == 2 / 3


def test_a_threshold_lies_between_two_neighbouring_numbers():
    low = np.float32(0.3)
    high = np.nextafter(low, np.float32(1))
    threshold, f1 = best_threshold(np.array([0, 1]), np.array([low, high]))
    assert f1 == 1
    assert float(low) < threshold <= float(high)


@pytest.mark.parametrize("y_true", [[], [0, 0, 0]], ids=["no-row", "no-positive"])
def test_without_a_positive_the_threshold_stays(y_true):
    assert best_threshold(np.array(y_true), np.full(len(y_true), 0.9)) == (0.5, 0.0)
