"""The frame source: what is a frame, what is refused, what is recorded."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from abaw.core.names import VideoIdError
from abaw.extract.decode import DecodedFrame, read_frame
from abaw.extract.errors import FramesError
from abaw.extract.frames import find_videos, input_hash, stat_hash


def folder(tree: Path) -> Path:
    (tree / "v").mkdir()
    return tree / "v"


def read_one(path: Path) -> DecodedFrame:
    """The one frame of the folder of `path`, as a run reads it."""
    folder = path.parent
    (video,) = find_videos([folder.parent]).videos.values()
    return read_frame(video, 0)


def image(path: Path, seed: int = 0, size: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_a_frames_number_is_its_file_name_and_frames_are_sorted_by_it(tmp_path: Path):
    for name in ("00010.jpg", "9.png", "00100.webp", "2.jpeg"):
        image(tmp_path / "v" / name)
    (video,) = find_videos([tmp_path]).videos.values()
    assert video.numbers.tolist() == [2, 9, 10, 100]
    assert video.name(1) == str(tmp_path / "v" / "9.png")


def test_ids_are_paths_below_the_tree_and_videos_are_sorted(tmp_path: Path):
    for video in ("b", "a/x_left", "a/x_right", "10-30-1280x720"):
        image(tmp_path / video / "1.jpg")
    assert list(find_videos([tmp_path]).videos) == ["10-30-1280x720", "a/x_left", "a/x_right", "b"]


def test_other_files_are_left_alone_and_counted(tmp_path: Path):
    image(tmp_path / "v" / "00001.jpg")
    for name in (".DS_Store", "notes.txt", "cover.jpg", "00000.jpg", "-1.jpg", "1.5.jpg", "².jpg"):
        (tmp_path / "v" / name).write_bytes(b"x")
    (tmp_path / "readme.md").write_bytes(b"x")
    found = find_videos([tmp_path])
    assert found.n_frames == 1
    assert found.n_stray == 8


def test_several_trees_are_one_set(tmp_path: Path):
    image(tmp_path / "one" / "a" / "1.jpg")
    image(tmp_path / "two" / "b" / "1.jpg")
    assert list(find_videos([tmp_path / "one", tmp_path / "two"]).videos) == ["a", "b"]


def test_an_id_in_two_trees_is_refused_by_name(tmp_path: Path):
    image(tmp_path / "one" / "a" / "1.jpg")
    image(tmp_path / "two" / "a" / "2.jpg")
    with pytest.raises(FramesError, match=r"'a' is in both .*one.a and .*two.a"):
        find_videos([tmp_path / "one", tmp_path / "two"])


def test_one_number_twice_is_refused_by_name(tmp_path: Path):
    image(tmp_path / "v" / "00001.jpg")
    image(tmp_path / "v" / "1.png")
    with pytest.raises(FramesError, match=r"00001\.jpg and 1\.png|1\.png and 00001\.jpg"):
        find_videos([tmp_path])


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir()], ids=["missing", "empty"])
def test_a_tree_without_frames_is_refused_by_name(tmp_path: Path, make):
    make(tmp_path / "tree")
    with pytest.raises(FramesError, match="tree must"):
        find_videos([tmp_path / "tree"])


def test_frames_directly_in_the_tree_are_refused_with_the_cure(tmp_path: Path):
    image(tmp_path / "1.jpg")
    with pytest.raises(FramesError, match="give the folder above"):
        find_videos([tmp_path])


def test_a_zero_padded_number_of_any_length_is_a_number(tmp_path: Path):
    image(tmp_path / "v" / "000000000012.jpg")
    (tmp_path / "v" / "2147483648.jpg").write_bytes(b"beyond int32")
    found = find_videos([tmp_path])
    assert found.videos["v"].numbers.tolist() == [12]
    assert found.n_stray == 1


def test_trees_inside_one_another_are_refused(tmp_path: Path):
    image(tmp_path / "one" / "two" / "v" / "1.jpg")
    with pytest.raises(FramesError, match=r"one.two lies in .*one; leave one out"):
        find_videos([tmp_path / "one" / "two", tmp_path / "one"])


def test_a_file_as_tree_is_refused_by_name(tmp_path: Path):
    with pytest.raises(FramesError, match=r"1\.jpg must be a folder .* but is a file"):
        find_videos([image(tmp_path / "1.jpg")])


def test_links_are_followed_out_of_the_tree(tmp_path: Path):
    kept = image(tmp_path / "elsewhere" / "x" / "1.jpg")
    tree = tmp_path / "tree"
    (tree / "v").mkdir(parents=True)
    (tree / "v" / "2.jpg").symlink_to(kept)
    (tree / "w").symlink_to(kept.parent)
    found = find_videos([tree])
    assert {video: found.videos[video].frame(0).number for video in found.videos} == {
        "v": 2,
        "w": 1,
    }
    assert found.videos["v"].frame(0).size == kept.stat().st_size


def test_a_link_to_a_folder_it_lies_in_is_refused(tmp_path: Path):
    image(tmp_path / "tree" / "v" / "1.jpg")
    (tmp_path / "tree" / "v" / "again").symlink_to(tmp_path / "tree")
    with pytest.raises(FramesError, match=r"v.again leads to .*tree"):
        find_videos([tmp_path / "tree"])


def test_a_broken_link_is_a_frame_that_cannot_be_read(tmp_path: Path):
    image(tmp_path / "v" / "1.jpg")
    (tmp_path / "v" / "2.jpg").symlink_to(tmp_path / "gone")
    video = find_videos([tmp_path]).videos["v"]
    frame = read_frame(video, 1)
    assert frame.reason == "cannot be read: No such file or directory"
    assert frame.is_absent


def test_a_pipe_is_no_frame(tmp_path: Path):
    image(tmp_path / "v" / "1.jpg")
    os.mkfifo(tmp_path / "v" / "2.jpg")
    found = find_videos([tmp_path])
    assert (found.n_frames, found.n_stray) == (1, 1)


def test_every_takes_the_first_frame_and_each_nth_after_it(tmp_path: Path):
    for number in (2, 3, 5, 8, 9, 11, 14):
        image(tmp_path / "v" / f"{number}.jpg")
    video = find_videos([tmp_path], every=3).videos["v"]
    assert video.numbers.tolist() == [2, 8, 14]


def test_a_folder_name_with_control_characters_is_refused(tmp_path: Path):
    image(tmp_path / "a\nb" / "1.jpg")
    with pytest.raises(VideoIdError):
        find_videos([tmp_path])


def test_hashes_of_pieces_add_up_to_that_of_the_whole(tmp_path: Path):
    for number in range(1, 6):
        image(tmp_path / "v" / f"{number}.png", seed=number)
    (video,) = find_videos([tmp_path]).videos.values()
    whole = stat_hash(video)
    assert whole == (stat_hash(video, 0, 2) + stat_hash(video, 2)) % 2**128
    assert whole != stat_hash(video, 0, 4)
    assert whole != stat_hash(video, absent={4})


def test_content_hash_tells_number_and_bytes_apart():
    assert len({input_hash(1, b"x"), input_hash(2, b"x"), input_hash(1, b"y")}) == 3


def test_touching_a_file_changes_the_stat_hash_only(tmp_path: Path):
    path = image(tmp_path / "v" / "1.png")
    (before,) = find_videos([tmp_path]).videos.values()
    content = read_one(path).input_hash
    os.utime(path, ns=(1, 1))
    (after,) = find_videos([tmp_path]).videos.values()
    assert stat_hash(before) != stat_hash(after)
    assert read_one(path).input_hash == content
