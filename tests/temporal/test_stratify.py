"""Recordings are dealt into sets that are alike, and more alike than by chance."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abaw.sample import settings_from_text
from abaw.sample.plan import plan
from abaw.temporal.data.folds import dealt_rows
from abaw.temporal.data.label_sums import label_sums
from abaw.temporal.data.stratify import (
    KINDS,
    Quantities,
    deal,
    deviation,
    deviations,
    quantities,
    random_sets,
)

from .made import Row, annotate, latent_path, write_label_store


def drawn(n: int, seed: int, width: int = 8) -> Quantities:
    """Quantities of n recordings of very unequal sizes."""
    rng = np.random.default_rng(seed)
    values = rng.gamma(0.7, size=(n, 1)) * rng.gamma(1, size=(n, width))
    return Quantities(values / values.sum(axis=0) * 3, np.ones(width), np.arange(width) % 6)


@pytest.mark.heavy
@settings(deadline=None, max_examples=30)
@given(st.integers(2, 25), st.integers(2, 6), st.integers(0, 10**6))
def test_every_set_has_a_recording_and_the_deal_repeats(n, k, seed):
    k = min(n, k)
    amounts = drawn(n, seed)
    sets = deal(amounts, k, seed)
    assert set(sets) == set(range(k))
    np.testing.assert_array_equal(sets, deal(amounts, k, seed))


@pytest.mark.parametrize("seed", range(5))
def test_few_recordings_are_dealt_as_well_as_can_be(seed):
    amounts = drawn(8, seed)
    best = min(deviation(amounts, np.array(sets), 3) for sets in product(range(3), repeat=8))
    assert deviation(amounts, deal(amounts, 3, 0), 3) <= best * (1 + 1e-9)


@pytest.mark.parametrize("k", [2, 3])
def test_no_set_is_empty_although_that_would_be_more_alike(k):
    # The difference of one recording is the opposite of the other's: together they are perfect.
    amounts = Quantities(np.array([[5.0], [-5.0], [0.0]])[:k], np.zeros(1), np.array([2]))
    assert set(deal(amounts, k, 0)) == set(range(k))


def test_a_perfect_deal_is_found():
    values = np.repeat([[1.0, 2.0], [2.0, 1.0]], 6, axis=0)
    amounts = Quantities(values / 9, np.ones(2), np.array([0, 1]))
    assert deviation(amounts, deal(amounts, 2, 0), 2) == pytest.approx(0, abs=1e-9)


def test_the_deviation_is_that_of_its_formula():
    amounts = Quantities(
        np.array([[0.5, 1.2, 0.3], [0.9, 0.6, -0.3], [0.6, 0.2, 0.0]]),
        np.array([1.0, 1.0, 0.0]),
        np.array([0, 0, 2]),
    )
    found = deviation(amounts, np.array([0, 1, 1]), 2)
    first = (0.5**2 + 0.2**2) / 2, 0.3**2
    second = (0.5**2 + 0.2**2) / 2, 0.3**2
    assert found == pytest.approx(((sum(first) / 2 + sum(second) / 2) / 2) ** 0.5)
    kinds = deviations(amounts, np.array([0, 1, 1]), 2)
    assert set(kinds) == {"rows", "valence"}
    assert kinds["valence"] == pytest.approx(0.3)


@pytest.fixture(scope="module")
def sample_amounts(tmp_path_factory: pytest.TempPathFactory) -> Quantities:
    """Recordings with the rows, gaps and missing labels of the sample, and drawn affect."""
    rng = np.random.default_rng(0)
    splits: dict[str, list[Row]] = {"train": [], "val": []}
    for video in plan(settings_from_text("default", None, ())):
        if video.split == "test":
            continue
        values = dict(
            zip(
                sorted(set(video.rows)),
                annotate(latent_path(rng, len(set(video.rows))) + rng.normal(size=6)),
                strict=True,
            )
        )
        for frame in video.rows:
            row = values[frame].copy()
            for has, cut in zip(
                video.labelled[frame], (slice(0, 2), slice(2, 3), slice(3, 15)), strict=True
            ):
                if not has:
                    row[cut] = -5 if cut.start == 0 else -1
            splits[video.split].append(Row(video.name, frame, row))
    folder: Path = tmp_path_factory.mktemp("sample")
    table = write_label_store(folder, **splits).table
    return quantities(label_sums(table, dealt_rows(table)), 6)


def test_folds_of_the_sample_are_alike_and_far_better_than_by_chance(sample_amounts):
    sets = deal(sample_amounts, 6, 0)
    rng = np.random.default_rng(1)
    chance = [random_sets(len(sets), 6, rng) for _ in range(300)]
    all_chance = [deviation(sample_amounts, drawn, 6) for drawn in chance]
    found = deviation(sample_amounts, sets, 6)
    assert found < 0.5 * min(all_chance)
    assert found < 0.2
    kinds = deviations(sample_amounts, sets, 6)
    assert list(kinds) == list(KINDS)
    for name, value in kinds.items():
        median = float(np.median([deviations(sample_amounts, d, 6)[name] for d in chance]))
        assert value < 0.6 * median, name
