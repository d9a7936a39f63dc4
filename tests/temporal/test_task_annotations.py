"""Annotations of one task, a file for each video: line by line."""

import time
from pathlib import Path

import numpy as np
import pytest

from abaw.cache import SPLITS
from abaw.temporal.data.annotation_report import report_text
from abaw.temporal.errors import AnnotationError

from .task_files import (
    AU,
    EXPR,
    ROWS,
    VA,
    frames_of,
    oddities_of,
    read,
    write_crops,
    write_task,
    write_video,
)


def test_the_kth_line_is_frame_k_whatever_crops_there_are(tmp_path: Path):
    folder = write_task(tmp_path)
    crops = write_crops(tmp_path / "crops", clip=[3, 2], other=[1])
    table = read(folder, frames=[crops])
    clip = frames_of(table, "clip")
    assert table.frame[clip].tolist() == [1, 2, 3]
    np.testing.assert_allclose(table.valence[clip], [0.021, 0, 0.03], atol=1e-7)
    np.testing.assert_allclose(table.arousal[clip], [0.104, 0, 0.11], atol=1e-7)
    assert table.valence_is_labelled[clip].tolist() == [True, False, True]
    assert table.row_path[:3] == ["clip/00001.jpg", "clip/00002.jpg", "clip/00003.jpg"]
    assert not table.expression_is_labelled.any()
    assert not table.au_is_labelled.any()


def test_an_expression_is_one_number_under_a_header_of_eight_names(tmp_path: Path):
    table = read(write_task(tmp_path, "expr"))
    clip = frames_of(table, "clip")
    assert table.expression[clip].tolist() == [4, 0, 7]
    assert table.expression_is_labelled[clip].tolist() == [True, False, True]
    assert not table.valence_is_labelled.any()


def test_an_au_row_is_stored_element_by_element_and_a_partial_one_reported(tmp_path: Path):
    folder = write_task(tmp_path, "au")
    write_video(folder / "Train_Set", "clip", AU, "1,0,-1,1,0,1,0,1,0,1,0,1")
    table = read(folder)
    clip = frames_of(table, "clip")
    assert table.au[clip].tolist() == [[1, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1]]
    assert table.au_is_labelled[clip].tolist() == [[True, True, False, *[True] * 9]]
    report = table.meta["report"]
    assert report["oddities"]["rows with some AUs only"]["examples"] == ["clip/00001.jpg"]
    assert (report["splits"]["train"]["au"], report["splits"]["val"]["au"]) == (0, 2)


@pytest.mark.parametrize("line", ["-5,0.1", "0.1,-5", "-5.0,0.1"])
def test_a_frame_without_valence_or_arousal_has_neither(tmp_path: Path, line: str):
    folder = write_task(tmp_path)
    write_video(folder / "Train_Set", "clip", VA, line, "0.5,0.25")
    table = read(folder)
    clip = frames_of(table, "clip")
    for task, value in (("valence", 0.5), ("arousal", 0.25)):
        assert getattr(table, task)[clip].tolist() == [0, value]
        assert getattr(table, f"{task}_is_labelled")[clip].tolist() == [False, True]
    assert table.row_valence_is_labelled[0] != table.row_arousal_is_labelled[0]
    assert oddities_of(table)["rows with one of valence and arousal"] == 1
    assert table.meta["report"]["splits"]["train"]["va"] == 1


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("header", [VA, " Valence , Arousal", "\ufeffvalence,arousal", None])
def test_header_and_line_ends_do_not_move_the_frames(tmp_path: Path, header, end: str):
    folder = write_task(tmp_path)
    lines = ([] if header is None else [header]) + ["0.5,0.5", "0.25,0.25", ""]
    write_video(folder / "Train_Set", "clip", *lines, end=end)
    table = read(folder)
    clip = frames_of(table, "clip")
    assert table.frame[clip].tolist() == [1, 2]
    assert table.valence[clip].tolist() == [0.5, 0.25]
    headless = table.meta["report"]["oddities"]["files without a first line of names"]
    assert headless["examples"] == ([] if header else ["Train_Set/clip.txt"])


def test_videos_of_all_three_styles_and_both_people_are_ids_of_their_own(tmp_path: Path):
    names = ["10-60-1280x720", "10-60-1280x720_right", "428", "video2", "video2_left", "video10_1"]
    table = read(write_task(tmp_path, train=names))
    assert table.videos == tuple(sorted([*names, "other"]))
    paths = [path for path in table.row_path if path.startswith("10-60-1280x720_right/")]
    assert paths == [f"10-60-1280x720_right/{number:05d}.jpg" for number in (1, 2, 3)]


def test_labels_without_a_crop_and_crops_without_a_label_are_counted(tmp_path: Path):
    folder = write_task(tmp_path, train=["clip", "bare"])
    one = write_crops(tmp_path / "a", clip=[1, 2, 4, 5], unknown=[1])
    two = write_crops(tmp_path / "b", other=[1, 2, 3])
    (two / ".DS_Store").touch()
    table = read(folder, frames=[one, two])
    found = table.meta["report"]["oddities"]
    # clip has labels 1, 2, 3 and crops 1, 2, 4, 5; bare has no crop at all.
    missing = ["bare/00001", "bare/00002", "bare/00003", "clip/00003"]
    assert found["listed frames without a crop"] == {"count": 4, "examples": missing}
    assert found["crops that no row lists"]["examples"] == ["clip/00004", "clip/00005"]
    assert found["videos of crops that no row names"]["examples"] == ["unknown"]
    splits = table.meta["report"]["splits"]
    assert (splits["train"]["with_crop"], splits["train"]["without_crop"]) == (1, 3)
    assert (splits["val"]["with_crop"], splits["val"]["without_crop"]) == (2, 0)
    lines = report_text(table.meta["report"]).splitlines()
    assert lines[0] == "train  6 rows, 2 videos, 4 with va, 3 of these without a crop"


def test_rows_are_kept_in_order_of_split_video_and_line(tmp_path: Path):
    table = read(write_task(tmp_path, train=["video10_1", "428"], val=["2"]))
    order = ["428"] * 3 + ["video10_1"] * 3 + ["2"] * 3
    assert [table.videos[number] for number in table.row_video] == order
    assert table.row_frame.tolist() == [1, 2, 3] * 3
    assert [SPLITS[code] for code in table.row_split] == ["train"] * 6 + ["val"] * 3


@pytest.mark.parametrize(
    ("task", "header", "words"),
    [
        ("expr", EXPR.removesuffix(",Other"), ["ABAW1 and ABAW2", "7 classes", "ABAW3 or later"]),
        ("au", "AU1,AU2,AU4,AU6,AU12,AU15,AU20,AU25", ["ABAW1", "8 other AUs", "ABAW3 or later"]),
        ("va", EXPR, ["EXPR_Classification_Challenge", "folder of its own"]),
        ("va", "arousal,valence", ["'valence,arousal'", "'arousal,valence'"]),
    ],
)
def test_a_file_with_other_columns_is_refused_by_name(tmp_path: Path, task, header, words):
    folder = write_task(tmp_path, task)
    path = write_video(folder / "Validation_Set", "other", header, "0")
    with pytest.raises(AnnotationError) as caught:
        read(folder)
    for word in [f"{path}:1", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("task", "line", "words"),
    [
        ("va", "0.1", ["2 comma-separated fields (valence, arousal)", "has 1"]),
        ("va", "0.1,1.2", ["arousal", "1.2", "[-1, 1]"]),
        ("va", "0.1,x", ["arousal", "is x"]),
        ("va", "nan,0.1", ["valence", "nan"]),
        ("expr", "8", ["expression", "0 to 7", "is 8"]),
        ("expr", "0,0,0,0,1,0,0,0", ["1 comma-separated fields (expression)", "has 8"]),
        ("au", ",".join("0" * 8), ["12 comma-separated fields", "has 8"]),
        ("au", ",".join([*"0" * 11, "2"]), ["AU26", "is 2"]),
        ("va", "", ["empty", "frame before"]),
    ],
)
def test_a_wrong_line_is_named_by_file_line_and_value(tmp_path: Path, task, line: str, words):
    folder = write_task(tmp_path, task)
    header, good, *_ = ROWS[task]
    path = write_video(folder / "Train_Set", "clip", header, good, line, good)
    with pytest.raises(AnnotationError) as caught:
        read(folder)
    for word in [f"{path}:3", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize("lines", [("",), (VA,), (VA, "")])
def test_a_file_without_a_label_is_named(tmp_path: Path, lines):
    folder = write_task(tmp_path)
    write_video(folder / "Train_Set", "clip", *lines)
    with pytest.raises(AnnotationError, match=r"clip\.txt must hold a line for each frame"):
        read(folder)


@pytest.mark.slow
def test_as_many_rows_as_the_largest_release_are_read_in_a_minute(tmp_path: Path):
    folder = tmp_path / "AU_Set"
    lines = [AU, *[",".join("010101010101")] * 4_600]
    for number in range(295):
        write_video(folder / "Train_Set", f"{number}", *lines)
    write_video(folder / "Validation_Set", "v", *lines)
    start = time.process_time()
    table = read(folder)
    assert time.process_time() - start < 60
    assert len(table.row_path) == 296 * 4_600
