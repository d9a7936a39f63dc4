"""Submissions: row for row the official list. Each trap of the formats has a test."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from abaw.core.tasks import TASKS
from abaw.temporal import submission_text
from abaw.temporal.errors import PredictionError
from abaw.temporal.predictions import read_predictions
from abaw.temporal.submission import write_submission
from abaw.temporal.text_cells import BLOCK_ROWS

from .official import MTL, constant, frames, listed, no_constant, written
from .tables import some_tasks, table


@pytest.mark.parametrize("header", [MTL, None], ids=["header", "no-header"])
@pytest.mark.parametrize("end", ["", ",", ",0.5,0.5,4,0"], ids=["bare", "comma", "made-up"])
def test_trap_2_a_comma_at_the_end_of_a_listed_line_does_not_come_back(tmp_path, header, end):
    paths = ["a/00001.jpg", "a/00002.jpg"]
    lines = [*([header] if header else []), *(f"{path}{end}" for path in paths)]
    found, _ = written(tmp_path, listed(tmp_path, *lines), frames("a", 1, 2))
    assert found[0] == MTL
    assert [line.split(",")[0] for line in found[1:]] == paths
    assert [line.count(",") for line in found[1:]] == [15, 15]
    assert not any(line.endswith(",") for line in found)


def test_trap_3_and_4_rows_stand_as_often_and_in_the_order_that_the_list_has(tmp_path: Path):
    paths = ["z/00002.jpg", "a/00007.jpg", "z/00002.jpg", "a/00003.jpg", "z/00001.jpg"]
    predictions = table(4, video=["a", "a", "z", "z"], frame=np.array([3, 7, 1, 2], np.int32))
    found, result = written(tmp_path, listed(tmp_path, MTL, *paths), predictions)
    assert found[0] == MTL
    assert [line.split(",")[0] for line in found[1:]] == paths
    assert (result.n_rows, result.n_files, result.n_nearest) == (5, 1, 0)
    back = read_predictions(tmp_path / "out.txt")
    np.testing.assert_array_equal(back.valence, predictions.valence[[3, 1, 3, 0, 2]])
    np.testing.assert_array_equal(back.au, predictions.au[[3, 1, 3, 0, 2]])
    assert back.video == ["z", "a", "z", "a", "z"]


def test_trap_9_frames_are_matched_by_number_and_not_by_the_order_of_their_names(tmp_path: Path):
    paths = ["a/9.jpg", "a/10.jpg", "a/99999.jpg", "a/100000.jpg"]
    predictions = frames("a", 100000, 9, 99999, 10)
    found, result = written(tmp_path, listed(tmp_path, *paths), predictions)
    assert [line.split(",")[0] for line in found[1:]] == paths
    back = read_predictions(tmp_path / "out.txt")
    np.testing.assert_array_equal(back.valence, predictions.valence[[1, 3, 2, 0]])
    assert result.n_nearest == 0


def test_trap_11_the_last_rows_are_not_lost(tmp_path: Path):
    n = 2 * BLOCK_ROWS + 3
    predictions = frames("a", *range(1, n + 1))
    paths = [f"a/{number:05d}.jpg" for number in range(1, n + 1)]
    found, result = written(tmp_path, listed(tmp_path, *paths), predictions)
    assert [line.split(",")[0] for line in found[1:]] == paths
    assert result.n_rows == n
    np.testing.assert_array_equal(read_predictions(tmp_path / "out.txt").au, predictions.au)


def test_trap_12_the_classes_are_those_of_the_table_and_are_shown(tmp_path: Path):
    classes = np.array([4, 4, 0, 7], np.int8)
    predictions = replace(frames("a", 1, 2, 3, 4), expression=classes)
    official = listed(tmp_path, *(f"a/{number}.jpg" for number in (1, 2, 3, 4)))
    found, result = written(tmp_path, official, predictions)
    assert [line.split(",")[3] for line in found[1:]] == ["4", "4", "0", "7"]
    assert result.classes == (1, 0, 0, 0, 2, 0, 0, 1)
    assert "Neutral 1, Anger 0, Disgust 0, Fear 0, Happiness 2" in result.text()


def test_a_frame_without_a_prediction_gets_that_of_the_nearest_of_its_video(tmp_path: Path):
    predictions = table(
        5, video=["a", "b", "b", "b", "c"], frame=np.array([11, 10, 14, 30, 13], np.int32)
    )
    paths = ["b/1.jpg", "b/11.jpg", "b/12.jpg", "b/13.jpg", "b/14.jpg", "b/23.jpg", "b/99.jpg"]
    _, result = written(tmp_path, listed(tmp_path, *paths), predictions)
    back = read_predictions(tmp_path / "out.txt")
    expected = predictions.valence[[1, 1, 2, 2, 2, 3, 3]]  # of two as near, the later
    np.testing.assert_array_equal(back.valence, expected)
    assert result.n_nearest == 6
    assert "6 rows have the prediction of the nearest frame" in result.text()


def test_a_video_without_a_prediction_gets_the_constant_and_is_counted(tmp_path: Path):
    paths = ["x/1.jpg", "a/1.jpg", "y/5.jpg", "x/2.jpg"]
    _, result = written(tmp_path, listed(tmp_path, *paths), frames("a", 1), constant)
    back, one = read_predictions(tmp_path / "out.txt"), constant()
    for row in (0, 2, 3):
        assert back.valence[row] == one.valence[0]
        assert back.expression[row] == one.expression[0]
        np.testing.assert_array_equal(back.au[row], one.au[0])
    assert back.valence[1] == frames("a", 1).valence[0]
    assert (result.constant_videos, result.n_constant) == (("x", "y"), 3)
    assert "WARNING: 2 listed videos have no embedding (x, y); their 3 rows" in result.text()
    _, result = written(tmp_path, listed(tmp_path, *paths), table(0), constant)
    assert result.n_constant == 4


def test_values_are_clipped_and_keep_all_digits_of_a_float32(tmp_path: Path):
    valence = np.array([1.25, -3, 0.1, 1e-9], np.float32)
    predictions = replace(frames("a", 1, 2, 3, 4), valence=valence)
    official = listed(tmp_path, *(f"a/{number}.jpg" for number in (1, 2, 3, 4)))
    found, _ = written(tmp_path, official, predictions)
    assert [line.split(",")[1] for line in found[1:]] == ["1.0", "-1.0", "0.1", "0.000000001"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"valence": np.array([0, np.nan], np.float32)}, r"valence .* of a/2\.jpg is nan"),
        ({"arousal": np.array([np.inf, 0], np.float32)}, r"arousal .* of a/1\.jpg is inf"),
        ({"expression": np.array([0, 8], np.int8)}, r"expression .* of a/2\.jpg is 8"),
        ({"expression": np.array([-1, 0], np.int8)}, r"expression .* of a/1\.jpg is -1"),
        ({"au": np.full((2, 12), 2, np.int8)}, r"au .* of a/1\.jpg is 2"),
    ],
)
def test_what_is_out_of_range_is_not_handed_in(tmp_path: Path, changes, words: str):
    official = listed(tmp_path, "a/1.jpg", "a/2.jpg")
    (tmp_path / "out.txt").write_text("older")
    with pytest.raises(PredictionError, match=words):
        write_submission(
            tmp_path / "out.txt", official, replace(frames("a", 1, 2), **changes), no_constant
        )
    assert (tmp_path / "out.txt").read_text() == "older"


@pytest.mark.parametrize(
    "fault",
    [
        lambda n, columns: list(TRUE_LINES(n, columns))[:-1],
        lambda n, columns: TRUE_LINES(n - 1, columns),
        lambda n, columns: TRUE_LINES(n, columns[:-1]),
        lambda n, columns: TRUE_LINES(n, [columns[0], *columns]),
        lambda n, columns: [block.replace(b"\n", b",\n") for block in TRUE_LINES(n, columns)],
        lambda n, columns: [block.replace(b"a/2", b"a/3") for block in TRUE_LINES(n, columns)],
    ],
    ids=["no-block", "row", "field", "field-twice", "comma", "path"],
)
def test_lines_that_are_not_those_of_the_list_are_not_put_in_place(tmp_path, monkeypatch, fault):
    monkeypatch.setattr(submission_text, "text_lines", fault)
    (tmp_path / "out.txt").write_text("older")
    official = listed(tmp_path, "a/1.jpg", "a/2.jpg")
    with pytest.raises(PredictionError, match=r"row for row that of .*list\.txt \(2 rows, 16 fie"):
        write_submission(tmp_path / "out.txt", official, frames("a", 1, 2), no_constant)
    assert (tmp_path / "out.txt").read_text() == "older"


TRUE_LINES = submission_text.text_lines


def test_two_predictions_of_one_frame_are_refused(tmp_path: Path):
    official = listed(tmp_path, "a/1.jpg")
    with pytest.raises(PredictionError, match="rows 1 and 2 differ for frame 1 of 'a'"):
        write_submission(tmp_path / "out.txt", official, frames("a", 1, 1), no_constant)


def test_a_missing_task_says_what_to_train_or_to_ensemble(tmp_path: Path):
    official = listed(tmp_path, "a/1.jpg")
    part = some_tasks(frames("a", 1), "valence", "expression")
    with pytest.raises(PredictionError) as caught:
        write_submission(tmp_path / "out.txt", official, part, no_constant, "runs/x")
    for words in (
        "runs/x does not predict arousal, au (it predicts valence, expression)",
        "train a run with a task weight above 0 for arousal, au",
        "ensemble runs",
    ):
        assert words in str(caught.value)
    assert not (tmp_path / "out.txt").exists()


def test_all_tasks_are_asked_for_by_the_multi_task_challenge_only(tmp_path: Path):
    assert listed(tmp_path, "a/1.jpg").challenge == "mtl"
    for task in TASKS:
        part = some_tasks(frames("a", 1), *(set(TASKS) - {task}))
        with pytest.raises(PredictionError, match=f"does not predict {task} "):
            write_submission(tmp_path / "o.txt", listed(tmp_path, "a/1.jpg"), part, no_constant)
