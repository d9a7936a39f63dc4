import numpy as np
import pytest

from abaw.core.tasks import EXPRESSIONS
from abaw.sample.rules import ALONG, COLUMN, OWN, labels


def face(**units: float) -> np.ndarray:
    """Intensities of one frame; `AU12=0.9`, the others 0."""
    intensity = np.zeros((1, 12))
    for name, value in units.items():
        intensity[0, COLUMN[int(name.removeprefix("AU"))]] = value
    return intensity


def expression(**units: float) -> str:
    return EXPRESSIONS[labels(face(**units))[1][0]]


@pytest.mark.parametrize("name", OWN)
def test_an_expressions_own_aus_make_it(name: str):
    assert expression(**{f"AU{unit}": 0.8 for unit in OWN[name]}) == name


@pytest.mark.parametrize("name", OWN)
def test_aus_that_may_come_along_change_nothing(name: str):
    units = {f"AU{unit}": 0.8 for unit in OWN[name] + ALONG[name]}
    assert expression(**units) == name


def test_a_face_without_a_present_au_is_neutral_and_at_rest():
    affect, expressions, au = labels(np.full((1, 12), 0.0))
    assert (EXPRESSIONS[expressions[0]], int(au.sum())) == ("Neutral", 0)
    assert affect[0].tolist() == [0.0, -0.444]  # -0.8 / 1.8
    assert expression(AU12=0.49, AU6=0.49) == "Neutral"


def test_a_face_that_fits_nothing_is_other():
    assert expression(AU12=0.9, AU24=0.9) == "Other"
    assert expression(AU6=0.9, AU24=0.9) == "Other"


def test_an_au_is_present_from_one_half():
    assert labels(face(AU4=0.5))[2][0, COLUMN[4]] == 1
    assert labels(face(AU4=0.499))[2][0, COLUMN[4]] == 0


def test_affect_by_hand():
    affect = labels(face(AU12=1.0, AU6=1.0, AU25=0.5))[0][0]
    # valence 1.6 + 0.9 = 2.5; arousal 0.3 + 0.3 + 0.2 - 0.8 = 0
    assert affect.tolist() == [round(2.5 / 3.5, 3), 0.0]


def test_valence_and_arousal_have_the_signs_of_their_expressions():
    def affect(name: str) -> np.ndarray:
        return labels(face(**{f"AU{unit}": 0.9 for unit in OWN[name]}))[0][0]

    assert affect("Happiness")[0] > 0.5
    for name in ("Anger", "Disgust", "Sadness", "Fear"):
        assert affect(name)[0] < -0.2, name
    for name in ("Surprise", "Anger", "Fear"):
        assert affect(name)[1] > 0.1, name
    assert affect("Sadness")[1] < -0.3


def test_labels_of_a_frame_do_not_depend_on_the_others():
    intensity = np.random.default_rng(0).random((50, 12))
    together = labels(intensity)
    for index in range(50):
        alone = labels(intensity[index : index + 1])
        for one, all_of_them in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one[0], all_of_them[index])
