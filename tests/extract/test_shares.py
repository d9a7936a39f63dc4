"""One extraction shared by several processes: devices of a machine, shards of a cluster's jobs."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from abaw.cache import open_store
from abaw.cache.lock import Owner
from abaw.cli import main
from abaw.core.errors import UsageError
from abaw.extract import ExtractError, FramesError, parse_devices, parse_shard, workers
from abaw.extract.frames import find_videos
from abaw.extract.options import RunOptions, Shard
from abaw.extract.shards import part_of, split

from .made import ONE_THREAD, THUMBNAIL, VIDEOS, assert_same, extract, request, write_tree

pytestmark = pytest.mark.usefixtures("one_thread")

FACE = request("face", dtype="float32")


def test_videos_are_split_by_frames_and_each_goes_to_one_part():
    lengths = {f"v{n}": n for n in range(1, 40)}
    parts = split(lengths, 4)
    assert sorted(video for part in parts for video in part) == sorted(lengths)
    sums = [sum(lengths[video] for video in part) for part in parts]
    assert max(sums) - min(sums) <= 2
    assert split(dict(reversed(lengths.items())), 4) == parts


def test_more_parts_than_videos_leaves_some_empty():
    assert sorted(split({"a": 1}, 3)) == [[], [], ["a"]]


def test_shards_are_a_partition_of_the_videos(tree: Path):
    frames = find_videos([tree])
    shards = [part_of(frames, Shard(n, 3)).videos for n in (1, 2, 3)]
    assert sorted(video for shard in shards for video in shard) == sorted(VIDEOS)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/2/3", "-1/2", ""])
def test_a_shard_that_cannot_be_is_refused(text: str):
    with pytest.raises(UsageError, match="I/N with I from 1 to N"):
        parse_shard(text)


@pytest.mark.parametrize("text", ["", "0,,1", "0,0", "mps,mps"])
def test_devices_that_cannot_be_are_refused(text: str):
    with pytest.raises(UsageError, match="--devices"):
        parse_devices(text)


def test_flags_that_exclude_each_other_are_refused():
    with pytest.raises(UsageError, match="--prune rewrites the whole store"):
        RunOptions(prune=True, shard=Shard(1, 2))
    with pytest.raises(UsageError, match="--device cpu cannot stand beside"):
        RunOptions(device="cpu", devices=("cpu", "cpu"))


def test_devices_that_are_not_there_are_refused(tree: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="'cuda:99' is not there"):
        extract(tree, tmp_path / "c", device="auto", devices=("cuda:99",))
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("store", ["hdf5", pytest.param("zarr", marks=pytest.mark.heavy)])
def test_shards_together_are_the_whole_and_the_last_makes_one_file(
    tree: Path, tmp_path: Path, store: str
):
    extract(tree, tmp_path / "whole", store=store)
    for number in (2, 1, 3):
        assert number == 2 or open_store(tmp_path / "c" / "thumbnail").n_parts > 0
        summary = extract(tree, tmp_path / "c", store=store, shard=Shard(number, 3))
        assert f"in shard {number}/3" in summary.text()
    assert open_store(tmp_path / "c" / "thumbnail").n_parts == 0
    assert_same(tmp_path / "whole" / "thumbnail", tmp_path / "c" / "thumbnail")


@pytest.fixture
def held_by_node7(tree: Path, tmp_path: Path) -> Path:
    """A store of one shard of two, whose lock a process of another host holds."""
    extract(tree, tmp_path / "c", shard=Shard(1, 2))
    path = tmp_path / "c" / "thumbnail.h5.parts" / "lock-1"
    owner = replace(Owner.this_process(), host="node7", pid=4711)
    path.write_text(json.dumps(asdict(owner)))
    return path


def command(tree: Path, tmp_path: Path, *flags: str) -> list[str]:
    words = ["extract", str(tree), "--cache", str(tmp_path / "c"), "--backbone", "thumbnail"]
    words += ["--weights", "none", "--device", "cpu", "--precision", "fp32", "--quiet"]
    return [*words, "--batch-size", "8", *flags]


def test_the_last_shard_that_meets_another_hosts_lock_says_so_and_ends_well(
    tree: Path, tmp_path: Path, held_by_node7: Path
):
    ended = CliRunner().invoke(main, command(tree, tmp_path, "--shard", "2/2"))
    assert ended.exit_code == 0
    for words in ("thumbnail: shard 2/2 is done", "process 4711 of node7", "--break-lock"):
        assert words in ended.stderr
    assert held_by_node7.exists()
    with open_store(tmp_path / "c" / "thumbnail") as store:
        assert store.n_parts > 1
        assert sorted(store) == sorted(VIDEOS)


def test_a_run_without_shards_that_meets_another_hosts_lock_fails(
    tree: Path, tmp_path: Path, held_by_node7: Path
):
    ended = CliRunner().invoke(main, command(tree, tmp_path))
    assert ended.exit_code == 1
    assert "process 4711 of node7 holds lock-1" in ended.stderr
    assert held_by_node7.exists()
    assert sorted(open_store(tmp_path / "c" / "thumbnail")) == sorted(VIDEOS)


def test_break_lock_takes_the_lock_of_another_host(tree: Path, tmp_path: Path, held_by_node7: Path):
    flags = ("--shard", "2/2", "--break-lock")
    ended = CliRunner().invoke(main, command(tree, tmp_path, *flags))
    assert ended.exit_code == 0
    assert "lock" not in ended.stderr
    assert not held_by_node7.exists()
    assert open_store(tmp_path / "c" / "thumbnail").n_parts == 0
    extract(tree, tmp_path / "whole")
    assert_same(tmp_path / "whole" / "thumbnail", tmp_path / "c" / "thumbnail")


def test_a_shard_does_not_count_the_others_videos_as_absent(tree: Path, tmp_path: Path):
    extract(tree, tmp_path / "c")
    assert extract(tree, tmp_path / "c", shard=Shard(1, 2)).embeddings[0].n_absent == 0


def test_a_shard_that_was_lost_is_made_by_a_run_without_shards(tree: Path, tmp_path: Path):
    first = extract(tree, tmp_path / "c", shard=Shard(1, 2)).embeddings[0]
    rest = extract(tree, tmp_path / "c").embeddings[0]
    assert (first.n_frames + rest.n_frames, first.n_frames > 0) == (61, True)
    extract(tree, tmp_path / "whole")
    assert_same(tmp_path / "whole" / "thumbnail", tmp_path / "c" / "thumbnail")


def test_prune_drops_what_is_in_none_of_the_trees_and_nothing_else(tree: Path, tmp_path: Path):
    extract(tree, tmp_path / "c")
    write_tree(tmp_path / "more", {"d": 3, "e": 2})
    extract(tmp_path / "more", tmp_path / "c")
    would = extract(tmp_path / "more", tmp_path / "c", prune=True, dry_run=True)
    assert "4 stored videos would be dropped" in would.text()
    assert len(open_store(tmp_path / "c" / "thumbnail")) == 6
    pruned = extract(tmp_path / "more", tmp_path / "c", prune=True)
    assert "4 stored videos dropped" in pruned.text()
    extract(tmp_path / "more", tmp_path / "whole")
    assert_same(tmp_path / "whole" / "thumbnail", tmp_path / "c" / "thumbnail")
    assert extract(tmp_path / "more", tmp_path / "c").embeddings[0].n_absent == 0


@pytest.mark.heavy
def test_two_processes_make_what_one_makes(tree: Path, tmp_path: Path):
    both = [FACE, THUMBNAIL]
    extract(tree, tmp_path / "one", *both)
    summary = extract(tree, tmp_path / "two", *both, device="auto", devices=("cpu", "cpu"))
    assert [item.n_frames for item in summary.embeddings] == [61, 61]
    assert summary.n_decoded == 61
    for name in ("face", "thumbnail"):
        assert_same(tmp_path / "one" / name, tmp_path / "two" / name)
        assert open_store(tmp_path / "two" / name).n_parts == 0
    again = extract(tree, tmp_path / "two", *both, device="auto", devices=("cpu", "cpu"))
    assert again.n_decoded == 0


@pytest.mark.heavy
def test_what_a_process_meets_is_told_by_the_parent(tree: Path, tmp_path: Path):
    (tree / "c" / "00009.png").write_bytes(b"x")
    with pytest.raises(FramesError, match=r"c.00009\.png is not"):
        extract(tree, tmp_path / "c", device="auto", devices=("cpu", "cpu"), on_error="fail")


def on_two_devices(tree: Path, cache: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "abaw", "extract", str(tree), "--backbone", "denseface"]
    command += ["--weights", "random:0", "--name", "face", "--set", "dtype=float32"]
    command += ["--cache", str(cache), "--commit-every", "0", "--batch-size", "8"]
    command += ["--devices", "cpu,cpu", "--precision", "fp32", "-q"]
    return subprocess.Popen(
        command,
        env=ONE_THREAD,
        stderr=subprocess.PIPE,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def workers_of(process: subprocess.Popen[bytes]) -> list[int]:
    """Return the processes that compute: children of `process` started for a device."""
    found = []
    with suppress(FileNotFoundError, ProcessLookupError):  # one of them has just ended
        for line in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            if b"spawn_main" in Path(f"/proc/{line}/cmdline").read_bytes():
                found.append(int(line))
    return found


def wait_for_parts(cache: Path, process: subprocess.Popen[bytes], n_parts: int) -> None:
    parts = cache / "face.h5.parts"
    while len(list(parts.glob("*.h5"))) < n_parts:
        assert process.poll() is None
        time.sleep(0.01)


needs_proc = pytest.mark.skipif(
    not Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists(),
    reason="needs Linux's list of child processes",
)


@needs_proc
@pytest.mark.heavy
def test_the_videos_of_a_killed_process_are_made_by_another(tmp_path: Path):
    tree = write_tree(tmp_path / "frames", {name: 32 for name in "abcdef"})
    process = on_two_devices(tree, tmp_path / "c")
    wait_for_parts(tmp_path / "c", process, 5)
    os.kill(workers_of(process)[0], signal.SIGKILL)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told.decode()
    assert b"was ended by SIGKILL; a new one goes on with its videos" in told
    extract(tree, tmp_path / "whole", FACE)
    assert_same(tmp_path / "whole" / "face", tmp_path / "c" / "face")


@needs_proc
@pytest.mark.heavy
@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_interrupt_ends_all_processes_and_keeps_what_they_computed(tmp_path: Path, number: int):
    tree = write_tree(tmp_path / "frames", {name: 40 for name in "abcdef"})
    process = on_two_devices(tree, tmp_path / "c")
    wait_for_parts(tmp_path / "c", process, 5)
    workers = workers_of(process)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + number, told.decode()
    assert b"run the same command to go on" in told
    assert b"Traceback" not in told
    assert len(workers) == 2
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    rest = extract(tree, tmp_path / "c", FACE, batch_size=None).embeddings[0]
    assert 0 < rest.n_frames < 240
    extract(tree, tmp_path / "whole", FACE)
    assert_same(tmp_path / "whole" / "face", tmp_path / "c" / "face")


@needs_proc
@pytest.mark.heavy
def test_processes_end_when_their_parent_is_killed(tmp_path: Path):
    tree = write_tree(tmp_path / "frames", {name: 200 for name in "abcdef"})
    process = on_two_devices(tree, tmp_path / "c")
    wait_for_parts(tmp_path / "c", process, 6)
    workers = workers_of(process)
    process.kill()
    process.communicate(timeout=60)
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert open_store(tmp_path / "c" / "face").n_parts >= 6


@needs_proc
@pytest.mark.heavy
def test_a_device_whose_processes_only_die_is_given_up(tmp_path: Path):
    tree = write_tree(tmp_path / "frames", {"a": 500, "b": 500})
    process = on_two_devices(tree, tmp_path / "c")
    seen: set[int] = set()
    while process.poll() is None and len(seen) < 5:
        new = set(workers_of(process)) - seen
        if len(seen) == 0 and len(new) < 2:
            continue  # both devices have to have one
        victim = max(new, default=None)
        if victim is not None:
            seen |= new
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        time.sleep(0.01)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1, told.decode()
    assert b"3 times one after another" in told
    assert b"Traceback" not in told


POISONED = """
import os, signal
import torch
from torch import nn

class Net(nn.Module):
    abaw_settings = {"input_size": 8, "mean": [0.0] * 3, "std": [1.0] * 3}

    def forward(self, frames):
        if bool((frames.amin(dim=(1, 2, 3)) > 0.99).any()):  # a white frame
            os.kill(os.getpid(), signal.SIGKILL)
        return frames.mean(dim=(2, 3))
"""


@pytest.mark.heavy
def test_a_frame_that_ends_every_process_is_not_tried_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(workers, "_MOST_IN_VAIN", 4)  # each takes seconds
    (tmp_path / "mine.py").write_text(POISONED)
    tree = write_tree(tmp_path / "frames", {"a": 48, "b": 8})
    Image.new("RGB", (24, 24), "white").save(tree / "a" / "00045.png")
    mine = request("x", f"{tmp_path / 'mine.py'}:Net", "own")
    with pytest.raises(ExtractError, match=r"4 times .* before it had committed anything"):
        extract(tree, tmp_path / "c", mine, device="auto", devices=("cpu", "cpu"))
    assert capfd.readouterr().err.count("a new one goes on with its videos") == 3
    assert list(open_store(tmp_path / "c" / "x")) == ["b"]  # what the other computed is kept
