"""A time line with a step for every frame number, so that a gap takes the time that it took."""

from fractions import Fraction
from itertools import pairwise
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abaw.temporal.data.timeline import Timeline, with_gaps


@pytest.mark.parametrize(
    ("frames", "max_gap", "expected"),
    [
        ([5], 3, [5]),
        ([1, 2, 3], 3, [1, 2, 3]),
        ([1, 3], 1, [1, 2, 3]),
        ([1, 5], 3, [1, 2, 3, 4, 5]),
        ([1, 11], 1, [1, 6, 11]),
        ([1, 13], 3, [1, 4, 7, 10, 13]),
        ([1, 4, 104, 105], 4, [1, 2, 3, 4, 24, 44, 64, 84, 104, 105]),
        ([1, 2**31 - 1], 1, [1, 2**30, 2**31 - 1]),
    ],
)
def test_a_gap_gets_its_frame_numbers_or_as_many_as_are_allowed_evenly(frames, max_gap, expected):
    found = with_gaps(np.array(frames, np.int32), max_gap)
    assert found.tolist() == expected
    assert found.dtype == np.int32


@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=12, unique=True).map(sorted),
    st.integers(1, 40),
)
def test_it_is_what_plain_python_says(frames, max_gap):
    expected = [frames[0]]
    for left, right in pairwise(frames):
        if right - left - 1 <= max_gap:
            expected += range(left + 1, right)
        else:
            step = Fraction(right - left, max_gap + 1)
            expected += [left + floor(step * n + Fraction(1, 2)) for n in range(1, max_gap + 1)]
        expected.append(right)
    found = with_gaps(np.array(frames, np.int32), max_gap)
    assert found.tolist() == expected
    assert (np.diff(found) > 0).all()


def line_of(frames) -> Timeline:
    frames = np.array(frames, np.int32)
    return Timeline("v", frames, (), (), np.empty((0, 0), bool), {}, {}, np.empty(0, np.int32))


@given(
    st.lists(st.integers(1, 50), min_size=1, unique=True),
    st.lists(st.integers(1, 60), min_size=1),
)
def test_nearest_is_nearest(frames, asked):
    frames = np.array(sorted(frames))
    found = frames[line_of(frames).nearest(np.array(asked, np.int32))]
    np.testing.assert_array_equal(
        np.abs(found - asked), np.abs(frames[None] - np.array(asked)[:, None]).min(axis=1)
    )
