"""Unlabelled frames take the nearest label of their video: by hand, and as plain Python says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abaw.temporal.data.supplement import supplement

FRAMES = np.array([1, 2, 4, 7, 8, 12], np.int32)


def taken(labels: list[float | None], limit: int, may_take=None) -> list[float | None]:
    """What frames 1 2 4 7 8 12 have after it; None is unlabelled."""
    values = np.array([0.0 if label is None else label for label in labels])
    is_labelled = np.array([label is not None for label in labels])
    may_take = np.ones(6, bool) if may_take is None else np.array(may_take, bool)
    values, found = supplement(FRAMES, values, is_labelled, may_take, limit)
    return [float(v) if has else None for v, has in zip(values, found, strict=True)]


@pytest.mark.parametrize(
    ("labels", "limit", "expected"),
    [
        ([None, 0.5, None, None, None, None], 1, [0.5, 0.5, None, None, None, None]),
        ([None, 0.5, None, None, None, None], 2, [0.5, 0.5, 0.5, None, None, None]),
        ([None, 0.5, None, None, None, None], 10, [0.5] * 6),
        # 4 is 3 from 1 and 3 from 7: the earlier one; 2 is 1 from 1, 8 is 1 from 7, 12 is 5.
        ([0.1, None, None, 0.9, None, None], 4, [0.1, 0.1, 0.1, 0.9, 0.9, None]),
        ([0.1, None, None, 0.9, None, None], 5, [0.1, 0.1, 0.1, 0.9, 0.9, 0.9]),
        # 8 is 6 from 2 and 4 from 12: the later one, as it is nearer.
        ([None, 0.2, None, None, None, 0.8], 6, [0.2, 0.2, 0.2, 0.2, 0.8, 0.8]),
        ([None] * 6, 9, [None] * 6),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 9, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
    ],
)
def test_the_nearest_label_is_taken_and_of_two_the_earlier(labels, limit, expected):
    assert taken(labels, limit) == expected


def test_a_frame_that_may_not_take_takes_none_but_still_gives():
    assert taken([None, None, 0.3, None, None, None], 4, [1, 0, 0, 0, 1, 1]) == [
        0.3,
        None,
        0.3,
        None,
        0.3,
        None,
    ]


def test_a_taken_label_is_not_handed_on():
    assert taken([0.1, None, None, None, None, None], 3) == [0.1, 0.1, 0.1, None, None, None]


def test_action_units_are_taken_one_by_one():
    frame = np.array([1, 2, 3], np.int32)
    values = np.array([[1, 0], [0, 0], [0, 1]], np.int8)
    is_labelled = np.array([[True, False], [False, False], [True, True]])
    found, has = supplement(frame, values, is_labelled, np.ones(3, bool), 1)
    assert found.tolist() == [[1, 0], [1, 1], [0, 1]]
    assert has.tolist() == [[True, False], [True, True], [True, True]]
    assert found.dtype == np.int8


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=20, unique=True).map(sorted),
    st.integers(1, 12),
    st.data(),
)
def test_it_is_what_plain_python_says(frames, limit, data):
    n = len(frames)
    row = st.tuples(*[st.one_of(st.none(), st.integers(1, 9))] * 3)
    labels = data.draw(st.lists(row, min_size=n, max_size=n))
    may_take = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    expected = [list(row) for row in labels]
    for column in range(3):
        for i in range(n):
            if labels[i][column] is not None or not may_take[i]:
                continue
            near = [
                (abs(frames[j] - frames[i]), frames[j], labels[j][column])
                for j in range(n)
                if labels[j][column] is not None and abs(frames[j] - frames[i]) <= limit
            ]
            if near:
                expected[i][column] = min(near)[2]
    found, has = supplement(
        np.array(frames, np.int32),
        np.array([[label or 0 for label in row] for row in labels], np.int8),
        np.array([[label is not None for label in row] for row in labels]),
        np.array(may_take),
        limit,
    )
    assert [
        [int(v) if h else None for v, h in zip(*pair, strict=True)]
        for pair in zip(found, has, strict=True)
    ] == expected
    assert not found[~has].any()
