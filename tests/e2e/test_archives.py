"""Zips and tars through the command line."""

import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from abaw.cache import open_store
from abaw.cli import main

_ENCRYPTED = 1


def extract(cache: Path, *trees: Path) -> Result:
    backbone = ("--backbone", "thumbnail", "--weights", "none")
    arguments = ("extract", *trees, "--cache", cache, "-q", *backbone)
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A video of four frames."""
    folder = tmp_path / "cropped_aligned" / "v"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(1, 5):
        pixels = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:05d}.jpg")
    return folder.parent


def zipped(tree: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(tree.rglob("*.jpg")):
            archive.write(file, file.relative_to(tree.parent))
    return path


def tarred(tree: Path, path: Path) -> Path:
    with tarfile.open(path, "w") as archive:
        archive.add(tree, tree.name)
    return path


@pytest.mark.parametrize(("pack", "name"), [(zipped, "b.zip"), (tarred, "b.tar")])
def test_an_archive_gives_the_store_of_its_tree(tree: Path, tmp_path: Path, pack, name: str):
    assert extract(tmp_path / "folder", tree).exit_code == 0
    result = extract(tmp_path / "packed", pack(tree, tmp_path / name))
    assert result.exit_code == 0, result.output
    one, other = (open_store(tmp_path / kind / "thumbnail")["v"] for kind in ("folder", "packed"))
    np.testing.assert_array_equal(one.embedding, other.embedding)
    np.testing.assert_array_equal(one.frame, other.frame)


def test_a_video_in_a_folder_and_in_a_zip_is_refused_by_name(tree: Path, tmp_path: Path):
    result = extract(tmp_path / "c", tree, zipped(tree, tmp_path / "b.zip"))
    assert result.exit_code == 1
    assert "'v' is in both" in result.output
    assert "b.zip" in result.output


def test_an_encrypted_member_is_a_frame_that_could_not_be_read(tree: Path, tmp_path: Path):
    path = zipped(tree, tmp_path / "b.zip")
    data = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # of the first member
        data[data.index(mark) + flags] |= _ENCRYPTED
    path.write_bytes(data)
    result = extract(tmp_path / "c", path)
    assert result.exit_code == 0, result.output
    assert "1 frames could not be read" in result.stdout
    store = open_store(tmp_path / "c" / "thumbnail")
    np.testing.assert_array_equal(store["v"].frame, [2, 3, 4])
