"""Adding, resuming, replacing and compacting, on both backends."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest

from abaw.cache import CacheError, CorruptStoreError, Failure, LockedError, h5_store, open_store
from abaw.cache.backend import remove_abandoned, temporary_path
from abaw.cache.locate import backend_of
from abaw.cache.lock import Owner


def test_a_store_is_continued_where_it_was_left(kit, path):
    first, second = kit.make_source("a", 3), kit.make_source("b", 4)
    with kit.open_writer(path) as writer:
        kit.add_whole(writer, first)
        writer.compact()
    with kit.open_writer(path) as writer:
        assert writer.state("a").complete
        assert writer.state("b") is None
        kit.add_whole(writer, second)
        writer.compact()
    with open_store(path) as store:
        kit.assert_holds(store, first)
        kit.assert_holds(store, second)


def test_a_long_video_is_resumed_by_another_writer_inside_the_video(kit, path):
    source = kit.make_source("long", 10, unreadable=[1, 8])
    with kit.open_writer(path) as writer:
        writer.add("long", **source.piece(0, 3))
        writer.add("long", **source.piece(3, 4))
        writer.add("long", **source.piece(7, 9))
    assert "long" not in open_store(path)
    with kit.open_writer(path) as writer:
        state = writer.state("long")
        assert not state.complete
        assert state.missing == [(4, 7), (9, 10)]
        assert [(p.source_start, p.source_length) for p in state.pieces] == [(0, 4), (7, 2)]
        assert state.pieces[0].input_hash == source.hash(0, 4)
        for start, stop in state.missing:
            writer.add("long", **source.piece(start, stop))
        assert writer.state("long").complete
        assert writer.state("long").input_hash == source.hash()
        writer.flush()
        kit.assert_holds(open_store(path), source)
        writer.compact()
    kit.assert_holds(open_store(path), source)
    assert len(open_store(path).failures) == 2


def test_a_changed_video_is_served_in_its_old_version_until_the_new_one_is_complete(kit, path):
    old, new = kit.make_source("a", 4), kit.make_source("a", 5, seed=1, unreadable=[0])
    with kit.open_writer(path) as writer:
        kit.add_whole(writer, old)
        writer.compact()
        before = open_store(path)
        writer.add("a", **new.piece(0, 3, version=2))
        writer.flush()
        kit.assert_holds(open_store(path), old)
        assert not open_store(path).failures
        writer.compact()  # the pieces of the incomplete version are carried over
        kit.assert_holds(open_store(path), old)
        state = kit.open_writer(path).state("a")
        assert (state.version, state.missing) == (2, [(3, 5)])
        writer.add("a", **new.piece(3, 5, version=2))
        writer.flush()
        kit.assert_holds(open_store(path), new)
        writer.compact()
    kit.assert_holds(open_store(path), new)
    assert open_store(path)["a"].version == 2
    assert open_store(path).failures == [
        Failure("a", int(new.number[0]), f"cannot read frame {new.number[0]}")
    ]
    kit.assert_holds(before, old)


def test_another_precision_is_recorded_per_video(kit, path):
    source = kit.make_source("a", 4)
    with kit.open_writer(path) as writer:
        writer.add("a", **source.piece(0, 2))
        writer.add("a", **source.piece(2, 4, precision="bf16"))
        assert [piece.precision for piece in writer.state("a").pieces] == ["fp32", "bf16"]
        writer.flush()
        assert open_store(path)["a"].precision == "bf16+fp32"
        writer.compact()
    assert open_store(path)["a"].precision == "bf16+fp32"


def test_a_part_closes_by_time_and_by_size(kit, path):
    def n_parts():
        return open_store(path).n_parts - 1  # the first one holds no videos

    source = kit.make_source("a", 4)
    with kit.open_writer(path, commit_every=0.0) as writer:
        writer.add("a", **source.piece(0, 2))
        assert n_parts() == 1
    with kit.open_writer(path, max_part_bytes=3 * (2 * kit.DIM + 4)) as writer:
        writer.add("a", **source.piece(2, 4))
        assert n_parts() == 1
        kit.add_whole(writer, kit.make_source("b", 1))
        assert n_parts() == 2


def test_many_parts_are_compacted_while_writing(kit, path, monkeypatch):
    monkeypatch.setattr("abaw.cache.writer.MAX_PARTS", 4)
    sources = [kit.make_source(f"v{n}", 2) for n in range(5)]
    with kit.open_writer(path) as writer:
        for source in sources:
            kit.add_whole(writer, source)
            writer.flush()
    with open_store(path) as store:
        assert store.n_parts < 4
        for source in sources:
            kit.assert_holds(store, source)


def test_many_parts_stay_parts_while_another_host_compacts(kit, path, monkeypatch):
    monkeypatch.setattr("abaw.cache.writer.MAX_PARTS", 2)
    source = kit.make_source("a", 2)
    with kit.open_writer(path) as writer:
        folder = writer._backend.parts_folder(path)
        owner = replace(Owner.this_process(), host="node7")
        (folder / "lock-1").write_text(json.dumps(asdict(owner)))
        kit.add_whole(writer, source)
        writer.flush()
        assert open_store(path).n_parts == 2
        kit.assert_holds(open_store(path), source)
        with pytest.raises(LockedError, match="of node7 holds lock-1"):
            writer.compact()
        writer.compact(break_lock=True)
    assert open_store(path).n_parts == 0


def test_a_part_is_written_also_when_a_compaction_removes_its_folder_meanwhile(
    kit, path, monkeypatch
):
    if path.suffix == ".zarr":
        pytest.skip("this backend keeps its folder of parts")
    made, removed = h5_store.make_folder, []

    def make_folder(folder):
        made(folder)
        if folder.suffix == ".parts" and not removed:
            folder.rmdir()
            removed.append(folder)

    monkeypatch.setattr(h5_store, "make_folder", make_folder)
    source = kit.make_source("a", 2)
    with kit.open_writer(path) as writer:
        kit.add_whole(writer, source)
    assert removed
    kit.assert_holds(open_store(path), source)


def test_work_done_before_an_exception_is_kept(kit, path):
    source = kit.make_source("a", 2)

    def interrupted():
        with kit.open_writer(path) as writer:
            kit.add_whole(writer, source)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    kit.assert_holds(open_store(path), source)


@pytest.mark.parametrize(
    ("dtype", "value", "pattern"),
    [
        pytest.param(
            "float16",
            70000.0,
            r"dimension 2 of frame \d+ of video 'a' is 70000; .* dtype=float32",
            id="overflow",
        ),
        pytest.param("float32", np.nan, "dimension 2 of frame .* is nan", id="nan"),
        pytest.param("float16", -np.inf, "dimension 2 of frame .* is -inf", id="inf"),
    ],
)
def test_numbers_that_cannot_be_stored_are_refused_with_their_place(
    kit, path, dtype, value, pattern
):
    source = kit.make_source("a", 2)
    source.embedding[1, 2] = value
    with kit.open_writer(path, kit.make_spec(dtype=dtype)) as writer:
        with pytest.raises(CacheError, match=pattern):
            kit.add_whole(writer, source)
        assert writer.state("a") is None


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        pytest.param({"source_start": 3}, r"3\+4 of version 1", id="range"),
        pytest.param({"version": 0}, "version of at least 1", id="version"),
        pytest.param({"failures": [Failure("a", 99, "x")]}, "are 5", id="count"),
        pytest.param({"frame": np.array([3, 2, 4, 5])}, "strictly rising", id="frames"),
        pytest.param({"frame": np.array([1, 2, 3, 2**31])}, "must fit int32", id="int32"),
        pytest.param(
            {"embedding": np.zeros((4, 6))}, r"must be \(4, 5\).*but is \(4, 6\)", id="dim"
        ),
        pytest.param(
            {"input_hash": 2**128}, r"input_hash of 'a' must be in \[0, 2\*\*128\)", id="hash"
        ),
    ],
)
def test_a_piece_that_contradicts_itself_is_refused(kit, path, change, pattern):
    with (
        kit.open_writer(path) as writer,
        pytest.raises(ValueError, match=pattern),
    ):
        writer.add("a", **(kit.make_source("a", 4).piece(0, 4) | change))


def test_a_reader_keeps_what_it_opened_across_writing_and_compaction(kit, path):
    sources = [kit.make_source(f"v{n}", 3) for n in range(4)]
    with kit.open_writer(path) as writer:
        kit.add_whole(writer, sources[0])
        writer.flush()
        in_parts = open_store(path)
        kit.add_whole(writer, sources[1])
        writer.compact()
        compacted = open_store(path)
        kit.add_whole(writer, sources[2])
        writer.compact()
        kit.add_whole(writer, sources[3])
        writer.compact()
    assert in_parts.videos == ("v0",)
    kit.assert_holds(in_parts, sources[0])
    assert compacted.videos == ("v0", "v1")
    for source in sources[:2]:
        kit.assert_holds(compacted, source)
    assert len(open_store(path)) == 4


def test_parts_left_by_a_compaction_that_was_cut_off_change_nothing(kit, path, monkeypatch):
    source = kit.make_source("a", 4, unreadable=[2])
    with kit.open_writer(path) as writer:
        writer.add("a", **source.piece(0, 2))
        writer.flush()
        writer.add("a", **source.piece(2, 4))
        with monkeypatch.context() as patch:
            patch.setattr(type(writer._backend), "remove_parts", lambda self, parts: None)
            writer.compact()
    assert open_store(path).n_parts == 3
    kit.assert_holds(open_store(path), source)
    assert len(open_store(path).failures) == 1
    with kit.open_writer(path) as writer:
        assert writer.state("a").complete
        writer.compact()
        again = kit.snapshot(path)
    with kit.open_writer(path.parent / "x" / path.name) as writer:
        kit.add_whole(writer, source)
        writer.compact()
    assert again == kit.snapshot(path.parent / "x" / path.name)


def test_compaction_refuses_rows_that_changed_on_disk(kit, path):
    source = kit.make_source("a", 4)
    with kit.open_writer(path) as writer:
        kit.add_whole(writer, source)
        writer.flush()
        raw = source.rows.astype("f2").tobytes()
        hit = 0
        for file in path.parent.rglob("*"):
            if file.is_file() and raw in file.read_bytes():
                data = bytearray(file.read_bytes())
                data[data.index(raw) + 3] ^= 1
                file.write_bytes(data)
                hit += 1
        assert hit == 1
        with pytest.raises(CorruptStoreError, match=r"rows of video 'a' .* must have the checksum"):
            writer.compact()
    assert open_store(path).n_parts == 2


def test_leftovers_of_a_dead_writer_are_ignored_and_removed_and_those_of_a_living_one_kept(
    kit, path
):
    kit.open_writer(path)
    backend = backend_of(path)
    living = temporary_path(backend.parts_folder(path) / "00000009-0123456789ab")
    dead = living.with_name(living.name.replace(f"-{os.getpid()}-", f"-{_dead_pid()}-"))
    foreign = living.with_name(living.name.replace(".tmp-", ".tmp-elsewhere"))
    old = foreign.with_name(foreign.name.replace("elsewhere", "faraway"))
    for item in (living, dead, foreign, old):
        item.mkdir()
        (item / "x").touch()
    os.utime(old, (0, 0))
    assert len(open_store(path)) == 0
    assert sorted(remove_abandoned(backend, path)) == sorted([dead, old])
    assert living.is_dir()
    assert foreign.is_dir()


def _dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_attributes_of_a_later_version_are_kept(kit, path):
    with kit.open_writer(path) as writer:
        writer._head = replace(writer._head, extra={"from_the_future": '{"a":1}'})
        kit.add_whole(writer, kit.make_source("a", 3))
        writer.compact()
    with kit.open_writer(path) as writer:
        kit.add_whole(writer, kit.make_source("b", 2))
        writer.flush()
    with open_store(path) as store:
        assert store.n_parts == 1
    with kit.open_writer(path) as writer:
        writer.compact()
    found = kit.snapshot(path)
    assert found["@from_the_future"] == '{"a":1}'
    assert list(open_store(path)) == ["a", "b"]
