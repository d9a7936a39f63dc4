"""What is current, what goes on where it stopped, and what is made anew."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from abaw.cache import Piece, VideoState
from abaw.extract.decode import read_frame
from abaw.extract.frames import SourceVideo, find_videos, stat_hash
from abaw.extract.staleness import SourceHashes, find_work


@pytest.fixture
def hashes() -> Iterator[SourceHashes]:
    with ThreadPoolExecutor(2) as pool:
        yield SourceHashes(pool)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "v").mkdir()
    for number in range(1, 11):
        (tmp_path / "v" / f"{number:05d}.jpg").write_bytes(b"not an image %d" % number)
    return tmp_path


def source(tree: Path) -> SourceVideo:
    return find_videos([tree]).videos["v"]


def piece(video: SourceVideo, start: int, stop: int) -> Piece:
    content = sum(read_frame(video, n).input_hash for n in range(start, stop))
    return Piece(start, stop - start, content % 2**128, stat_hash(video, start, stop), "fp32")


def state(video: SourceVideo, *cuts: tuple[int, int], version: int = 1) -> VideoState:
    pieces = tuple(piece(video, *cut) for cut in cuts)
    is_complete = sum(cut.source_length for cut in pieces) == video.n_frames
    return VideoState(version, is_complete, video.n_frames, pieces)


def test_a_video_the_store_does_not_know_is_new(tree: Path, hashes: SourceHashes):
    work = find_work(None, source(tree), hashes)
    assert (work.version, work.ranges, work.reason) == (1, ((0, 10),), "new")


def test_an_unchanged_video_is_current_without_reading_a_byte(tree: Path, hashes: SourceHashes):
    work = find_work(state(source(tree), (0, 10), version=3), source(tree), hashes)
    assert (work.version, work.ranges, work.n_frames) == (3, (), 0)
    assert hashes.n_read == 0


def test_touched_files_are_read_once_for_all_embeddings_and_are_current(
    tree: Path, hashes: SourceHashes
):
    before = state(source(tree), (0, 10))
    os.utime(tree / "v" / "00004.jpg", ns=(1, 1))
    after = source(tree)
    assert [find_work(before, after, hashes).ranges for _ in range(3)] == [(), (), ()]
    assert hashes.n_read == 10


def test_one_changed_byte_makes_the_next_version(tree: Path, hashes: SourceHashes):
    before = state(source(tree), (0, 10), version=2)
    (tree / "v" / "00004.jpg").write_bytes(b"not an image X")  # of the same length
    work = find_work(before, source(tree), hashes)
    assert (work.version, work.ranges, work.reason) == (3, ((0, 10),), "input: frames changed")


def test_two_files_that_swap_names_are_a_change(tree: Path, hashes: SourceHashes):
    before = state(source(tree), (0, 10))
    one, two = tree / "v" / "00001.jpg", tree / "v" / "00002.jpg"
    bytes_one, bytes_two = one.read_bytes(), two.read_bytes()
    one.write_bytes(bytes_two)
    two.write_bytes(bytes_one)
    assert find_work(before, source(tree), hashes).version == 2


def test_added_frames_are_told_with_both_counts(tree: Path, hashes: SourceHashes):
    before = state(source(tree), (0, 10))
    (tree / "v" / "00099.jpg").write_bytes(b"x")
    work = find_work(before, source(tree), hashes)
    assert work.reason == "input: has 11 frames, was extracted with 10"
    assert work.ranges == ((0, 11),)


def test_an_interrupted_video_goes_on_where_pieces_are_missing(tree: Path, hashes: SourceHashes):
    before = state(source(tree), (2, 5), (7, 8), version=4)
    work = find_work(before, source(tree), hashes)
    assert (work.version, work.ranges) == (4, ((0, 2), (5, 7), (8, 10)))
    assert work.n_frames == 6


def test_an_interrupted_video_whose_pieces_changed_starts_over(tree: Path, hashes: SourceHashes):
    before = state(source(tree), (2, 5))
    (tree / "v" / "00004.jpg").write_bytes(b"another")
    work = find_work(before, source(tree), hashes)
    assert (work.version, work.ranges) == (2, ((0, 10),))


def test_a_change_where_nothing_is_stored_yet_does_not_start_over(tree: Path, hashes: SourceHashes):
    before = state(source(tree), (2, 5))
    (tree / "v" / "00009.jpg").write_bytes(b"another")
    work = find_work(before, source(tree), hashes)
    assert (work.version, work.ranges) == (1, ((0, 2), (5, 10)))
