"""Faults put into stores one at a time: each is found, named and repaired, and nothing else."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from abaw.cache import CorruptStoreError, open_store, repair_store, verify_store
from abaw.cache import writer as writer_module
from abaw.cli import main

N_VIDEOS = 4


def write(kit, path: Path, *, compacted: bool = True, constant: str = "") -> list:
    sources = [kit.make_source(f"v{n}", 6, unreadable=[1]) for n in range(N_VIDEOS)]
    with kit.open_writer(path) as writer:
        for source in sources:
            if source.video == constant:
                source.embedding[:] = 1.0
            kit.add_whole(writer, source)
            writer.flush()
        if compacted:
            writer.compact()
    return sources


def row_files(path: Path) -> list[Path]:
    """The files that hold embeddings, by name."""
    if path.suffix == ".zarr":
        return sorted(path.glob("**/embedding/c/0/0"))
    return sorted([*path.parent.glob("*.h5"), *path.parent.glob("*.parts/*.h5")])


def flip(path: Path, what: bytes) -> None:
    data = bytearray(path.read_bytes())
    assert data.count(what) == 1
    data[data.index(what)] ^= 1
    path.write_bytes(data)


def rows_of(store: Path, video: str) -> bytes:
    with open_store(store) as opened:
        return opened[video].embedding.tobytes()


@pytest.mark.parametrize("compacted", [True, False], ids=["compacted", "parts"])
def test_a_sound_store_is_sound(kit, path, compacted: bool):
    write(kit, path, compacted=compacted)
    found = verify_store(path)
    assert (found.problems, found.n_videos, found.n_frames) == ([], N_VIDEOS, 5 * N_VIDEOS)
    assert "sound, 4 videos, 20 frames" in found.text()
    found.raise_for_problems()


@pytest.mark.parametrize("compacted", [True, False], ids=["compacted", "parts"])
def test_a_flipped_byte_names_its_video_and_repair_drops_that_alone(kit, path, compacted: bool):
    sources = write(kit, path, compacted=compacted)
    bad = rows_of(path, "v2")
    (file,) = [file for file in row_files(path) if bad in file.read_bytes()]
    flip(file, bad)
    found = verify_store(path)
    (problem,) = found.problems
    assert (problem.kind, problem.video) == ("corrupt", "v2")
    with pytest.raises(CorruptStoreError, match="has 1 problems"):
        found.raise_for_problems()
    assert repair_store(path, found) == ["v2"]
    assert verify_store(path).problems == []
    with open_store(path) as store:
        assert list(store) == ["v0", "v1", "v3"]
        for source in sources[:2]:
            kit.assert_holds(store, source)
    with kit.open_writer(path) as writer:  # an extraction makes it anew, and only it
        assert writer.state("v2") is None
        kit.add_whole(writer, sources[2])
        writer.compact()
    assert verify_store(path).problems == []
    with open_store(path) as store:
        kit.assert_holds(store, sources[2])


def test_a_part_whose_index_is_damaged_is_set_aside(kit, path):
    sources = write(kit, path, compacted=False)
    backend_parts = sorted(path.parent.glob("**/0000000[1-9]-*"))
    part = backend_parts[2]  # the first one holds the settings, the second v0
    file = part if part.is_file() else part / "index/version/c/0"
    with kit.open_writer(path) as writer:
        assert writer.state("v1") is not None
    if part.is_file():
        with h5py.File(part, "r+") as opened:
            opened["index/version"][0] = 9
    else:
        file.write_bytes(np.array([9], "<i4").tobytes())
    found = verify_store(path)
    assert [(problem.kind, problem.place, problem.video) for problem in found.problems] == [
        ("corrupt", part, "")
    ]
    repair_store(path, found)
    assert part.with_name(f"{part.name}.broken").exists()
    assert verify_store(path).problems == []
    with open_store(path) as store:
        assert list(store) == ["v0", "v2", "v3"]
        kit.assert_holds(store, sources[3])


def test_a_compacted_file_that_cannot_be_read_is_set_aside_with_a_word(kit, path):
    write(kit, path)
    if path.suffix == ".h5":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        (path / json.loads((path / "zarr.json").read_text())["attributes"]["current"]
         / "zarr.json").write_text("{")  # fmt: skip
    found = verify_store(path)
    assert [(problem.kind, problem.video) for problem in found.problems] == [("corrupt", "")]
    repair_store(path, found)
    assert list(path.parent.glob("**/*.broken"))
    write(kit, path)  # an extraction begins anew under the name
    assert verify_store(path).problems == []


def test_rows_that_are_not_finite_are_told_though_their_checksum_is_right(
    kit, path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(  # a writer that lets everything in
        writer_module,
        "to_stored",
        lambda video, frame, embedding, stored: embedding.astype(stored.dtype),
    )
    source = kit.make_source("v", 6)
    source.embedding[2, 3] = np.nan
    with kit.open_writer(path) as writer:
        kit.add_whole(writer, source)
        writer.compact()
    (problem,) = verify_store(path).problems
    assert (problem.video, problem.what) == ("v", "1 embeddings are not finite")


def test_equal_embeddings_are_suspicious_but_no_fault(kit, path):
    write(kit, path, constant="v3")
    found = verify_store(path)
    (problem,) = found.problems
    assert (problem.kind, problem.video) == ("suspicious", "v3")
    assert problem.what == "all 5 embeddings are equal"
    found.raise_for_problems()
    assert repair_store(path, found) == []
    assert len(open_store(path)) == N_VIDEOS


def test_a_video_that_was_broken_off_is_incomplete(kit, path):
    write(kit, path)
    longer = kit.make_source("long", 9)
    with kit.open_writer(path) as writer:
        writer.add("long", **longer.piece(0, 4))
    (problem,) = verify_store(path).problems
    assert (problem.kind, problem.video) == ("incomplete", "long")
    assert problem.what.startswith("4 of 9 source frames are stored of version 1")


def test_a_missing_zarr_chunk_names_its_group(kit, path):
    if path.suffix == ".h5":
        pytest.skip("HDF5 has one file")
    write(kit, path)
    row_files(path)[0].unlink()
    (problem,) = verify_store(path).problems
    assert problem.kind == "corrupt"
    assert "must be there, but is missing" in problem.what


def test_a_frame_that_is_missing_or_too_many_is_found(kit, path):
    """A writer that cannot count: rows that no entry has."""
    if path.suffix == ".zarr":
        pytest.skip("the same check; HDF5 is easier to change in place")
    write(kit, path)
    with h5py.File(path, "r+") as file:
        old = {name: file[name][...] for name in ("embedding", "frame")}
        for name, values in old.items():
            del file[name]
            file.create_dataset(name, data=np.concatenate([values, values[-1:]]))
    (problem,) = verify_store(path).problems
    assert problem.what == "rows 20 to 21 belong to no video"


def test_an_empty_cache_is_no_sound_one(tmp_path: Path):
    found = CliRunner().invoke(main, ["cache", "verify", "--cache", str(tmp_path)])
    assert found.exit_code == 1
    assert "must hold stores to look at, but holds none; give another --cache" in found.stderr


def test_an_address_is_no_folder():
    found = CliRunner().invoke(main, ["cache", "info", "--cache", "s3://bucket/features"])
    assert found.exit_code == 2
    assert "--cache is a folder of files" in found.stderr
    assert "ObjectPath" in found.stderr
