"""An extraction that was broken off goes on, bit for bit."""

import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from abaw.cache import StoreWriter, open_store
from abaw.extract import load_backbone
from abaw.extract.decode import read_frame
from abaw.extract.frames import find_videos, stat_hash
from abaw.extract.lane import Lane

from .made import ONE_THREAD, THUMBNAIL, assert_same, extract, request, write_tree

pytestmark = pytest.mark.usefixtures("one_thread")


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
    push, pushed = Lane.push, []

    def stop_after_20(lane, *item):
        pushed.append(item)
        if len(pushed) == 21:
            raise _StopError
        push(lane, *item)

    monkeypatch.setattr(Lane, "push", stop_after_20)
    with pytest.raises(_StopError):
        extract(tree, tmp_path / "c", face, store=store, commit_every=0.0)
    monkeypatch.undo()
    assert "a" not in open_store(tmp_path / "c" / "face")  # half a video is not seen
    resumed = extract(tree, tmp_path / "c", face, store=store).embeddings[0]
    assert resumed.n_frames == 61 - 8  # of two batches of 8 the second was not fetched yet
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


@pytest.mark.heavy
@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
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


@pytest.mark.heavy
def test_a_resume_keeps_the_batch_size_the_store_was_begun_with(tree: Path, tmp_path: Path):
    extract(tree, tmp_path / "c", request("face"), batch_size=8)
    write_tree(tmp_path / "more", {"d": 20})
    trees = [tree, tmp_path / "more"]
    summary = extract(trees, tmp_path / "c", request("face"), batch_size=None)
    assert summary.embeddings[0].n_forward == 3  # 20 frames in batches of 8
