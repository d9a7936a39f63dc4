"""The test lists of the challenges of one task: of every frame, or of the videos only."""

from pathlib import Path

import pytest

from abaw.cache import SPLITS
from abaw.temporal.errors import AnnotationError

from .task_files import AU, EXPR, frames_of, read, write_crops, write_task


def test_a_sample_file_fixes_the_rows_of_the_test_split_and_labels_none(tmp_path: Path):
    """ABAW5's has an empty rest, ABAW6's made-up values; the order is the file's."""
    folder = write_task(tmp_path)
    sample = tmp_path / "CVPR_6th_ABAW_VA_test_set_example.txt"
    paths = ["z/00001.jpg", "z/00002.jpg", "a_left/00001.jpg", "a_left/00002.jpg"]
    rest = [",0.5,0.5", ",", "", ",-5,-5"]
    rows = [path + more for path, more in zip(paths, rest, strict=True)]
    sample.write_text("\n".join(["image_location,valence,arousal", *rows]) + "\n")
    table = read(folder, sample)
    is_test = table.row_split == SPLITS.index("test")
    assert [path for path, is_in in zip(table.row_path, is_test, strict=True) if is_in] == paths
    assert not table.row_valence_is_labelled[is_test].any()
    assert table.frame[frames_of(table, "a_left")].tolist() == [1, 2]


@pytest.mark.parametrize("header", [f"image_location,{EXPR}", None])
def test_a_sample_file_of_expressions_has_two_fields_a_row(tmp_path: Path, header):
    folder = write_task(tmp_path, "expr")
    sample = tmp_path / "sample.txt"
    sample.write_text("\n".join([*([header] if header else []), "z/00001.jpg,4", "z/00002.jpg,4"]))
    table = read(folder, sample)
    assert table.row_path[-2:] == ["z/00001.jpg", "z/00002.jpg"]
    assert not table.expression_is_labelled[frames_of(table, "z")].any()


@pytest.mark.parametrize(
    ("header", "other"),
    [
        (f"image_location,{EXPR}", "EXPR_Classification_Challenge"),
        (f"image_location,{AU}", "AU_Detection_Challenge"),
        ("image,valence,arousal,expression,aus", "the multi-task challenge"),
    ],
)
def test_the_test_list_of_another_challenge_is_refused(tmp_path: Path, header: str, other: str):
    sample = tmp_path / "sample.txt"
    sample.write_text(f"{header}\nz/00001.jpg,4\n")
    with pytest.raises(AnnotationError, match=rf"sample\.txt .*VA_Estimation.*that of {other}"):
        read(write_task(tmp_path), sample)


def test_a_list_of_videos_takes_their_length_from_the_last_crop(tmp_path: Path):
    """ABAW2 and 3: no header, a name a line; frames without a face have rows all the same."""
    folder = write_task(tmp_path)
    listed = tmp_path / "Valence_Arousal_Estimation_Challenge_test_set_release.txt"
    listed.write_text("z_right\n3,\nfaceless\n")
    crops = write_crops(tmp_path / "crops", z_right=[2, 4], clip=[1])
    more = write_crops(tmp_path / "more", **{"3": [1]})
    table = read(folder, listed, [crops, more])
    is_test = table.row_split == SPLITS.index("test")
    assert [path for path, is_in in zip(table.row_path, is_test, strict=True) if is_in] == [
        *(f"z_right/{number:05d}.jpg" for number in (1, 2, 3, 4)),
        "3/00001.jpg",
        "faceless/00001.jpg",
    ]
    found = table.meta["report"]["oddities"]
    assert found["test videos without any crop"]["examples"] == ["faceless"]
    assert found["test videos taken to end at their last crop"]["examples"] == ["z_right", "3"]


def test_a_list_of_videos_without_crops_says_what_it_needs(tmp_path: Path):
    folder = write_task(tmp_path)
    listed = tmp_path / "list.txt"
    listed.write_text("z\ny\n")
    with pytest.raises(AnnotationError, match=r"list\.txt names 2 videos.* by --frames"):
        read(folder, listed)
    crops = write_crops(tmp_path / "crops", clip=[1])
    with pytest.raises(AnnotationError, match=r"none of the 2 has, the first is 'z'"):
        read(folder, listed, [crops])
    listed.write_text("\n")
    with pytest.raises(AnnotationError, match=r"list\.txt must list frames or videos"):
        read(folder, listed, [crops])


def test_the_fingerprint_follows_the_length_that_crops_gave(tmp_path: Path):
    folder = write_task(tmp_path)
    listed = tmp_path / "list.txt"
    listed.write_text("z\n")
    crops = write_crops(tmp_path / "crops", z=[1, 5])
    before = read(folder, listed, [crops]).fingerprint
    write_crops(crops, z=[3])
    assert read(folder, listed, [crops]).fingerprint == before
    write_crops(crops, z=[6])
    assert read(folder, listed, [crops]).fingerprint != before


def test_a_video_that_is_listed_twice_must_be_as_long_each_time(tmp_path: Path):
    folder = write_task(tmp_path)
    listed = tmp_path / "list.txt"
    listed.write_text("z,3\ny,2\nz,3\n")
    assert len(read(folder, listed).row_path) == len(read(folder).row_path) + 5
    listed.write_text("z,3\ny,2\n\nz,4\n")
    with pytest.raises(
        AnnotationError, match=r"list\.txt:4 .*'z' has 4 frames, and line 1 says 3;"
    ):
        read(folder, listed)
    listed.write_text("z,3\nz\n")
    with pytest.raises(AnnotationError, match=r"list\.txt:2 .*'z' does not say.*line 1 says 3;"):
        read(folder, listed)
    listed.write_text("z\nz,3\n")
    with pytest.raises(
        AnnotationError, match=r"list\.txt:2 .*'z' has 3 frames, and line 1 does not say;"
    ):
        read(folder, listed)


@pytest.mark.parametrize("length", ["1000000000000", "10000001", "9" * 5000, "٣" * 20])
def test_a_length_that_no_video_has_is_refused_with_its_line(tmp_path: Path, length: str):
    listed = tmp_path / "list.txt"
    listed.write_text(f"y,2\nz,{length}\n")
    with pytest.raises(AnnotationError, match=r"list\.txt:2 .*at most 10,000,000 frames") as caught:
        read(write_task(tmp_path), listed)
    assert len(str(caught.value)) < 400


def test_nor_can_a_crops_number_make_a_video_that_long(tmp_path: Path):
    folder = write_task(tmp_path)
    listed = tmp_path / "list.txt"
    listed.write_text("z\n")
    crops = write_crops(tmp_path / "crops", z=[1, 999_999_999])
    with pytest.raises(
        AnnotationError, match=r"list\.txt .*'z', .*last crop is 999,999,999, .*at most 10,0"
    ):
        read(folder, listed, [crops])
