"""Windows cover every frame of a sequence."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abaw.temporal.data.segments import windows

SIZES = st.integers(1, 60).flatmap(
    lambda length: st.tuples(st.integers(1, 300), st.just(length), st.integers(1, length))
)


def counts(length: int, cuts) -> np.ndarray:
    """How many windows hold each frame."""
    found = np.zeros(length, int)
    for start, stop in cuts:
        found[start:stop] += 1
    return found


@given(SIZES)
def test_every_frame_is_in_a_window(sizes):
    length, segment_length, stride = sizes
    cuts = windows(length, segment_length, stride)
    assert counts(length, cuts).min() >= 1
    assert all(0 <= start < stop <= length for start, stop in cuts)
    assert all(stop - start <= segment_length for start, stop in cuts)
    assert all(stop - start == segment_length for start, stop in cuts[:-1])


@given(st.integers(1, 300), st.integers(1, 60))
def test_every_frame_is_in_one_window_if_the_stride_is_its_length(length, segment_length):
    cuts = windows(length, segment_length, segment_length)
    np.testing.assert_array_equal(counts(length, cuts), 1)


@given(SIZES)
def test_no_window_lies_inside_another(sizes):
    cuts = windows(*sizes)
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(cuts))


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        pytest.param((100, 15, 15), 7, id="the-last-ten-frames-have-a-window"),
        pytest.param((64, 64, 32), 1, id="just-as-long"),
        pytest.param((65, 64, 32), 2, id="one-frame-more"),
        pytest.param((1, 64, 32), 1, id="one-frame"),
    ],
)
def test_number_of_windows_by_hand(sizes, expected):
    assert len(windows(*sizes)) == expected


@pytest.mark.parametrize("sizes", [(0, 4, 2), (5, 4, 0), (5, 4, 5)])
def test_numbers_out_of_range_are_refused_with_their_values(sizes):
    with pytest.raises(ValueError, match="length {}, segment_length {}, stride {}".format(*sizes)):
        windows(*sizes)
