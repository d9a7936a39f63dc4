"""Submissions to the challenges of one task: a file for all videos, or a file for each."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from abaw.core.errors import UsageError
from abaw.temporal.data.official_list import listed_rows, stored_list
from abaw.temporal.errors import AnnotationError, PredictionError, TemporalError
from abaw.temporal.predictions import read_predictions
from abaw.temporal.submission import write_submission

from .official import (
    HEADERS,
    MTL,
    TASKS_OF,
    constant,
    frames,
    listed,
    mtl_labels,
    no_constant,
    written,
)
from .tables import some_tasks, table
from .task_files import read, write_crops, write_task


@pytest.mark.parametrize("task", ["va", "expr", "au"])
@pytest.mark.parametrize("rest", [",", ",0.5,0.5", ""], ids=["comma", "made-up", "bare"])
def test_a_sample_file_gives_header_and_paths_of_one_task(tmp_path: Path, task: str, rest: str):
    labels = read(write_task(tmp_path, task))
    header = f"image_location,{HEADERS[task]}"
    paths = ["z/00002.jpg", "b_left/00001.jpg", "z/00001.jpg"]
    official = listed(tmp_path, header, *(f"{path}{rest}" for path in paths), labels=labels)
    predictions = some_tasks(
        table(3, video=["b_left", "z", "z"], frame=np.array([1, 1, 2], np.int32)), *TASKS_OF[task]
    )
    found, _ = written(tmp_path, official, predictions)
    assert found[0] == header
    assert [line.split(",")[0] for line in found[1:]] == paths
    n_fields = {"va": 3, "expr": 2, "au": 13}[task]
    assert {len(line.split(",")) for line in found[1:]} == {n_fields}
    back = read_predictions(tmp_path / "out.txt")
    assert back.tasks == frozenset(TASKS_OF[task])
    for name in TASKS_OF[task]:
        np.testing.assert_array_equal(getattr(back, name), getattr(predictions, name)[[2, 0, 1]])


def test_the_first_line_is_copied_from_the_list_and_kept_in_the_labels(tmp_path: Path):
    folder = write_task(tmp_path)
    sample = tmp_path / "sample.txt"
    header = "image_location,Valence,Arousal"
    sample.write_text(f"{header}\nz/00001.jpg,\nz/00001.jpg,\n")
    labels = read(folder, sample)
    for official in (
        stored_list(labels, "test", "labels"),
        listed_rows(sample, labels, lambda _: 0),
    ):
        found, _ = written(tmp_path, official, some_tasks(frames("z", 1), *TASKS_OF["va"]))
        assert found[0] == header
        assert [line.split(",")[0] for line in found[1:]] == ["z/00001.jpg"] * 2


def test_a_sample_of_one_task_may_be_handed_in_by_a_run_on_multi_task_labels(tmp_path: Path):
    official = listed(tmp_path, f"image_location,{HEADERS['expr']}", "z/00001.jpg,3")
    assert official.challenge == "expr"
    found, _ = written(tmp_path, official, frames("z", 1))
    assert found[1] == f"z/00001.jpg,{frames('z', 1).expression[0]}"
    assert listed(tmp_path, MTL, "z/00001.jpg").challenge == "mtl"
    with pytest.raises(AnnotationError, match="lists videos; give the challenge's list"):
        listed(tmp_path, "z", "y")


@pytest.mark.parametrize("task", ["va", "expr", "au"])
def test_a_list_of_videos_gives_a_file_for_each_with_a_line_for_each_frame(tmp_path, task: str):
    labels = read(write_task(tmp_path, task))
    official = listed(tmp_path, "z_right,12", "3,", "gone,2", labels=labels)
    assert official.is_by_video
    z, three = frames("z_right", *range(12, 0, -1)), frames("3", 1, seed=4)
    predictions = some_tasks(
        replace(
            table(13),
            video=z.video + three.video,
            frame=np.concatenate([z.frame, three.frame]),
        ),
        *TASKS_OF[task],
    )
    out = tmp_path / "out"
    result = write_submission(out, official, predictions, constant)
    assert (result.n_files, result.n_rows, result.constant_videos) == (3, 15, ("gone",))
    assert sorted(path.name for path in out.iterdir()) == ["3.txt", "gone.txt", "z_right.txt"]
    lines = (out / "z_right.txt").read_bytes().decode().split("\n")
    assert lines[0] == HEADERS[task]
    assert lines[-1] == ""
    assert len(lines) == 1 + 12 + 1
    back = read_predictions(out)
    assert back.tasks == frozenset(TASKS_OF[task])
    places = back.places()
    for name in TASKS_OF[task]:
        for frame in range(1, 13):
            found = getattr(back, name)[places["z_right", frame]]
            expected = getattr(predictions, name)[12 - frame]
            np.testing.assert_array_equal(found, expected)


def test_the_length_of_a_listed_video_is_the_lists_or_the_labels_or_that_of_the_embedding(
    tmp_path: Path,
):
    labels = read(write_task(tmp_path, train=("clip",)))  # three annotated frames
    path = tmp_path / "list.txt"
    path.write_text("clip\nseen\nunseen\nlong,7\n")
    official = listed_rows(path, labels, lambda video: 5 if video == "seen" else 0)
    n = {video: len(numbers) for video, numbers in official.frames().items()}
    assert n == {"clip": 3, "seen": 5, "unseen": 1, "long": 7}
    path.write_text("long,many\n")
    with pytest.raises(AnnotationError, match=r"list\.txt:1 .*how many frames.*'many'"):
        listed_rows(path, labels, lambda _: 0)


def test_the_labels_know_whether_their_lists_are_of_frames_or_of_videos(tmp_path: Path):
    folder = write_task(tmp_path)
    path = tmp_path / "list.txt"
    path.write_text("z\n")
    labels = read(folder, path, [write_crops(tmp_path / "crops", z=[2, 4])])
    official = stored_list(labels, "test", "labels")
    assert (official.is_by_video, official.header) == (True, "valence,arousal")
    assert official.frame.tolist() == [1, 2, 3, 4]
    assert stored_list(labels, "val", "labels").is_by_video
    with pytest.raises(TemporalError, match=r"labels\.h5 must list frames of the split 'test'"):
        stored_list(mtl_labels(tmp_path), "test", "labels.h5")


def test_a_list_that_says_how_long_its_videos_are_needs_no_crops(tmp_path: Path):
    folder = write_task(tmp_path)
    path = tmp_path / "list.txt"
    path.write_text("z,2\ny,1\n")
    labels = read(folder, path)
    official = stored_list(labels, "test", "labels")
    assert official.path == ["z/00001.jpg", "z/00002.jpg", "y/00001.jpg"]


def test_a_folder_that_holds_anything_is_not_written_into(tmp_path: Path):
    labels = read(write_task(tmp_path))
    official = listed(tmp_path, "z,1", labels=labels)
    part = some_tasks(frames("z", 1), *TASKS_OF["va"])
    annotations = next(path.parent for path in tmp_path.rglob("*.txt") if path.stem == "clip")
    before = {path: path.read_bytes() for path in annotations.iterdir()}
    for out in (annotations, annotations / "clip.txt"):
        with pytest.raises(UsageError, match="give a new folder by --out"):
            write_submission(out, official, part, no_constant)
    assert {path: path.read_bytes() for path in annotations.iterdir()} == before
    (tmp_path / "new").mkdir()
    write_submission(tmp_path / "new", official, part, no_constant)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["z.txt"]
    with pytest.raises(UsageError, match="is a folder"):
        write_submission(tmp_path, listed(tmp_path, "z/1.jpg"), frames("z", 1), no_constant)


def test_frames_with_a_gap_are_no_list_of_a_videos_lines_and_leave_nothing(tmp_path: Path):
    official = listed(tmp_path, "z,2", "y,3", labels=read(write_task(tmp_path)))
    official = replace(official, frame=np.array([1, 2, 1, 2, 4], np.int32))
    before = sorted(tmp_path.iterdir())
    part = some_tasks(table(2, video=["z", "y"]), *TASKS_OF["va"])
    with pytest.raises(PredictionError, match=r"frames 1, 2, … of 'y'"):
        write_submission(tmp_path / "out", official, part, no_constant)
    assert sorted(tmp_path.iterdir()) == before


def write_files(folder: Path, **texts: str) -> Path:
    folder.mkdir()
    for video, text in texts.items():
        (folder / f"{video}.txt").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"a": "valence,arousal\n0,0\n0\n"}, r"a\.txt:3 must have 2 fields, but has 1"),
        ({"a": "valence,arousal\n0,0\n\n0,1\n"}, r"a\.txt:3 must have 2 fields, but has 0"),
        ({"a": "valence,arousal\n0,x\n"}, r"a\.txt:2 must hold numbers, but arousal is 'x'"),
        ({"a": f"{HEADERS['expr']}\n1\n \n2\n"}, r"a\.txt:3 must have expression .* is empty here"),
        ({"a": "0,0\n"}, r"a\.txt:1 must name the columns of a challenge of one task"),
        ({"a": ""}, r"a\.txt:1 must name the columns"),
        ({"a": f"{HEADERS['expr']}\n8\n"}, r"a\.txt:2 must have expression .* but has 8"),
        ({}, "holds none"),
        ({"a": "valence,arousal\n0,0\n", "b": f"{HEADERS['expr']}\n1\n"}, "holds va and expr"),
    ],
)
def test_a_wrong_folder_of_files_is_refused_by_file_and_line(tmp_path: Path, texts, words: str):
    with pytest.raises(PredictionError, match=words):
        read_predictions(write_files(tmp_path / "p", **texts))


def test_a_wrong_file_of_one_task_is_refused_by_line(tmp_path: Path):
    path = tmp_path / "p.txt"
    for text, words in (
        (f"image_location,{HEADERS['va']}\nv/1.jpg,0\n", r"p\.txt:2 must have 3 fields, but has 2"),
        (f"image_location,{HEADERS['expr']}\nv/1.jpg,0,0\n", r":2 must have 2 fields, but has 3"),
        (f"image_location,{HEADERS['va']}\nv/1.jpg,0,\n", r":2 must hold numbers, but arousal is"),
        (f"image_location,{HEADERS['expr']}\nv/1.jpg,4\nv/2.jpg,\nv/3.jpg,5\n", r":3 .* is empty"),
        ("image_location,anger\nv/1.jpg,0\n", r"p\.txt:1 must name the columns"),
    ):
        path.write_text(text)
        with pytest.raises(PredictionError, match=words):
            read_predictions(path)
