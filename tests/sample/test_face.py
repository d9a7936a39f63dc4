"""Each action unit moves what its muscle moves, and changes the picture there."""

import numpy as np
import pytest

from abaw.core.tasks import AUS
from abaw.sample import DIFFICULTIES
from abaw.sample.draw import FINENESS, draw_frames, draw_look
from abaw.sample.face import Faces, place_faces
from abaw.sample.person import Person, draw_person
from abaw.sample.pose import Motion, draw_motion
from abaw.sample.rules import COLUMN
from abaw.sample.streams import Stream

MODERATE = DIFFICULTIES["moderate"]


def still(n: int) -> Motion:
    rest, one = np.zeros(n), np.ones(n)
    return Motion(rest, rest, rest, one, rest, rest, rest, one)


def person(number: int = 0) -> Person:
    return draw_person(Stream(number, 1), MODERATE)


def faces_of(*units: int) -> Faces:
    """A face at rest and, as second frame, one with the given AUs at full intensity."""
    intensity = np.zeros((2, 12))
    intensity[1, [COLUMN[unit] for unit in units]] = 1.0
    return place_faces(person(), intensity, still(2), MODERATE.gain, FINENESS)


def moved(faces: Faces, part: str) -> np.ndarray:
    """Mean shift (x, y) of the points of a part, in pixels; y grows downwards."""
    points = faces.points[:, faces.parts[part]].astype(float) / FINENESS
    return points[1] - points[0]


def height(faces: Faces, part: str) -> np.ndarray:
    """Extent in y of a part in both frames, in pixels."""
    y = faces.points[:, faces.parts[part], 1] / FINENESS
    return y.max(axis=1) - y.min(axis=1)


def test_au1_raises_the_inner_brow_and_au2_the_outer():
    inner, outer = [0, 1], [7, 8]
    one, two = moved(faces_of(1), "brow_right")[:, 1], moved(faces_of(2), "brow_right")[:, 1]
    assert one[inner].mean() < -4 < -1 < one[outer].mean()
    assert two[outer].mean() < -3 < -1 < two[inner].mean()


def test_au4_lowers_the_brows_and_draws_them_together():
    shift = moved(faces_of(4), "brow_left")[:2].mean(axis=0)
    assert shift[0] > 2
    assert shift[1] > 3


def test_au7_closes_the_lids_and_au1_with_au2_opens_them():
    shut, wide = height(faces_of(7), "white_left"), height(faces_of(1, 2), "white_left")
    assert shut[1] < 0.6 * shut[0]
    assert wide[1] > 1.2 * wide[0]


def test_au6_raises_the_cheek():
    assert moved(faces_of(6), "cheek_right")[:, 1].mean() < -3


def test_au10_raises_the_upper_lip_only():
    faces = faces_of(10)
    assert moved(faces, "lip_upper")[6, 1] < -2
    assert abs(moved(faces, "lip_lower")[18, 1]) < 2.5


def test_au12_raises_the_mouth_corners_outwards_and_au15_lowers_them():
    smile, frown = moved(faces_of(12), "lip_upper"), moved(faces_of(15), "lip_upper")
    assert smile[0, 1] < -4
    assert smile[0, 0] < -3
    assert frown[0, 1] > 4


def test_au23_narrows_the_mouth_and_au24_only_thins_the_lips():
    tight, pressed = faces_of(23), faces_of(24)
    assert moved(tight, "lip_upper")[0, 0] > 3
    assert moved(pressed, "lip_upper")[0, 0] < 0.5
    assert height(pressed, "lip_lower")[1] < 0.5 * height(pressed, "lip_lower")[0]


def test_au25_parts_the_lips_and_au26_drops_the_chin_too():
    parted, dropped = faces_of(25), faces_of(25, 26)
    assert height(parted, "opening")[1] > height(parted, "opening")[0] + 3
    assert abs(moved(parted, "face")[20, 1]) < 0.5
    assert moved(dropped, "face")[20, 1] > 5  # point 20 of 40 is the chin


@pytest.mark.parametrize("name", AUS)
@pytest.mark.parametrize("number", range(3))
def test_every_action_unit_is_visible(name: str, number: int):
    """At full intensity, in clean frames, somewhere on the face by 20 grey levels or more."""
    intensity = np.zeros((2, 12))
    intensity[1, AUS.index(name)] = 1.0
    one = person(number)
    faces = place_faces(one, intensity, still(2), MODERATE.gain, FINENESS)
    look = draw_look(one, 2, Stream(number, 2), MODERATE)
    look.mean[1], look.spread[1] = look.mean[0], look.spread[0]
    rest, active = draw_frames(one, faces, intensity, look, Stream(number, 3), [0, 1])
    change = np.abs(active.astype(float).mean(axis=2) - rest.astype(float).mean(axis=2))
    blocks = change[:108, :108].reshape(27, 4, 27, 4).mean(axis=(1, 3))  # 4 x 4 px: noise is gone
    assert blocks.max() > 20
    assert (blocks > 8).sum() >= 4


def test_exposure_gives_every_frame_the_mean_and_contrast_of_its_path():
    n = 12
    intensity = np.random.default_rng(0).random((n, 12))
    one = person()
    faces = place_faces(one, intensity, still(n), MODERATE.gain, FINENESS)
    look = draw_look(one, n, Stream(0, 2), MODERATE)
    frames = draw_frames(one, faces, intensity, look, Stream(0, 3), list(range(n)))
    for index, frame in enumerate(frames):
        values = frame.reshape(-1, 3).astype(float)
        # what is darker than 0 (dark hair, in blue) is cut off, hence the tolerances
        np.testing.assert_allclose(values.mean(axis=0), look.mean[index], atol=3.0)
        np.testing.assert_allclose(values.std(axis=0), look.spread[index], rtol=0.15)


def test_the_exposure_path_does_not_know_the_action_units():
    one = person()
    first = draw_look(one, 9, Stream(0, 2), MODERATE)
    again = draw_look(one, 9, Stream(0, 2), MODERATE)
    np.testing.assert_array_equal(first.mean, again.mean)
    np.testing.assert_array_equal(first.spread, again.spread)


def test_frames_drawn_one_by_one_are_the_frames_drawn_together():
    n = 5
    intensity = np.random.default_rng(1).random((n, 12))
    one, motion = person(), draw_motion(n, Stream(0, 4), MODERATE)
    faces = place_faces(one, intensity, motion, MODERATE.gain, FINENESS)
    look = draw_look(one, n, Stream(0, 2), MODERATE)
    together = draw_frames(one, faces, intensity, look, Stream(0, 3), list(range(n)))
    for index in range(n):
        (alone,) = draw_frames(one, faces, intensity, look, Stream(0, 3), [index])
        np.testing.assert_array_equal(alone, together[index])


def test_two_people_look_different():
    assert person(0) != person(1)
    assert person(0) == person(0)
