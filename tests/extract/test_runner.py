"""Stage 1 as a whole, on small networks: equal whatever way it is run."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from abaw.cache import FingerprintError, open_store
from abaw.core.errors import UsageError
from abaw.extract import FramesError

from .made import THUMBNAIL, assert_same, extract, request, write_tree

pytestmark = pytest.mark.usefixtures("one_thread")


def test_every_frame_of_every_video_is_stored_under_its_number(tree: Path, tmp_path: Path):
    for number in range(10, 30):
        (tree / "a" / f"{number:05d}.png").unlink()
    summary = extract(tree, tmp_path / "c")
    store = open_store(tmp_path / "c" / "thumbnail")
    assert store.videos == ("a", "b/left", "b/right", "c")
    np.testing.assert_array_equal(store["a"].frame, [*range(1, 10), *range(30, 38)])
    grey = np.asarray(Image.open(tree / "c" / "00007.png").convert("L"), np.float64)
    expected = grey.reshape(12, 2, 12, 2).mean(axis=(1, 3)).ravel() / 255
    np.testing.assert_allclose(store["c"].embedding[6], expected, atol=2e-3)  # float16
    assert summary.embeddings[0].n_frames == 41


@pytest.mark.heavy
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_several_embeddings_in_one_pass_equal_one_at_a_time(tree: Path, tmp_path: Path, dtype: str):
    both = [request("x", dtype=dtype), request("y", weights="random:1", dtype=dtype), THUMBNAIL]
    extract(tree, tmp_path / "together", *both)
    for one in both:
        extract(tree, tmp_path / "apart", one)
        assert_same(tmp_path / "together" / one.name, tmp_path / "apart" / one.name)
    x, y = (open_store(tmp_path / "together" / name) for name in "xy")
    assert x.fingerprint != y.fingerprint
    assert [field for field, _, _ in x.spec.differences(y.spec)] == ["weights"]


@pytest.mark.heavy
def test_a_frames_embedding_does_not_depend_on_its_batch_mates(tree: Path, tmp_path: Path):
    # Other videos, so other mates and another place in the batch; the shape of batches is fixed.
    extract(tree, tmp_path / "all", request("face", dtype="float32"))
    write_tree(tmp_path / "x")
    shutil.rmtree(tmp_path / "x" / "a")
    (tmp_path / "x" / "c" / "00001.png").unlink()
    extract(tmp_path / "x", tmp_path / "some", request("face", dtype="float32"))
    whole, part = (open_store(tmp_path / name / "face") for name in ("all", "some"))
    np.testing.assert_array_equal(whole["c"].embedding[1:], part["c"].embedding)


@pytest.mark.heavy
def test_hdf5_and_zarr_stores_of_the_same_run_hold_the_same(tree: Path, tmp_path: Path):
    extract(tree, tmp_path / "h", request("face"))
    extract(tree, tmp_path / "z", request("face"), store="zarr")
    assert (tmp_path / "z" / "face.zarr").is_dir()
    assert_same(tmp_path / "h" / "face", tmp_path / "z" / "face")


def test_frames_of_other_sizes_are_brought_to_the_input_size(tree: Path, tmp_path: Path):
    mixed = write_tree(tmp_path / "mixed", {"a": 4}, size=24)
    Image.new("RGB", (50, 31), "blue").save(mixed / "a" / "00002.png")
    extract(mixed, tmp_path / "c")
    Image.new("RGB", (24, 24), "blue").save(mixed / "a" / "00002.png")
    extract(mixed, tmp_path / "d")
    one, two = (open_store(tmp_path / name / "thumbnail")["a"].embedding for name in "cd")
    np.testing.assert_array_equal(one, two)


def test_an_unreadable_frame_is_a_gap_and_is_not_tried_again(tree: Path, tmp_path: Path):
    path = tree / "a" / "00005.png"
    path.write_bytes(path.read_bytes()[:60])
    summary = extract(tree, tmp_path / "c").embeddings[0]
    assert summary.n_failures == 1
    store = open_store(tmp_path / "c" / "thumbnail")
    assert 5 not in store["a"].frame
    (failure,) = store.failures
    assert (failure.video, failure.frame) == ("a", 5)
    assert failure.reason
    assert extract(tree, tmp_path / "c").embeddings[0].n_current == 4


def test_on_error_fail_names_the_frame(tree: Path, tmp_path: Path):
    (tree / "a" / "00005.png").write_bytes(b"x")
    with pytest.raises(FramesError, match=r"a.00005\.png"):
        extract(tree, tmp_path / "c", on_error="fail")


def test_a_video_without_a_readable_frame_is_named_and_the_others_are_stored(
    tree: Path, tmp_path: Path
):
    (tree / "b/right" / "00001.png").write_bytes(b"x")
    summary = extract(tree, tmp_path / "c")
    assert summary.embeddings[0].unreadable_videos == ["b/right"]
    with pytest.raises(FramesError, match="b/right"):
        summary.raise_for_unreadable_videos()
    assert len(open_store(tmp_path / "c" / "thumbnail")) == 3
    assert extract(tree, tmp_path / "c").embeddings[0].unreadable_videos == ["b/right"]


def test_the_run_leaves_torchs_grad_mode_alone(tree: Path, tmp_path: Path):
    extract(tree, tmp_path / "c", request("face"))
    assert torch.is_grad_enabled()


def test_each_frame_is_decoded_once_for_all_embeddings(tree: Path, tmp_path: Path):
    extract(tree, tmp_path / "c")
    more = request("small", "thumbnail", "none", input_size="6")
    summary = extract(tree, tmp_path / "c", THUMBNAIL, more)
    assert [item.n_frames for item in summary.embeddings] == [0, 61]
    assert summary.n_decoded == 61
    both = [request(name, "thumbnail", "none", input_size="6") for name in ("one", "two")]
    summary = extract(tree, tmp_path / "c", *both)
    assert [item.n_frames for item in summary.embeddings] == [61, 61]
    assert summary.n_decoded == 61


def test_batches_have_a_multiple_of_8_frames(tree: Path, tmp_path: Path):
    assert extract(tree, tmp_path / "c", batch_size=9).embeddings[0].n_forward == 4
    assert open_store(tmp_path / "c" / "thumbnail").run_settings["batch_size"] == 16


def test_one_name_for_two_embeddings_is_refused(tree: Path, tmp_path: Path):
    both = [request(name, "thumbnail", "none") for name in ("One", "one")]
    with pytest.raises(UsageError, match="'one' is there twice"):
        extract(tree, tmp_path / "c", *both)


def test_a_refused_run_leaves_no_new_store_behind(tree: Path, tmp_path: Path):
    extract(tree, tmp_path / "c")
    other = request("thumbnail", "thumbnail", "none", input_size="6")
    with pytest.raises(FingerprintError, match=r"input_size is 12 in the store and 6 asked for"):
        extract(tree, tmp_path / "c", request("a-new-one", "thumbnail", "none"), other)
    assert [path.name for path in (tmp_path / "c").iterdir() if path.suffix == ".h5"] == [
        "thumbnail.h5"
    ]
    assert not (tmp_path / "c" / "a-new-one.h5.parts").exists()


def test_on_error_fail_also_refuses_gaps_of_an_earlier_run(tree: Path, tmp_path: Path):
    (tree / "a" / "00005.png").write_bytes(b"x")
    extract(tree, tmp_path / "c")
    with pytest.raises(FramesError, match="frame 5 of 'a' was not"):
        extract(tree, tmp_path / "c", on_error="fail")


def test_random_weights_are_said_in_the_summary(tree: Path, tmp_path: Path):
    shutil.rmtree(tree / "a")
    shutil.rmtree(tree / "c")
    text = extract(tree, tmp_path / "c", request("face"), THUMBNAIL).text()
    named = [line.split()[0] for line in text.splitlines() if "RANDOM WEIGHTS" in line]
    assert named == ["face"]


def test_the_final_table_has_a_row_an_embedding(tree: Path, tmp_path: Path):
    extract(tree, tmp_path / "c")
    (tree / "a" / "00005.png").write_bytes(b"x")
    small = request("small", "thumbnail", "none", input_size=8)
    lines = extract(tree, tmp_path / "c", THUMBNAIL, small).text().splitlines()
    assert [line.split() for line in lines[1:4]] == [
        ["embedding", "current", "computed", "frames", "failed", "size", "precision", "store"],
        ["thumbnail", "3", "1", "36", "1", "10.4kB", "fp32", str(tmp_path / "c" / "thumbnail.h5")],
        ["small", "0", "4", "60", "1", "7.68kB", "fp32", str(tmp_path / "c" / "small.h5")],
    ]
    assert "small: 1 frames could not be read (`abaw cache info` tells why)" in lines
