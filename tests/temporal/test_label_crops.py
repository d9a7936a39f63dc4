"""`abaw labels --frames` reads the trees that `abaw extract` reads, and sees the same videos."""

import re
import tarfile
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from abaw.cli import main
from abaw.core.frames import find_videos
from abaw.temporal.data.crops import CropTrees

from .task_files import read, write_crops, write_task


def pack(tree: Path, path: Path, top: str) -> Path:
    files = sorted(file for file in tree.rglob("*") if file.is_file())
    names = [top + file.relative_to(tree).as_posix() for file in files]
    if path.suffix == ".tar":
        with tarfile.open(path, "w") as archive:
            for file, name in zip(files, names, strict=True):
                archive.add(file, name)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for file, name in zip(files, names, strict=True):
                archive.write(file, name)
    return path


def labels(tmp_path: Path, folder: Path, *frames: Path) -> Result:
    given = [word for tree in frames for word in ("--frames", str(tree))]
    cache = str(tmp_path / "cache")
    return CliRunner().invoke(main, ["labels", str(folder), *given, "--cache", cache])


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_archives_and_folders_of_crops_are_one_set(tmp_path: Path, suffix: str):
    folder = write_task(tmp_path, train=["clip", "clip_left"])
    one = write_crops(tmp_path / "one", clip=[1, 3, 4])
    two = write_crops(tmp_path / "two", clip_left=[1, 2], other=[2], stranger=[1])
    three = write_crops(tmp_path / "three", second=[1])
    batches = [pack(one, tmp_path / f"batch1{suffix}", "crops/")]
    batches += [pack(two, tmp_path / f"batch2{suffix}", ""), three]
    result = labels(tmp_path, folder, *batches)
    assert result.exit_code == 0, result.output
    assert "train  6 rows, 2 videos, 4 with va, 1 of these without a crop" in result.stdout
    found = "clip/00002, clip_left/00003, other/00001, other/00003"
    assert f"4 listed frames without a crop: {found}" in result.stdout
    assert "1 crops that no row lists: clip/00004" in result.stdout
    assert "2 videos of crops that no row names: second, stranger" in result.stdout


def test_a_folder_in_an_archive_is_a_tree(tmp_path: Path):
    folder = write_task(tmp_path)
    crops = write_crops(tmp_path / "crops", clip=[1, 2, 3], other=[1, 2, 3])
    archive = pack(crops, tmp_path / "all.zip", "Aff/cropped_aligned/")
    result = labels(tmp_path, folder, archive / "Aff" / "cropped_aligned")
    assert result.exit_code == 0, result.output
    assert "without a crop:" not in result.stdout


def test_the_length_of_a_listed_video_is_taken_from_an_archive_too(tmp_path: Path):
    listed = tmp_path / "list.txt"
    listed.write_text("z_right\n")
    archive = pack(write_crops(tmp_path / "crops", z_right=[2, 4]), tmp_path / "test.tar", "")
    table = read(write_task(tmp_path), listed, [archive])
    assert table.row_path[-4:] == [f"z_right/{number:05d}.jpg" for number in (1, 2, 3, 4)]


def test_crops_are_those_that_stage_1_would_extract(tmp_path: Path):
    crops = write_crops(tmp_path / "crops", **{"a/left": [2, 7], "b": [1]})
    (crops / "b" / "00000.jpg").touch()  # frames count from 1
    (crops / "b" / "cover.jpg").touch()
    (crops / "b" / "3.PNG").touch()
    found, frames = CropTrees([crops]), find_videos([crops])
    assert set(found.videos) == set(frames.videos) == {"a/left", "b"}
    assert found.numbers("a/left").tolist() == [2, 7]
    assert found.numbers("b").tolist() == frames.videos["b"].numbers.tolist() == [1, 3]
    assert found.numbers("c").tolist() == []


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path / "nowhere", "nowhere must be a folder .* or a .zip or .tar of one"),
        (lambda path: write_crops(path / "empty", v=[]), "empty must hold frames .* has none"),
        (lambda path: pack(path / "one", path / "x.tar.gz", ""), "compressed as a whole"),
        (lambda path: write_crops(path / "two", clip=[2]), "'clip' is in both"),
        (lambda path: path / "one" / "clip", "lies in"),
    ],
)
def test_a_tree_that_stage_1_would_refuse_is_refused_with_exit_code_1(tmp_path: Path, make, words):
    folder = write_task(tmp_path)
    one = write_crops(tmp_path / "one", clip=[1, 3, 4])
    result = labels(tmp_path, folder, one, make(tmp_path))
    assert result.exit_code == 1, result.output
    assert re.search(words, result.stderr)
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "cache").exists()
