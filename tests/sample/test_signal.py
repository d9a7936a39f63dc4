"""The affect is in the pixels, time helps, and colour alone tells nothing.

A reduced form of `bench/sample_check.py`, which prints the figures to report; one data seed, so the
limits are wider than there.
"""

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
P_MTL = 4

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def scores():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCH)
        check = importlib.import_module("sample_check")
    return check.measure(replace(check.CHECK, frames=40, seed=0))


def test_plain_probes_on_thumbnails_see_the_affect(scores: dict[str, np.ndarray]):
    assert scores["thumbnail 12x12"][P_MTL] >= 1.5


def test_the_frames_around_help(scores: dict[str, np.ndarray]):
    alone, around = scores["thumbnail 12x12"], scores["  mean over +-10 frames"]
    assert around[P_MTL] - alone[P_MTL] >= 0.05


def test_colour_and_brightness_tell_little_more_than_a_constant(scores: dict[str, np.ndarray]):
    assert scores["colour statistics"][P_MTL] - scores["constant"][P_MTL] <= 0.2


def test_shuffled_labels_teach_nothing(scores: dict[str, np.ndarray]):
    assert scores["  shuffled labels"][P_MTL] - scores["constant"][P_MTL] <= 0.15
