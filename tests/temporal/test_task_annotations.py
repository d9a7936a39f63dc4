"""Annotations of one task, a file for each video: read as the challenge ships them."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from abaw.cache import SPLITS, LabelStore, LabelTable, open_store
from abaw.cli import main
from abaw.core.errors import UsageError
from abaw.core.names import VideoIdError
from abaw.core.tasks import AUS, EXPRESSIONS
from abaw.temporal.data.annotation_report import report_text
from abaw.temporal.data.annotations import import_annotations
from abaw.temporal.data.published import published_differences
from abaw.temporal.data.task_annotations import read_task_annotations
from abaw.temporal.data.task_folders import TASK_FOLDERS, find_task_folder
from abaw.temporal.errors import AnnotationError

VA, EXPR, AU = "valence,arousal", ",".join(EXPRESSIONS), ",".join(AUS)
FOLDER_OF = {"va": "VA_Estimation_Challenge", "au": "AU_Detection_Challenge"} | {
    "expr": "EXPR_Classification_Challenge"
}
ROWS = {
    "va": (VA, "0.021,0.104", "-5,-5", "0.03,0.11"),
    "expr": (EXPR, "4", "-1", "7"),
    "au": (AU, ",".join("1" * 12), ",".join(["-1"] * 12), ",".join("01" * 6)),
}


def write_video(folder: Path, video: str, *lines: str, end: str = "\n") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{video}.txt"
    path.write_bytes((end.join(lines) + end).encode())
    return path


def write_task(
    root: Path,
    task: str = "va",
    train: Sequence[str] = ("clip",),
    val: Sequence[str] = ("other",),
    name: str = "",
) -> Path:
    """A folder of one task in which every video has three frames."""
    folder = root / (name or FOLDER_OF[task])
    for split, videos in (("Train_Set", train), ("Validation_Set", val)):
        for video in videos:
            write_video(folder / split, video, *ROWS[task])
    return folder


def write_crops(tree: Path, **videos: Sequence[int]) -> Path:
    for video, numbers in videos.items():
        (tree / video).mkdir(parents=True, exist_ok=True)
        for number in numbers:
            (tree / video / f"{number:05d}.jpg").touch()
    return tree


def read(folder: Path, test: Path | None = None, frames: Sequence[Path] = ()) -> LabelTable:
    found = find_task_folder(folder)
    assert found is not None
    return read_task_annotations(found, test, frames)


def frames_of(table: LabelTable, video: str) -> slice:
    number = table.videos.index(video)
    return slice(table.start[number], table.start[number] + table.length[number])


def oddities_of(table: LabelTable) -> dict[str, int]:
    found = table.meta["report"]["oddities"]
    return {what: item["count"] for what, item in found.items() if item["count"]}


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


@pytest.mark.parametrize(
    ("task", "name"), [(task, name) for task, names in TASK_FOLDERS.items() for name in names]
)
def test_every_name_of_a_task_folder_is_known(tmp_path: Path, task: str, name: str):
    folder = write_task(tmp_path, task, name=name)
    found = find_task_folder(folder)
    assert found is not None
    assert found.task == task
    assert [video for video, _ in found.files["val"]] == ["other"]


@pytest.mark.parametrize("task", ["va", "expr", "au"])
def test_a_folder_of_another_name_is_told_by_its_files(tmp_path: Path, task: str):
    table = read(write_task(tmp_path, task, name="mine"))
    assert table.meta["challenge"] == task


def test_a_folder_whose_task_nothing_tells_is_refused(tmp_path: Path):
    folder = write_task(tmp_path, name="mine")
    write_video(folder / "Train_Set", "clip", "0.5,0.5")
    with pytest.raises(AnnotationError, match=r"mine must be told .*begins with '0.5,0.5'"):
        read(folder)


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
    assert found["folders of crops that no row names"]["examples"] == ["unknown"]
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
    crops = write_crops(tmp_path / "crops", z_right=[2, 4], clip=[1]) / ""
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


def write_root(root: Path) -> Path:
    for task in FOLDER_OF:
        write_task(root, task)
    return root


def test_a_root_of_several_challenges_is_refused_with_their_names(tmp_path: Path):
    root = write_root(tmp_path / "Third ABAW Annotations")
    with pytest.raises(AnnotationError) as caught:
        find_task_folder(root)
    for word in (*FOLDER_OF.values(), "one challenge", str(root / FOLDER_OF["au"])):
        assert word in str(caught.value)


def test_a_root_with_one_task_beside_multi_task_files_is_refused(tmp_path: Path):
    write_task(tmp_path / "root")
    (tmp_path / "root" / "MTL_Challenge").mkdir()
    (tmp_path / "root" / "MTL_Challenge" / "train_set.txt").touch()
    with pytest.raises(AnnotationError, match="VA_Estimation_Challenge, multi-task files"):
        import_annotations(tmp_path / "c", "labels", tmp_path / "root", None, None, None)


def test_a_root_with_one_challenge_is_that_challenge(tmp_path: Path):
    write_task(tmp_path / "root", "expr", name="EXPR_Recognition_Challenge")
    assert read(tmp_path / "root").meta["challenge"] == "expr"


def test_one_video_may_have_another_split_in_another_task(tmp_path: Path):
    """Each task is a store of its own, so none of them decides for the others."""
    write_task(tmp_path, "va", train=["clip"], val=["other"])
    write_task(tmp_path, "au", train=["other"], val=["clip"])
    for task in ("va", "au"):
        folder = tmp_path / FOLDER_OF[task]
        import_annotations(tmp_path / "c", f"{task}3", folder, None, None, None)
    stores = [open_store(tmp_path / "c" / f"labels-{task}3") for task in ("va", "au")]
    assert [store.videos_of("train") for store in stores] == [("clip",), ("other",)]


def test_a_video_in_both_splits_of_a_task_is_reported_and_belongs_to_training(tmp_path: Path):
    table = read(write_task(tmp_path, train=["clip"], val=["clip", "other"]))
    assert table.meta["report"]["oddities"]["videos in two splits"]["examples"] == ["clip"]
    assert [SPLITS[code] for code in table.split[frames_of(table, "clip")]] == ["train"] * 3


def test_the_folder_of_a_split_and_a_missing_split_say_what_is_needed(tmp_path: Path):
    folder = write_task(tmp_path)
    with pytest.raises(AnnotationError, match=rf"is one split of a task.*give {folder}$"):
        find_task_folder(folder / "Train_Set")
    (folder / "Validation_Set" / "other.txt").unlink()
    with pytest.raises(AnnotationError, match=r"Validation_Set holds no <video>\.txt"):
        find_task_folder(folder)
    shutil.rmtree(folder / "Validation_Set")
    with pytest.raises(AnnotationError, match="Validation_Set is not there"):
        find_task_folder(folder)


def test_what_is_no_annotation_file_is_reported_and_not_read(tmp_path: Path):
    folder = write_task(tmp_path)
    (folder / ".DS_Store").touch()
    write_video(folder / "Train_Set", "._clip", "\0")
    write_video(folder / "Train_Set" / "batch2", "more", *ROWS["va"])
    table = read(folder)
    found = table.meta["report"]["oddities"]["files and folders that are no annotations"]
    assert found["examples"] == ["Train_Set/._clip.txt", "Train_Set/batch2", ".DS_Store"]
    assert table.videos == ("clip", "other")


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


def test_a_file_whose_name_is_no_id_is_refused(tmp_path: Path):
    folder = write_task(tmp_path)
    write_video(folder / "Train_Set", "a\\b", *ROWS["va"])
    with pytest.raises(VideoIdError, match="Train_Set"):
        read(folder)


def fingerprint(folder: Path, test: Path | None = None, frames: Sequence[Path] = ()) -> str:
    return read(folder, test, frames).fingerprint


def test_the_fingerprint_is_of_contents_and_videos_not_of_places(tmp_path: Path):
    """Labels of one video differ between editions; two videos' files differ by name alone."""
    folder = write_task(tmp_path / "a", train=["clip", "more"])
    write_video(folder / "Train_Set", "more", VA, "0.5,0.5")
    before = fingerprint(folder)
    copy = tmp_path / "b" / "VA_Set"
    shutil.copytree(folder, copy)
    assert fingerprint(copy) == before
    write_video(copy / "Train_Set", "more", VA, "0.5,0.501")
    assert fingerprint(copy) != before
    swapped = tmp_path / "c" / "VA_Set"
    shutil.copytree(folder, swapped)
    (swapped / "Train_Set" / "clip.txt").rename(swapped / "x")
    (swapped / "Train_Set" / "more.txt").rename(swapped / "Train_Set" / "clip.txt")
    (swapped / "x").rename(swapped / "Train_Set" / "more.txt")
    assert fingerprint(swapped) != before


def test_the_fingerprint_follows_the_length_that_crops_gave(tmp_path: Path):
    folder = write_task(tmp_path)
    listed = tmp_path / "list.txt"
    listed.write_text("z\n")
    crops = write_crops(tmp_path / "crops", z=[1, 5])
    before = fingerprint(folder, listed, [crops])
    write_crops(crops, z=[3])
    assert fingerprint(folder, listed, [crops]) == before
    write_crops(crops, z=[6])
    assert fingerprint(folder, listed, [crops]) != before


def test_the_command_writes_the_store_and_the_report(tmp_path: Path):
    folder = write_task(tmp_path)
    crops = write_crops(tmp_path / "crops", clip=[1, 2, 3], other=[1])
    arguments = [folder, "--name", "va3", "--frames", crops, "--cache", tmp_path / "c"]
    result = CliRunner().invoke(main, ["labels", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    assert "train  3 rows, 1 videos, 2 with va, 0 of these without a crop" in result.output
    assert f"wrote {tmp_path / 'c' / 'labels-va3.h5'}" in result.output
    store = open_store(tmp_path / "c" / "labels-va3")
    assert isinstance(store, LabelStore)
    assert store.videos_of("val") == ("other",)
    assert store.fingerprint == fingerprint(folder)


def test_a_refused_folder_leaves_the_store_as_it_was(tmp_path: Path):
    folder = write_task(tmp_path)
    import_annotations(tmp_path / "c", "va3", folder, None, None, None)
    before = (tmp_path / "c" / "labels-va3.h5").read_bytes()
    write_video(folder / "Validation_Set", "other", VA, "2,0")
    with pytest.raises(AnnotationError, match=r"other\.txt:2"):
        import_annotations(tmp_path / "c", "va3", folder, None, None, None)
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["labels-va3.h5"]
    assert (tmp_path / "c" / "labels-va3.h5").read_bytes() == before


def test_multi_task_files_beside_a_task_folder_are_refused(tmp_path: Path):
    folder = write_task(tmp_path)
    with pytest.raises(UsageError, match=r"--train .*multi-task.*VA_Estimation_Challenge"):
        import_annotations(tmp_path / "c", "labels", folder, tmp_path / "t.txt", None, None)


def va_counts(with_crop: int, without_crop: int, **more: int) -> dict[str, int]:
    return {
        "rows": 2_000_000,
        "videos": 341,
        "va": with_crop + without_crop,
        "with_crop": with_crop,
        "without_crop": without_crop,
        **more,
    }


@pytest.mark.parametrize(
    ("challenge", "splits", "expected"),
    [
        pytest.param("va", {"train": va_counts(1_555_919, 25_265)}, [], id="abaw3"),
        pytest.param("va", {"train": va_counts(1_653_930, 25_927)}, [], id="abaw6"),
        pytest.param(
            "va",
            {
                "train": va_counts(1_653_757, 26_387),
                "val": va_counts(376_322, 5_699, videos=75),
                "test": {"rows": 927_209, "videos": 162},
            },
            [
                "val: 376,322 with crop, where ABAW5 has 376,323",
                "val: 5,699 without crop, where ABAW5 has 5,698",
                "val: 75 videos, where ABAW5 has 76",
                "test: 927,209 rows, where ABAW5 has 927,210",
            ],
            id="abaw5-one-off",
        ),
        pytest.param(
            "expr",
            {"val": {"videos": 70, "expression": 284_231}},
            ["val: 284,231 expression, where ABAW3 to 8 has 284,230"],
            id="without-crops",
        ),
        pytest.param("au", {"train": {"videos": 9, "au": 300}}, [], id="another-set"),
    ],
)
def test_a_set_like_a_release_is_compared_with_its_counts(challenge, splits, expected):
    assert published_differences(challenge, splits) == expected


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
