"""Frames are coloured, resized and normalised as image libraries do it, the same in any batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import functional as F

from abaw.cache import EmbeddingSpec
from abaw.core.errors import UsageError
from abaw.extract.backbones import BACKBONES, resolve_settings
from abaw.extract.preprocess import Preprocessor, area_taps, resized_shape, size_problem

SPEC = EmbeddingSpec(
    backbone="b", weights="none", input_size=112, position_table="none", crop="full",
    interpolation="bilinear", mean=(0.0,), std=(1.0,), channels="rgb", layer="final",
    pool="none", flip="no", dim=1, dtype="float32",
)  # fmt: skip


def levels(frames: np.ndarray, **changes) -> np.ndarray:
    """What comes out for uint8 (B, H, W, 3), as levels of 0 to 255, (B, C, S, S)."""
    out = Preprocessor(replace(SPEC, **changes))(torch.from_numpy(frames))
    assert out.dtype == torch.float32
    return out.numpy() * 255


def photo(side: int = 150, n: int = 2, seed: int = 0) -> np.ndarray:
    """Smooth colours with edges and noise, uint8 (n, side, side, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    waves = [np.sin(7 * x + 3 * c + y * y * 9) > 0.2 * c for c in range(3)]
    base = 90 * np.stack(waves, axis=2) + 80 * x[..., None] + 30
    return np.clip(base + rng.normal(0, 8, (n, side, side, 3)), 0, 255).astype(np.uint8)


def test_a_frame_of_the_right_size_is_only_normalised():
    frames = photo(112)
    out = levels(frames, mean=(0.5, 0.25, 0.0), std=(0.5, 1.0, 2.0))
    expected = (frames / 255 - [0.5, 0.25, 0.0]) / [0.5, 1.0, 2.0] * 255
    np.testing.assert_allclose(out, expected.transpose(0, 3, 1, 2), atol=1e-3)


def test_channels_come_in_the_order_that_the_network_knows():
    frames = photo(112)
    rgb, bgr = levels(frames), levels(frames, channels="bgr")
    np.testing.assert_array_equal(bgr, rgb[:, ::-1])
    assert not np.array_equal(bgr, rgb)


def test_grey_is_pillows():
    frames = photo(112)
    expected = [np.asarray(Image.fromarray(frame).convert("L")) for frame in frames]
    difference = levels(frames, channels="grey")[:, 0] - expected
    # Pillow's weights have 16 bits; that decides a few values next to one half.
    assert np.abs(difference).max() <= 1.001
    assert (np.abs(difference) > 0.01).mean() < 0.01


@pytest.mark.parametrize("size", [64, 112, 224])
@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
def test_resizing_is_pillows(name: str, size: int):
    frames = photo()
    kind = Image.Resampling[name.upper()]
    expected = [np.asarray(Image.fromarray(frame).resize((size, size), kind)) for frame in frames]
    difference = levels(frames, input_size=size, interpolation=name).transpose(0, 2, 3, 1)
    difference = difference - np.array(expected)
    # Pillow rounds between its two passes and holds 8-bit weights: one level, rarely two.
    assert np.abs(difference).max() <= 2.001
    assert (np.abs(difference) > 1.001).mean() < 0.001
    assert np.abs(difference).mean() < 0.2


def test_opencvs_bilinear_takes_the_four_nearest_pixels_whatever_the_scale():
    frames = np.zeros((1, 8, 8, 3), np.uint8)
    frames[0, 1::4, 1::4] = 200
    out = levels(frames, input_size=2, interpolation="opencv-bilinear")
    # Centres lie at 1.5 and 5.5: between pixels 1 and 2, where one of four is bright.
    np.testing.assert_allclose(out, 50, atol=1e-3)
    assert levels(frames, input_size=2).max() < 25  # a filter as wide as the step: 4 of 64


@given(st.integers(1, 60), st.integers(1, 60))
@settings(deadline=None, max_examples=60)
def test_area_weights_are_the_covered_shares(n_in: int, n_out: int):
    index, weight = area_taps(n_in, n_out)
    # By brute force: every pixel cut into n_out pieces, of which n_in make one output pixel.
    expected = np.repeat(np.eye(n_in), n_out, axis=1).reshape(n_in, n_out, n_in).mean(axis=2)
    found = np.zeros((n_in, n_out))
    for i, w in zip(index.numpy(), weight.numpy(), strict=True):
        np.add.at(found, (i, np.arange(n_out)), w)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_thumbnail_is_the_mean_of_each_of_its_areas():
    frames = photo(120)
    out = levels(frames, input_size=12, interpolation="area", channels="grey")[:, 0]
    grey = levels(frames, input_size=120, channels="grey")[:, 0]
    np.testing.assert_allclose(out, grey.reshape(2, 12, 10, 12, 10).mean(axis=(2, 4)), rtol=1e-5)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "opencv-bilinear", "area"])
def test_a_frame_comes_out_the_same_in_any_batch(interpolation: str):
    frames = torch.from_numpy(photo(97, n=5))
    preprocess = Preprocessor(replace(SPEC, interpolation=interpolation, channels="grey"))
    together = preprocess(frames)
    for place, frame in enumerate(frames):
        assert torch.equal(preprocess(frame[None])[0], together[place])


def test_a_frame_need_not_be_square():
    assert levels(photo(150)[:, :90], input_size=32).shape == (2, 3, 32, 32)


@given(st.integers(1, 500), st.integers(1, 500), st.sampled_from(["0.875", "0.9", "1.0"]))
@settings(deadline=None, max_examples=100)
def test_what_a_crop_is_cut_from_is_torchvisions(height: int, width: int, crop: str):
    side = int(112 / float(crop))
    expected = F._compute_resized_output_size((height, width), [side])
    assert [*resized_shape(height, width, 112, crop)] == expected


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "opencv-bilinear", "area"])
@pytest.mark.parametrize("shape", [(150, 90), (90, 150), (41, 40)])
def test_a_crop_is_the_centre_of_the_resized_frame(interpolation: str, shape: tuple[int, int]):
    frames = photo(150)[:, : shape[0], : shape[1]]
    found = levels(frames, input_size=32, crop="0.5", interpolation=interpolation)
    assert found.shape == (2, 3, 32, 32)
    # By the other way: nothing is cut off a frame that is cut to its centre square beforehand,
    # but for the pixels that a filter sees beyond it.
    side, top, left = min(shape), (shape[0] - min(shape)) // 2, (shape[1] - min(shape)) // 2
    middle = frames[:, top : top + side, left : left + side]
    whole = levels(middle, input_size=64, interpolation=interpolation)[:, :, 16:48, 16:48]
    assert np.abs(found - whole).mean() < 6


@pytest.mark.parametrize("crop", ["0.875", "squash:0.875"])
def test_a_cropped_frame_comes_out_the_same_in_any_batch(crop: str):
    frames = torch.from_numpy(photo(97, n=5)[:, :80])
    preprocess = Preprocessor(replace(SPEC, crop=crop))
    together = preprocess(frames)
    for place, frame in enumerate(frames):
        assert torch.equal(preprocess(frame[None])[0], together[place])


@pytest.mark.parametrize(
    ("shape", "limits", "problem"),
    [
        ((40, 300), {}, ""),
        ((40, 300), {"min_side": 40, "max_side": 300}, ""),
        ((40, 300), {"min_side": 41}, "shorter side of 40 pixels is below min_side=41"),
        ((300, 40), {"max_side": 299}, "longer side of 300 pixels is above max_side=299"),
        ((1, 1), {"max_side": 1}, ""),
    ],
)
def test_a_frame_outside_the_limits_has_a_reason(shape, limits: dict[str, int], problem: str):
    kind = BACKBONES["iresnet18"]
    assert size_problem(*shape, replace(SPEC, options=limits)) == problem
    assert size_problem(*shape, resolve_settings(kind, limits)) == problem


@pytest.mark.parametrize("limits", [{"min_side": -1}, {"max_side": "x"}, {"min_side": 5000}])
def test_limits_are_whole_numbers(limits):
    with pytest.raises(UsageError, match="a whole number from 0 to 4096"):
        resolve_settings(BACKBONES["iresnet18"], limits)


def test_limits_must_leave_something_between_them():
    with pytest.raises(UsageError, match=r"must not be above max_side, but got 50 and 40"):
        resolve_settings(BACKBONES["iresnet18"], {"min_side": 50, "max_side": 40})
