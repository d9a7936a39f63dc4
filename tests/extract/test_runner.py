"""Stage 1 as a whole, on small networks: resumable, current, equal whatever way it is run."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from abaw.cache import FingerprintError, StoreWriter, open_store
from abaw.core.errors import UsageError
from abaw.extract import EmbeddingRequest, FramesError, RunOptions, load_backbone, run
from abaw.extract.batches import EmbeddingLane
from abaw.extract.decode import read_frame
from abaw.extract.frames import find_videos, stat_hash

VIDEOS = {"a": 37, "b/left": 5, "b/right": 1, "c": 18}


def write_tree(tree: Path, videos: dict[str, int] = VIDEOS, size: int = 24) -> Path:
    rng = np.random.default_rng(0)
    for video, n_frames in videos.items():
        (tree / video).mkdir(parents=True)
        for number in range(1, n_frames + 1):
            low = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            Image.fromarray(low).resize((size, size)).save(tree / video / f"{number:05d}.png")
    return tree


@pytest.fixture(autouse=True)
def _one_thread():
    """Networks this small are slower on two threads, and far slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "frames")


def request(name: str, backbone: str = "denseface", weights: str = "random:0", **settings):
    return EmbeddingRequest(name=name, backbone=backbone, weights=weights, settings=settings)


THUMBNAIL = request("thumbnail", "thumbnail", "none")
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
OPTIONS = {"device": "cpu", "precision": "fp32", "batch_size": 8}


def extract(tree: Path, cache: Path, *requests: EmbeddingRequest, **options):
    trees = [tree] if isinstance(tree, Path) else tree
    flags = RunOptions(**{**OPTIONS, **options})
    return run(trees, requests or [THUMBNAIL], cache, flags, progress=False)


def arrays(path: Path) -> dict[str, np.ndarray]:
    store = open_store(path)
    return {
        f"{video}/{name}": np.array(getattr(store[video], name))
        for video in store
        for name in ("embedding", "frame")
    }


def assert_same(one: Path, two: Path) -> None:
    first, second = arrays(one), arrays(two)
    assert first.keys() == second.keys()
    assert first
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], strict=True)


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


def test_a_resume_keeps_the_batch_size_the_store_was_begun_with(tree: Path, tmp_path: Path):
    extract(tree, tmp_path / "c", request("face"), batch_size=8)
    write_tree(tmp_path / "more", {"d": 20})
    trees = [tree, tmp_path / "more"]
    summary = extract(trees, tmp_path / "c", request("face"), batch_size=None)
    assert summary.embeddings[0].n_forward == 3  # 20 frames in batches of 8


def test_a_dry_run_says_what_and_why_and_writes_nothing(tree: Path, tmp_path: Path):
    text = extract(tree, tmp_path / "c", dry_run=True).text()
    assert not (tmp_path / "c").exists()
    assert "b/left: 5 frames, new" in text
    extract(tree, tmp_path / "c")
    (tree / "c" / "00003.png").write_bytes(b"x")
    text = extract(tree, tmp_path / "c", dry_run=True).text()
    assert "c: 18 frames, frames changed" in text
    assert "a:" not in text


class _StopError(Exception):
    """Ends a run in the middle."""


@pytest.mark.heavy
@pytest.mark.parametrize("store", ["hdf5", "zarr"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_run_broken_off_inside_a_video_goes_on_there(
    tree: Path, tmp_path: Path, dtype: str, store: str, monkeypatch: pytest.MonkeyPatch
):
    face = request("face", dtype=dtype)
    extract(tree, tmp_path / "whole", face, store=store)
    push, pushed = EmbeddingLane.push, []

    def stop_after_20(lane, item):
        pushed.append(item)
        if len(pushed) == 21:
            raise _StopError
        push(lane, item)

    monkeypatch.setattr(EmbeddingLane, "push", stop_after_20)
    with pytest.raises(_StopError):
        extract(tree, tmp_path / "c", face, store=store, commit_every=0.0)
    monkeypatch.undo()
    assert "a" not in open_store(tmp_path / "c" / "face")  # half a video is not seen
    resumed = extract(tree, tmp_path / "c", face, store=store).embeddings[0]
    assert resumed.n_frames == 61 - 16  # two batches of 8 were committed
    assert_same(tmp_path / "whole" / "face", tmp_path / "c" / "face")


@pytest.mark.heavy
def test_a_killed_process_resumes_bit_for_bit(tmp_path: Path):
    tree = write_tree(tmp_path / "frames", {"a": 100, "b": 100, "c": 100})
    face = request("face", dtype="float32")
    extract(tree, tmp_path / "whole", face, batch_size=8)
    command = [sys.executable, "-m", "abaw", "extract", str(tree), "--backbone", "denseface"]
    command += ["--weights", "random:0", "--name", "face", "--set", "dtype=float32", "-q"]
    command += ["--cache", str(tmp_path / "c"), "--commit-every", "0", "--batch-size", "8"]
    command += ["--device", "cpu", "--precision", "fp32"]
    process = subprocess.Popen(command, env=ONE_THREAD)
    parts = tmp_path / "c" / "face.h5.parts"
    deadline = time.monotonic() + 120
    while len(list(parts.glob("*"))) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    seen = open_store(tmp_path / "c" / "face")
    assert len(seen) < 3
    resumed = extract(tree, tmp_path / "c", face, batch_size=None).embeddings[0]
    assert 0 < resumed.n_frames < 300
    assert_same(tmp_path / "whole" / "face", tmp_path / "c" / "face")


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


def test_on_error_fail_also_refuses_gaps_of_an_earlier_run(tree: Path, tmp_path: Path):
    (tree / "a" / "00005.png").write_bytes(b"x")
    extract(tree, tmp_path / "c")
    with pytest.raises(FramesError, match="frame 5 of 'a' was not"):
        extract(tree, tmp_path / "c", on_error="fail")


def test_random_weights_are_said_in_the_summary(tree: Path, tmp_path: Path):
    shutil.rmtree(tree / "a")
    shutil.rmtree(tree / "c")
    text = extract(tree, tmp_path / "c", request("face"), THUMBNAIL).text()
    lines = {line.split(":")[0].split(" ")[0]: line for line in text.splitlines()}
    assert "RANDOM WEIGHTS" in lines["face"]
    assert "RANDOM WEIGHTS" not in lines["thumbnail"]


def test_going_on_slowly_on_another_kind_of_device_has_to_be_asked_for(tree: Path, tmp_path: Path):
    spec = load_backbone(THUMBNAIL).spec
    begun = {"device": "cuda", "precision": "fp16", "batch_size": 128, "threads": 1}
    (tmp_path / "c").mkdir()
    StoreWriter.open(tmp_path / "c" / "thumbnail.h5", spec, {}, run_settings=begun).close()
    with pytest.raises(UsageError, match=r"begun in fp16 on cuda, but cpu is fast in (fp32|bf16)"):
        extract(tree, tmp_path / "c", precision="auto", batch_size=None)
    summary = extract(tree, tmp_path / "c", precision="fp32", allow_precision=True)
    assert summary.embeddings[0].n_frames == 61


@pytest.mark.heavy
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_what_it_computed(tmp_path: Path, number: int):
    tree = write_tree(tmp_path / "frames", {"a": 150, "b": 150})
    command = [sys.executable, "-m", "abaw", "extract", str(tree), "--backbone", "denseface"]
    command += ["--weights", "random:0", "--name", "face", "--cache", str(tmp_path / "c")]
    command += ["--batch-size", "8", "--device", "cpu", "--precision", "fp32"]
    process = subprocess.Popen(
        command,
        env=ONE_THREAD,
        stderr=subprocess.PIPE,
        # Begun in the background of a shell, tests ignore SIGINT, and so would this process.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    seen = b""
    while not re.search(rb" [1-9]\d*/300 ", seen):  # the bar shows that a batch is done
        more = process.stderr.read1()
        assert more, seen.decode()
        seen += more
    process.send_signal(number)
    _, rest = process.communicate(timeout=120)
    assert process.returncode == 128 + number, (seen + rest).decode()
    assert b"run the same command to go on" in rest
    assert b"Traceback" not in rest
    extract(tree, tmp_path / "whole", request("face"))
    resumed = extract(tree, tmp_path / "c", request("face"), batch_size=None).embeddings[0]
    assert 0 < resumed.n_frames < 300
    assert_same(tmp_path / "whole" / "face", tmp_path / "c" / "face")


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


def test_a_video_with_a_hole_on_both_sides_of_a_piece_is_filled(tree: Path, tmp_path: Path):
    extract(tree, tmp_path / "whole")
    record = open_store(tmp_path / "whole" / "thumbnail")["a"]
    source = find_videos([tree]).videos["a"]
    read = [read_frame(source, n).input_hash for n in range(10, 15)]
    (tmp_path / "c").mkdir()
    spec = load_backbone(THUMBNAIL).spec
    begun = {"device": "cpu", "precision": "fp32", "batch_size": 8, "threads": 1}
    with StoreWriter.open(tmp_path / "c" / "thumbnail.h5", spec, {}, run_settings=begun) as writer:
        writer.add(
            "a",
            version=1,
            source_start=10,
            source_length=5,
            source_total=37,
            frame=record.frame[10:15],
            embedding=record.embedding[10:15],
            input_hash=sum(read) % 2**128,
            stat_hash=stat_hash(source, 10, 15),
            precision="fp32",
        )
    assert extract(tree, tmp_path / "c").embeddings[0].n_frames == 61 - 5
    assert_same(tmp_path / "whole" / "thumbnail", tmp_path / "c" / "thumbnail")
