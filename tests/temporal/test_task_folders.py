"""Folders of one task: known by form and name, one store for each."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from abaw.cache import SPLITS, LabelStore, open_store
from abaw.cli import main
from abaw.core.errors import UsageError
from abaw.core.names import VideoIdError
from abaw.temporal.data.annotations import import_annotations
from abaw.temporal.data.task_folders import TASK_FOLDERS, find_task_folder
from abaw.temporal.errors import AnnotationError

from .task_files import (
    FOLDER_OF,
    ROWS,
    VA,
    frames_of,
    read,
    write_crops,
    write_task,
    write_video,
)


@pytest.mark.parametrize(
    ("task", "name"), [(task, name) for task, names in TASK_FOLDERS.items() for name in names]
)
def test_every_name_of_a_task_folder_is_known(tmp_path: Path, task: str, name: str):
    folder = write_task(tmp_path, task, name=name)
    found = find_task_folder(folder)
    assert found is not None
    assert found.task == task
    assert [video for video, _ in found.files["val"]] == ["other"]


@pytest.mark.parametrize("name", ["EXPR_Classification_Challenge", "EXPR_Recognition_Challenge"])
def test_both_names_of_the_expressions_are_known(tmp_path: Path, name: str):
    """ABAW6 and 8 say Recognition; spelt out here, as the table cannot tell what it lacks."""
    found = find_task_folder(write_task(tmp_path, "expr", name=name))
    assert found is not None
    assert found.task == "expr"


@pytest.mark.parametrize("task", ["va", "expr", "au"])
def test_a_folder_of_another_name_is_told_by_its_files(tmp_path: Path, task: str):
    table = read(write_task(tmp_path, task, name="mine"))
    assert table.meta["challenge"] == task


def test_a_folder_whose_task_nothing_tells_is_refused(tmp_path: Path):
    folder = write_task(tmp_path, name="mine")
    write_video(folder / "Train_Set", "clip", "0.5,0.5")
    with pytest.raises(AnnotationError, match=r"mine must be told .*begins with '0.5,0.5'"):
        read(folder)


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
