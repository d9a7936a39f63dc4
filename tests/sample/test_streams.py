import numpy as np

from abaw.sample.streams import Stream, smoothstep


def test_the_first_numbers_of_a_stream_are_these():
    """Pinned: with these every label and pixel of every sample is pinned too."""
    numbers = Stream(5, 1, 2).uniforms(3)
    assert numbers.tolist() == [0.8618890627851062, 0.9778985982041019, 0.19684368936784402]


def test_streams_of_two_keys_differ():
    assert Stream(0, 1).uniform() != Stream(0, 2).uniform()
    assert Stream(0, 1).uniform() != Stream(1, 1).uniform()


def test_bell_has_mean_0_and_deviation_1():
    values = Stream(0).bell(20_000)
    assert abs(values.mean()) < 0.03
    assert abs(values.std() - 1.0) < 0.03
    assert np.abs(values).max() < 3.5


def test_a_permutation_holds_each_number_once():
    assert sorted(Stream(0).permutation(100)) == list(range(100))


def test_below_stays_below():
    stream = Stream(0)
    assert {stream.below(3) for _ in range(200)} == {0, 1, 2}


def test_a_path_is_smooth():
    path = Stream(0).path(500, 20)[:, 0]
    assert path.std() > 0.5
    assert np.abs(np.diff(path)).max() < 0.6  # a knot-to-knot step of 7 at most, 1.5 / 20 a frame


def test_smoothstep_ends_flat():
    assert smoothstep(np.array([-1.0, 0.0, 0.5, 1.0, 2.0])).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
