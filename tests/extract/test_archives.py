"""Trees in zips and tars: the same videos, numbers, bytes and hashes as unpacked."""

import io
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from abaw.core.names import VideoIdError
from abaw.extract import FramesError
from abaw.extract.decode import read_frame
from abaw.extract.frames import find_videos

from .made import VIDEOS, assert_same, extract, write_tree

pytestmark = [pytest.mark.heavy, pytest.mark.usefixtures("one_thread")]

KINDS = ("stored.zip", "deflated.zip", "plain.tar")


def pack(tree: Path, path: Path, top: str = "cropped_aligned/") -> Path:
    files = sorted(file for file in tree.rglob("*") if file.is_file())
    if path.suffix == ".tar":
        with tarfile.open(path, "w") as archive:
            for file in files:
                archive.add(file, top + file.relative_to(tree).as_posix())
        return path
    method = zipfile.ZIP_STORED if "stored" in path.name else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in files:
            archive.write(file, top + file.relative_to(tree).as_posix())
    return path


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_is_the_tree_that_was_packed(tree: Path, tmp_path: Path, kind: str):
    (tree / "a" / "notes.txt").write_text("x")
    unpacked, packed = find_videos([tree]), find_videos([pack(tree, tmp_path / kind)])
    assert list(packed.videos) == list(unpacked.videos) == list(VIDEOS)
    assert packed.n_stray == unpacked.n_stray == 1
    for video, source in packed.videos.items():
        other = unpacked.videos[video]
        np.testing.assert_array_equal(source.numbers, other.numbers)
        for position in range(source.n_frames):
            assert source.read(position) == other.read(position)
            mine, theirs = read_frame(source, position), read_frame(other, position)
            assert mine.input_hash == theirs.input_hash
            assert not mine.reason


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_of_a_tree_that_was_extracted_is_current(tree: Path, tmp_path: Path, kind: str):
    extract(tree, tmp_path / "c")
    archive = pack(tree, tmp_path / kind)
    assert extract(archive, tmp_path / "c").embeddings[0].n_current == 4
    extract(archive, tmp_path / "fresh")
    assert_same(tmp_path / "c" / "thumbnail", tmp_path / "fresh" / "thumbnail")


def test_folders_and_archives_are_one_set(tree: Path, tmp_path: Path):
    more = pack(write_tree(tmp_path / "more", {"d": 3}), tmp_path / "stored.zip", top="batch2/")
    assert list(find_videos([tree, more]).videos) == [*VIDEOS, "d"]
    with pytest.raises(FramesError, match="'d' is in both"):
        find_videos([tmp_path / "more", more])


def test_a_folder_in_an_archive_can_be_named(tree: Path, tmp_path: Path):
    archive = pack(tree, tmp_path / "stored.zip")
    assert list(find_videos([archive / "cropped_aligned" / "b"]).videos) == ["left", "right"]
    with pytest.raises(FramesError, match="nowhere must hold frames"):
        find_videos([archive / "nowhere"])


def test_a_video_of_an_archive_can_be_sent_to_another_process(tree: Path, tmp_path: Path):
    source = find_videos([pack(tree, tmp_path / "stored.zip")]).videos["c"]
    assert pickle.loads(pickle.dumps(source)).read(3) == source.read(3)


@pytest.mark.parametrize("name", ["../a/00001.jpg", "a/../../00001.jpg", "/a/00001.jpg"])
def test_a_member_that_would_lead_out_of_the_tree_is_refused(tmp_path: Path, name: str):
    archive = write_zip(tmp_path / "x.zip", {name: b"x", "b/00001.jpg": b"x"})
    with pytest.raises(VideoIdError, match=r"x\.zip"):
        find_videos([archive])


def test_a_frame_number_that_is_there_twice_is_refused(tmp_path: Path):
    archive = write_zip(tmp_path / "x.zip", {"a/00001.jpg": b"x", "a/1.png": b"x"})
    with pytest.raises(FramesError, match=r"00001\.jpg and 1\.png"):
        find_videos([archive])


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tgz", "x.7z"])
def test_an_archive_that_is_compressed_as_a_whole_is_refused(tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(FramesError, match=r"uncompressed \.tar"):
        find_videos([tmp_path / name])


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_that_is_cut_short_is_refused_by_name(tree: Path, tmp_path: Path, kind: str):
    archive = pack(tree, tmp_path / kind)
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FramesError, match=f"{kind} must be .* damaged"):
        find_videos([archive])


def test_a_changed_byte_in_a_member_is_seen(tree: Path, tmp_path: Path):
    archive = pack(tree, tmp_path / "stored.zip")
    source = find_videos([archive]).videos["c"]
    data = bytearray(archive.read_bytes())
    start = bytes(data).index(source.read(4)[0])
    data[start + 20] ^= 1
    archive.write_bytes(data)
    frame = read_frame(find_videos([archive]).videos["c"], 4)
    assert frame.reason == "damaged archive: its bytes do not fit their checksum"


def test_a_member_that_inflates_to_more_than_it_claims_is_not_inflated(tmp_path: Path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/00001.jpg", bytes(1 << 20))
    data = path.read_bytes()
    claimed, real = struct.pack("<I", 100), struct.pack("<I", 1 << 20)
    assert data.count(real) == 2  # in the member's own header and in the index
    path.write_bytes(data.replace(real, claimed))
    frame = read_frame(find_videos([path]).videos["a"], 0)
    assert frame.reason == "damaged archive: it must have 100 bytes, but has another number"


def test_links_and_devices_in_a_tar_are_not_followed(tmp_path: Path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name, kind in (("a/00001.jpg", tarfile.SYMTYPE), ("a/00002.jpg", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("a/00003.jpg")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"data"))
    frames = find_videos([tmp_path / "x.tar"])
    source = frames.videos["a"]
    assert source.numbers.tolist() == [1, 3]
    assert frames.n_stray == 1
    assert "a link in an archive, which is not followed" in source.read(0)[1]
    assert source.read(1) == (b"data", "")


def test_a_frame_takes_few_bytes_of_memory(tmp_path: Path):
    folder = tmp_path / "frames" / "a"
    folder.mkdir(parents=True)
    for number in range(1, 3001):
        (folder / f"{number:05d}.jpg").touch()
    source = find_videos([tmp_path / "frames"]).videos["a"]
    assert len(pickle.dumps(source)) < 24 * 3000
