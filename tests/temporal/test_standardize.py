"""Features get mean 0 and deviation 1 over the training split, dimension by dimension."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from abaw.temporal.data.join import join
from abaw.temporal.data.standardize import LIMIT, fit_standardizer
from abaw.temporal.errors import TemporalError

from .made import Row, annotate, config, write_label_store, write_store

VALUES = annotate(np.zeros((1, 6)))[0]


def lines_of(folder: Path, fill: str = "hold", split: str = "train", **stores):
    """Time lines of stores given as `name={video: (frames, embedding)}`, all frames labelled."""
    opened = [write_store(folder / f"{n}.h5", v, dtype="float32") for n, v in stores.items()]
    listed: dict[str, set[int]] = {}
    for videos in stores.values():
        for video, (frames, _) in videos.items():
            listed.setdefault(video, set()).update(int(frame) for frame in frames)
    rows = [Row(video, frame, VALUES) for video in listed for frame in sorted(listed[video])]
    labels = write_label_store(folder, **{split: rows})
    return join(opened, labels, split, config(fill=fill))[0]


def test_training_features_have_mean_0_and_deviation_1(tmp_path: Path):
    rng = np.random.default_rng(0)
    scale, offset = rng.uniform(0.1, 50, 6), rng.normal(size=6) * 100
    videos = {
        f"v{n}": (np.arange(1, 41), rng.normal(size=(40, 6)) * scale + offset) for n in range(3)
    }
    lines = lines_of(tmp_path, a=videos)
    standardizer = fit_standardizer(lines)
    features = np.concatenate([standardizer.features(line, 0, len(line)) for line in lines])
    assert features.dtype == np.float32
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(features.std(axis=0), 1, atol=1e-4)


def test_a_small_spread_beside_a_large_mean_is_not_lost(tmp_path: Path):
    values = 1000 + 0.25 * np.random.default_rng(0).normal(size=(500, 1))
    lines = lines_of(tmp_path, a={"v": (np.arange(1, 501), values)})
    standardizer = fit_standardizer(lines)
    stored = lines[0].embeddings[0].astype(np.float64)
    np.testing.assert_allclose(1 / standardizer.scale, stored.std(axis=0), rtol=1e-5)


def test_dead_dimensions_become_0_and_are_counted(tmp_path: Path):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 4))
    values[:, 1] = 3.0
    values[:, 2] = 0.0
    (line,) = lines_of(tmp_path, a={"v": (np.arange(1, 51), values)})
    standardizer = fit_standardizer([line])
    assert standardizer.n_dead == 2
    features = standardizer.features(line, 0, len(line))
    np.testing.assert_array_equal(features[:, 1:3], 0)
    assert np.abs(features[:, [0, 3]]).max() > 1


def test_an_unseen_value_in_a_dead_dimension_and_a_wild_one_stay_small(tmp_path: Path):
    rng = np.random.default_rng(0)
    values = np.column_stack([np.full(50, 3.0), rng.normal(size=50)])
    standardizer = fit_standardizer(lines_of(tmp_path, a={"v": (np.arange(1, 51), values)}))
    (line,) = lines_of(tmp_path / "b", a={"v": ([1], np.array([[4.0, -1e6]]))})
    np.testing.assert_array_equal(standardizer.features(line, 0, 1), [[0.0, -LIMIT]])


def test_held_copies_do_not_count(tmp_path: Path):
    videos_a = {"v": (np.arange(1, 11), np.arange(10.0)[:, None])}
    videos_b = {"v": (np.array([1, 2]), np.array([[5.0], [7.0]]))}
    standardizer = fit_standardizer(lines_of(tmp_path, a=videos_a, b=videos_b))
    np.testing.assert_allclose(standardizer.mean, [4.5, 6.0])
    np.testing.assert_allclose(1 / standardizer.scale, [np.std(np.arange(10)), 1.0], rtol=1e-6)


def test_embeddings_stand_in_the_order_given(tmp_path: Path):
    rng = np.random.default_rng(0)
    a = {"v": (np.arange(1, 9), rng.normal(size=(8, 2)))}
    b = {"v": (np.arange(1, 9), rng.normal(size=(8, 3)))}
    (ab,), (ba,) = lines_of(tmp_path / "1", a=a, b=b), lines_of(tmp_path / "2", b=b, a=a)
    first, second = (fit_standardizer([line]).features(line, 0, 8) for line in (ab, ba))
    np.testing.assert_array_equal(first[:, :2], second[:, 3:])
    np.testing.assert_array_equal(first[:, 2:], second[:, :3])


def test_zero_fill_is_the_training_mean(tmp_path: Path):
    a = {"v": (np.arange(1, 9), np.random.default_rng(0).normal(size=(8, 2)) + 100)}
    b = {"v": (np.arange(2, 9), np.random.default_rng(1).normal(size=(7, 3)) + 100)}
    (line,) = lines_of(tmp_path, fill="zero", a=a, b=b)
    features = fit_standardizer([line]).features(line, 0, 8)
    np.testing.assert_array_equal(features[0, 2:], 0)
    assert (features[1:] != 0).all()
    assert (features[0, :2] != 0).all()


def test_a_part_is_the_same_as_in_the_whole(tmp_path: Path):
    a = {"v": (np.arange(1, 30), np.random.default_rng(0).normal(size=(29, 3)))}
    (line,) = lines_of(tmp_path, a=a)
    standardizer = fit_standardizer([line])
    whole = standardizer.features(line, 0, 29)
    np.testing.assert_array_equal(standardizer.features(line, 7, 19), whole[7:19])


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_feature_that_is_not_finite_is_refused_with_its_dimension(tmp_path: Path, wrong):
    # A store refuses such rows, so they are put behind its back.
    values = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    (line,) = lines_of(tmp_path, a={"v": (np.arange(1, 10), values)})
    values[3, 2] = wrong
    line = replace(line, embeddings=(values,))
    with pytest.raises(TemporalError, match="dimension 2 is not"):
        fit_standardizer([line])


def test_a_split_without_frames_is_refused():
    with pytest.raises(TemporalError, match="needs frames with an embedding"):
        fit_standardizer([])
