"""What is current is left alone, and what changed is made anew."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from abaw.cache import FingerprintError, StoreWriter, open_store
from abaw.core.errors import UsageError
from abaw.extract import load_backbone
from abaw.extract.frames import find_videos, stat_hash

from .made import (
    THUMBNAIL,
    VIDEOS,
    assert_same,
    extract,
    request,
    write_tree,
)

pytestmark = [pytest.mark.heavy, pytest.mark.usefixtures("one_thread")]


def test_a_second_run_computes_nothing_and_leaves_the_file_alone(tree: Path, tmp_path: Path):
    first = extract(tree, tmp_path / "c", request("face"))
    before = (tmp_path / "c" / "face.h5").stat()
    second = extract(tree, tmp_path / "c", request("face"))
    assert first.embeddings[0].n_forward == 8  # 61 frames in batches of 8
    assert (second.embeddings[0].n_forward, second.embeddings[0].n_current) == (0, 4)
    after = (tmp_path / "c" / "face.h5").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_touched_or_copied_tree_with_equal_bytes_is_current(tree: Path, tmp_path: Path):
    extract(tree, tmp_path / "c")
    for path in tree.rglob("*.png"):
        os.utime(path, ns=(1, 1))
    assert extract(tree, tmp_path / "c").embeddings[0].n_forward == 0
    shutil.copytree(tree, tmp_path / "copy", copy_function=shutil.copyfile)
    assert extract(tmp_path / "copy", tmp_path / "c").embeddings[0].n_forward == 0


@pytest.mark.parametrize("change", ["bytes", "added", "removed"])
def test_a_changed_video_is_the_only_one_recomputed(tree: Path, tmp_path: Path, change: str):
    extract(tree, tmp_path / "c")
    if change == "bytes":
        Image.new("RGB", (24, 24), "red").save(tree / "c" / "00003.png")
    elif change == "added":
        Image.new("RGB", (24, 24), "red").save(tree / "c" / "00099.png")
    else:
        (tree / "c" / "00003.png").unlink()
    summary = extract(tree, tmp_path / "c").embeddings[0]
    todo = [work.video for work in summary.works if work.ranges]
    assert todo == ["c"]
    store = open_store(tmp_path / "c" / "thumbnail")
    assert {video: store[video].version for video in store}["c"] == 2
    assert store["a"].version == 1
    fresh = extract(tree, tmp_path / "fresh")
    assert fresh.embeddings[0].n_frames == store.n_frames
    assert_same(tmp_path / "c" / "thumbnail", tmp_path / "fresh" / "thumbnail")


def test_a_new_video_is_the_only_work(tree: Path, tmp_path: Path):
    extract(tree, tmp_path / "c")
    write_tree(tmp_path / "more", {"d": 3})
    summary = extract([tree, tmp_path / "more"], tmp_path / "c").embeddings[0]
    assert (summary.n_current, summary.n_frames) == (4, 3)
    absent = extract(tree, tmp_path / "c").embeddings[0]
    assert absent.n_absent == 1
    assert "d" in open_store(tmp_path / "c" / "thumbnail")


def test_other_weights_under_the_same_name_are_refused(tree: Path, tmp_path: Path):
    extract(tree, tmp_path / "c", request("face"))
    before = (tmp_path / "c" / "face.h5").read_bytes()
    with pytest.raises(FingerprintError, match=r"weights is 'sha256:\w+' .* 'sha256:\w+'"):
        extract(tree, tmp_path / "c", request("face", weights="random:1"))
    assert (tmp_path / "c" / "face.h5").read_bytes() == before


def test_another_precision_is_refused_unless_allowed(tree: Path, tmp_path: Path):
    extract(tree, tmp_path / "c")
    write_tree(tmp_path / "more", {"d": 3})
    trees = [tree, tmp_path / "more"]
    with pytest.raises(UsageError, match="begun in fp32, but bf16"):
        extract(trees, tmp_path / "c", precision="bf16")
    extract(trees, tmp_path / "c", precision="bf16", allow_precision=True)
    store = open_store(tmp_path / "c" / "thumbnail")
    assert (store["a"].precision, store["d"].precision) == ("fp32", "bf16")


def test_a_dry_run_says_what_and_why_and_writes_nothing(tree: Path, tmp_path: Path):
    text = extract(tree, tmp_path / "c", dry_run=True).text()
    assert not (tmp_path / "c").exists()
    assert "b/left: 5 frames, new" in text
    extract(tree, tmp_path / "c")
    (tree / "c" / "00003.png").write_bytes(b"x")
    text = extract(tree, tmp_path / "c", dry_run=True).text()
    assert "c: 18 frames, input: frames changed" in text
    assert "a: current" in text


def test_another_every_makes_the_videos_anew(tree: Path, tmp_path: Path):
    extract(tree, tmp_path / "c", every=10)
    np.testing.assert_array_equal(
        open_store(tmp_path / "c" / "thumbnail")["a"].frame, [1, 11, 21, 31]
    )
    assert extract(tree, tmp_path / "c", every=10).embeddings[0].n_current == 4
    assert extract(tree, tmp_path / "c").embeddings[0].n_done == 3  # b/right has one frame
    assert len(open_store(tmp_path / "c" / "thumbnail")["a"]) == 37


def test_a_file_the_system_did_not_give_is_tried_again(tree: Path, tmp_path: Path):
    path = tree / "a" / "00005.png"
    path.rename(tmp_path / "kept.png")
    path.symlink_to(tmp_path / "gone.png")
    assert extract(tree, tmp_path / "c").embeddings[0].n_failures == 1
    assert extract(tree, tmp_path / "c").embeddings[0].n_current == 4
    (tmp_path / "kept.png").rename(tmp_path / "gone.png")
    summary = extract(tree, tmp_path / "c").embeddings[0]
    assert [work.video for work in summary.works if work.ranges] == ["a"]
    assert summary.n_failures == 0


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that gives EIO")
def test_a_read_error_leaves_no_trust_in_size_and_time(tree: Path, tmp_path: Path):
    (tree / "a" / "00005.png").unlink()
    (tree / "a" / "00005.png").symlink_to("/proc/self/mem")
    assert extract(tree, tmp_path / "c").embeddings[0].n_failures == 1
    spec = load_backbone(THUMBNAIL).spec
    with StoreWriter.open(tmp_path / "c" / "thumbnail.h5", spec, {}) as writer:
        stored = {video: writer.state(video).stat_hash for video in VIDEOS}
    videos = find_videos([tree]).videos
    trusted = [video for video in VIDEOS if stored[video] == stat_hash(videos[video])]
    assert trusted == ["b/left", "b/right", "c"]
    assert extract(tree, tmp_path / "c").embeddings[0].n_current == 4  # the bytes decide


@pytest.mark.parametrize("device", ["cuda", "cpu"])  # CPUs are not all fast in the same precision
def test_going_on_slowly_on_another_device_has_to_be_asked_for(tree, tmp_path: Path, device: str):
    spec = load_backbone(THUMBNAIL).spec
    begun = {"device": device, "precision": "fp16", "batch_size": 128, "threads": 1}
    (tmp_path / "c").mkdir()
    StoreWriter.open(tmp_path / "c" / "thumbnail.h5", spec, {}, run_settings=begun).close()
    with pytest.raises(UsageError, match=f"begun in fp16 on {device}, but the cpu here is fast"):
        extract(tree, tmp_path / "c", precision="auto", batch_size=None)
    summary = extract(tree, tmp_path / "c", precision="fp32", allow_precision=True)
    assert summary.embeddings[0].n_frames == 61
