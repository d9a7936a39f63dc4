"""Annotation files that are damaged, misnamed or half there: refused by name, none left out."""

import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from abaw.cli import main
from abaw.temporal.data.annotation_rows import read_rows
from abaw.temporal.errors import AnnotationError

from .task_files import AU, EXPR, ROWS, VA, read, write_crops, write_task, write_video

ZEROS = ",".join("0" * 12)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["labels", *map(str, arguments)])


def test_a_link_to_an_annotation_file_that_is_gone_is_refused(tmp_path: Path):
    folder = write_task(tmp_path)
    (folder / "Train_Set" / "gone.txt").symlink_to(tmp_path / "nowhere.txt")
    words = r"gone\.txt must be the file of a video, but is a link that leads nowhere; mend or"
    with pytest.raises(AnnotationError, match=words):
        read(folder)


def test_a_folder_that_is_called_like_an_annotation_file_is_refused(tmp_path: Path):
    folder = write_task(tmp_path)
    (folder / "Validation_Set" / "deep.txt").mkdir()
    with pytest.raises(AnnotationError, match=r"deep\.txt must be the file of a video, but is a f"):
        read(folder)


def test_a_suffix_in_capitals_is_a_suffix(tmp_path: Path):
    folder = write_task(tmp_path)
    write_video(folder / "Train_Set", "more", *ROWS["va"]).rename(folder / "Train_Set/more.TXT")
    assert read(folder).videos == ("clip", "more", "other")


def test_two_files_of_one_video_are_refused(tmp_path: Path):
    folder = write_task(tmp_path)
    shutil.copy(folder / "Train_Set" / "clip.txt", folder / "Train_Set" / "clip.TXT")
    with pytest.raises(AnnotationError, match=r"'clip' .*clip\.TXT and .*clip\.txt; remove one"):
        read(folder)


def test_two_folders_of_one_split_are_refused(tmp_path: Path):
    folder = write_task(tmp_path)
    shutil.copytree(folder / "Train_Set", folder / "train_set")
    with pytest.raises(AnnotationError, match=r"holds Train_Set and train_set; remove one"):
        read(folder)


def test_a_stray_file_whose_name_is_not_utf8_is_reported(tmp_path: Path):
    folder = write_task(tmp_path)
    (folder / "Train_Set" / os.fsdecode(b"n\xff.md")).touch()
    result = run(folder, "--cache", tmp_path / "c")
    assert result.exit_code == 0, result.output
    assert r"1 files and folders that are no annotations: Train_Set/n\xff.md" in result.stdout


def test_an_annotation_file_whose_name_is_not_utf8_is_read(tmp_path: Path):
    path = tmp_path / os.fsdecode(b"n\xff.txt")
    path.write_text(f"a/1.jpg,0,0,4,{ZEROS}\n")
    result = CliRunner().invoke(main, ["labels", "--train", path, "--cache", str(tmp_path / "c")])
    assert result.exit_code == 0, result.output


def test_text_that_is_not_utf8_is_named_with_what_to_do(tmp_path: Path):
    folder = write_task(tmp_path)
    path = folder / "Train_Set" / "clip.txt"
    path.write_bytes("\n".join(ROWS["va"]).encode("utf-16"))
    result = run(folder, "--cache", tmp_path / "c")
    assert result.exit_code == 1
    assert (
        f"{path} must be text in UTF-8, but has the byte 0xff in line 1; save it" in result.stderr
    )
    path.write_bytes(b"valence,arousal\n0.5,0.5\r\n0.5\xa0,0.5\n")
    with pytest.raises(AnnotationError, match=r"clip\.txt must be .* byte 0xa0 in line 3; save it"):
        read(folder)


def test_a_file_that_the_system_cannot_read_is_named_with_what_to_do(tmp_path: Path):
    folder = write_task(tmp_path)
    (folder / "Train_Set" / "bad.txt").symlink_to("/proc/self/mem")  # every read of it fails
    result = run(folder, "--cache", tmp_path / "c")
    assert result.exit_code == 1
    assert (
        "bad.txt must be a readable file, but is not: Input/output error; copy it" in result.stderr
    )


@pytest.mark.parametrize("mark", ["\x0c", "\x85", "\u2028", "\x1d"])
def test_only_line_ends_end_a_line(tmp_path: Path, mark: str):
    """Python's own splitlines cuts at eight other marks, and would make two videos of one name."""
    folder = write_task(tmp_path, "expr")
    write_video(folder / "Train_Set", "clip", EXPR, f"4{mark}4")
    with pytest.raises(AnnotationError, match=r"expression in .*clip\.txt:2 must be"):
        read(folder)
    listed = tmp_path / "list.txt"
    listed.write_text(f"z{mark}y\n")
    with pytest.raises(Exception, match=r"a video id must be .*list\.txt:1 is not"):
        read(write_task(tmp_path / "b"), listed, [write_crops(tmp_path / "crops", z=[1])])


def test_an_old_mac_line_end_ends_a_line(tmp_path: Path):
    folder = write_task(tmp_path)
    write_video(folder / "Train_Set", "clip", *ROWS["va"], end="\r")
    assert read(folder).length.tolist() == [3, 3]


@pytest.mark.parametrize("split", ["train", "test"])
def test_frame_0_is_refused_as_frames_count_from_1(tmp_path: Path, split):
    path = tmp_path / "t.txt"
    path.write_text(f"a/00000.jpg,0,0,4,{ZEROS}\n")
    with pytest.raises(AnnotationError, match=r"t\.txt:1 is frame 0 .*count from 1.*'a/00000.jpg'"):
        read_rows(path, split)


def test_an_empty_field_is_said_to_be_empty(tmp_path: Path):
    folder = write_task(tmp_path)
    write_video(folder / "Train_Set", "clip", VA, "0.1,")
    with pytest.raises(AnnotationError, match=r"arousal in .*clip\.txt:2 must .* but is empty;"):
        read(folder)


@pytest.mark.parametrize(
    ("task", "line"), [("va", "1.0,-5"), ("expr", "4.0"), ("au", ",".join(["1.0", "-1.0"] * 6))]
)
def test_whole_numbers_may_be_written_with_a_point(tmp_path: Path, task: str, line: str):
    folder = write_task(tmp_path, task)
    write_video(folder / "Train_Set", "clip", ROWS[task][0], line)
    table = read(folder)
    if task == "expr":
        assert table.expression[0] == 4
    if task == "au":
        assert table.au[0].tolist() == [1, 0] * 6
        assert table.au_is_labelled[0].tolist() == [True, False] * 6


@pytest.mark.parametrize("task", ["va", "expr", "au"])
@pytest.mark.parametrize("bad", ["nan", "inf", "-inf", "0.5.5", "0x1", '"0"'])
def test_text_that_is_no_number_of_the_task_is_refused(tmp_path: Path, task: str, bad: str):
    folder = write_task(tmp_path, task)
    header, good = ROWS[task][:2]
    write_video(folder / "Train_Set", "clip", header, ",".join([bad, *good.split(",")[1:]]))
    with pytest.raises(AnnotationError, match=r"clip\.txt:2 must be"):
        read(folder)


def test_a_first_line_that_is_a_label_is_not_taken_for_a_header(tmp_path: Path):
    """A file without header whose first frame is written wrongly must not lose that frame."""
    folder = write_task(tmp_path)
    write_video(folder / "Train_Set", "clip", "0.5;0.5", "0.25,0.25")
    with pytest.raises(AnnotationError, match=r"clip\.txt:1 must be 'valence,arousal'.*'0.5;0.5'"):
        read(folder)


@pytest.mark.parametrize("line", [",x", ",", " ,"])
def test_a_line_of_a_list_that_names_no_video_is_refused(tmp_path: Path, line: str):
    listed = tmp_path / "list.txt"
    listed.write_text(f"z\n{line}\n")
    with pytest.raises(AnnotationError, match=r"list\.txt:2 must begin with the name of a video"):
        read(write_task(tmp_path), listed, [write_crops(tmp_path / "crops", z=[1])])


def test_videos_in_folders_of_batches_may_be_listed_by_name(tmp_path: Path):
    listed = tmp_path / "list.txt"
    listed.write_text("batch1/z\nbatch2/z\n")
    crops = write_crops(tmp_path / "crops", **{"batch1/z": [1, 2], "batch2/z": [1]})
    table = read(write_task(tmp_path), listed, [crops])
    assert table.row_path[-3:] == [f"batch{k}.jpg" for k in ("1/z/00001", "1/z/00002", "2/z/00001")]


def test_a_header_in_the_middle_of_a_file_is_refused(tmp_path: Path):
    """As two files in one would have."""
    folder = write_task(tmp_path, "au")
    write_video(folder / "Train_Set", "clip", AU, ZEROS, AU, ZEROS)
    with pytest.raises(AnnotationError, match=r"AU1 in .*clip\.txt:3 must be .* but is AU1;"):
        read(folder)
