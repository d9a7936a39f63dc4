"""Smoothing: the published numbers, a slow oracle, and borders of videos."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from abaw.temporal import smoothing
from abaw.temporal.smoothing import VideoSmoother, smooth

from ..golden_recipe import load

pytestmark = pytest.mark.heavy

KINDS = ("box", "gaussian", "median")


def oracle(values: np.ndarray, frame: np.ndarray, kind: str, width: int) -> np.ndarray:
    """Each row from the rows around it, one at a time."""
    smoothed = np.empty(values.shape)
    reach = 3 * width if kind == "gaussian" else width
    for row, number in enumerate(frame):
        near = np.abs(frame - number) <= reach
        if kind == "median":
            smoothed[row] = np.median(values[near], axis=0)
        else:
            away = frame[near] - number
            weights = np.exp(-0.5 * (away / width) ** 2) if kind == "gaussian" else near[near]
            smoothed[row] = np.average(values[near], axis=0, weights=weights)
    return smoothed


@pytest.mark.parametrize("length", [37, 12, 1])
@pytest.mark.parametrize("width", [0, 5, 10, 15])
def test_the_box_over_consecutive_frames_is_the_published_one(length: int, width: int):
    _, arrays = load("smoothing")
    signal = arrays[f"signal_{length}"]
    found = smooth(signal, np.arange(1, length + 1), "box", width)
    np.testing.assert_allclose(found, arrays[f"signal_{length}_w{width}"], atol=1e-12)


@st.composite
def videos(draw):
    gaps = draw(st.lists(st.integers(1, draw(st.sampled_from([1, 3, 40]))), max_size=60))
    frame = np.cumsum([draw(st.integers(0, 2000)), *gaps])
    shape = draw(st.sampled_from([(len(frame),), (len(frame), 3)]))
    return draw(hnp.arrays(np.float64, shape, elements=st.floats(-1, 1, width=32))), frame


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(video=videos(), width=st.integers(1, 30))
def test_every_kind_is_that_of_the_slow_oracle(kind: str, video, width: int):
    values, frame = video
    found = smooth(values, frame, kind, width)
    np.testing.assert_allclose(found, oracle(values, frame, kind, width), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_and_pieces_do_not_show(kind: str, monkeypatch):
    rng = np.random.default_rng(0)
    frame = np.cumsum(rng.integers(1, 5, 400))
    values = rng.normal(size=(400, 2))
    monkeypatch.setattr(smoothing, "_BLOCK", 7)
    monkeypatch.setattr(smoothing, "_MOST_GATHERED", 50)
    found = smooth(values, frame, kind, 9)
    np.testing.assert_allclose(found, oracle(values, frame, kind, 9), atol=1e-12)


@pytest.mark.parametrize("kind", ["none", *KINDS])
@settings(deadline=None)
@given(video=videos())
def test_width_0_is_the_identity(kind: str, video):
    np.testing.assert_array_equal(smooth(*video, kind, 0), video[0])


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(video=videos(), width=st.integers(1, 200))
def test_smoothed_values_stay_in_the_range_of_the_raw_ones(kind: str, video, width: int):
    values, frame = video
    found = smooth(values, frame, kind, width)
    assert (found >= values.min(axis=0) - 1e-12).all()
    assert (found <= values.max(axis=0) + 1e-12).all()
    constant = np.full(values.shape, np.float64(np.float32(0.3)))
    smoothed = smooth(constant, frame, kind, width).astype(np.float32)
    np.testing.assert_array_equal(smoothed, np.float32(0.3))


@pytest.mark.parametrize("kind", KINDS)
def test_a_gap_is_as_wide_as_its_frame_numbers_say(kind: str):
    values = np.array([0.0, 0.0, 1.0, 1.0])
    far = smooth(values, np.array([1, 2, 50, 51]), kind, 5)
    np.testing.assert_allclose(far, values, atol=1e-12)  # by row, the middle ones would be mixed
    near = smooth(values, np.array([1, 2, 4, 5]), "box", 2)
    np.testing.assert_allclose(near, [0, 1 / 3, 2 / 3, 1])


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_rows_of_many_videos_in_any_order_are_smoothed_video_by_video(kind: str, data):
    parts = [data.draw(videos()) for _ in range(data.draw(st.integers(1, 4)))]
    parts = [(values.reshape(len(frame), -1)[:, :1], frame) for values, frame in parts]
    name = [f"v{number}" for number, (_, frame) in enumerate(parts) for _ in frame]
    frame = np.concatenate([frame for _, frame in parts])
    values = np.concatenate([values for values, _ in parts])
    order = np.array(data.draw(st.permutations(range(len(frame)))))
    smoother = VideoSmoother([name[row] for row in order], frame[order])
    found = np.empty_like(values)
    found[order] = smoother.smooth(values[order], kind, 6)
    expected = np.concatenate([oracle(values, frame, kind, 6) for values, frame in parts])
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_smoothing_stops_at_the_border_of_a_video(kind: str):
    # Frame numbers go on from one video to the next, as if they were one.
    smoother = VideoSmoother(["a"] * 5 + ["b"] * 5, np.arange(1, 11))
    values = np.repeat([0.0, 1.0], 5)
    np.testing.assert_array_equal(smoother.smooth(values, kind, 5), values)


def test_a_frame_that_is_there_twice_counts_once():
    smoother = VideoSmoother(["a", "a", "a"], np.array([1, 1, 2]))
    found = smoother.smooth(np.array([0.0, 0.0, 1.0]), "box", 1)
    np.testing.assert_array_equal(found, [0.5, 0.5, 0.5])


def test_no_rows_at_all_are_smoothed_to_none():
    assert VideoSmoother([], np.empty(0, int)).smooth(np.empty((0, 8)), "box", 5).shape == (0, 8)


@pytest.mark.parametrize(
    ("values", "frame", "width", "words"),
    [
        pytest.param(np.zeros(3), np.array([1, 1, 2]), 5, "rise strictly", id="twice"),
        pytest.param(np.zeros(3), np.array([3, 2, 1]), 5, "rise strictly", id="falling"),
        pytest.param(np.zeros(3), np.arange(4), 5, r"\(3,\) and \(4,\)", id="lengths"),
        pytest.param(np.zeros(3), np.arange(3), -1, "0 or more, but got -1", id="width"),
    ],
)
def test_what_cannot_be_smoothed_is_refused(values, frame, width: int, words: str):
    with pytest.raises(ValueError, match=words):
        smooth(values, frame, "box", width)
