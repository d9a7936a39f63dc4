"""Labels and embeddings meet frame number by frame number; what is missing is counted."""

from pathlib import Path

import numpy as np
import pytest

from abaw.core.tasks import TASKS
from abaw.temporal.data.join import join
from abaw.temporal.data.join_report import check_missing
from abaw.temporal.data.roles import asked_frames
from abaw.temporal.data.timeline import ABSENT, Timeline
from abaw.temporal.errors import TemporalError

from .made import UNLABELLED, Row, annotate, config, write_label_store, write_store

VALUES = annotate(np.array([[0.5, -0.5, 1.0, -1.0, 1.0, 0.0]]))[0]


def rows(video: str, *frames: int) -> list[Row]:
    return [Row(video, frame, VALUES) for frame in frames]


def faces(*frames: int, dim: int = 2) -> tuple[tuple[int, ...], np.ndarray]:
    """Embeddings that tell their own frame number."""
    return frames, np.array(frames, float)[:, None] + np.arange(dim) / 100


@pytest.fixture
def two(tmp_path: Path):
    """Two embeddings with other frames than the labels and than each other."""
    a = write_store(tmp_path / "a.h5", {"v": faces(2, 3, 6, 9), "x": faces(1)})
    b = write_store(tmp_path / "b.h5", {"v": faces(2, 6, 7), "other": faces(4)})
    labels = write_label_store(
        tmp_path, train=rows("v", 1, 3, 6, 12) + rows("w", 5), val=rows("x", 1)
    )
    return a, b, labels


def test_the_time_line_is_the_union_of_labels_and_embeddings(two):
    a, b, labels = two
    (line,), _ = join([a, b], labels, "train", config())
    np.testing.assert_array_equal(line.frame, [1, 2, 3, 6, 7, 9, 12])
    np.testing.assert_array_equal(line.is_frame[0], [0, 1, 1, 1, 0, 1, 0])
    np.testing.assert_array_equal(line.is_frame[1], [0, 1, 0, 1, 1, 0, 0])
    np.testing.assert_array_equal(line.is_labelled["valence"], [1, 0, 1, 1, 0, 0, 1])
    np.testing.assert_array_equal(line.asked, [1, 3, 6, 12])


def held(line: Timeline, embedding: int) -> list[int]:
    """Frame number that each frame's embedding comes from; -1 where it has none."""
    return [
        ABSENT if row == ABSENT else int(line.embeddings[embedding][row, 0])
        for row in line.rows[embedding]
    ]


def test_hold_gives_the_last_frame_seen_and_at_the_start_the_first(two):
    a, b, labels = two
    (line,), _ = join([a, b], labels, "train", config())
    assert held(line, 0) == [2, 2, 3, 6, 6, 9, 9]
    assert held(line, 1) == [2, 2, 2, 6, 7, 7, 7]


def test_zero_gives_nothing_where_there_is_no_crop(two):
    a, b, labels = two
    (line,), _ = join([a, b], labels, "train", config(fill="zero"))
    assert held(line, 0) == [-1, 2, 3, 6, -1, 9, -1]
    assert held(line, 1) == [-1, 2, -1, 6, 7, -1, -1]


def test_drop_takes_frames_off_the_time_line_and_the_nearest_answers_for_them(two):
    a, b, labels = two
    (line,), _ = join([a, b], labels, "train", config(fill="drop"))
    np.testing.assert_array_equal(line.frame, [2, 6])
    np.testing.assert_array_equal(line.is_labelled["au"][:, 0], [False, True])
    np.testing.assert_array_equal(line.frame[line.nearest(line.asked)], [2, 2, 6, 6])


def test_the_report_counts_what_is_not_on_both_sides(two):
    a, b, labels = two
    _, report = join([a, b], labels, "train", config())
    found = report.to_dict()
    assert found["n_listed"] == 5
    assert found["n_labelled"] == 5
    assert found["missing"] == {"a": 3, "b": 4}
    assert found["n_labelled_missing"] == 4
    assert found["n_unlisted"] == 3
    assert found["n_partial"] == 3
    assert found["videos_without"] == {"a": ["w"], "b": ["w"]}
    assert found["n_videos_unlabelled"] == {"b": 1}
    text = report.text()
    for words in ("3 of them not in a", "4 of them not in b", "3 frames in some embeddings only"):
        assert words in text
    assert "1 videos not in a (w)" in text
    assert "1 videos of b without labels" in text


def test_a_listed_video_without_crops_is_left_out_of_training_only(two, tmp_path: Path):
    a, _, _ = two
    train, _ = join(
        [a], write_label_store(tmp_path, train=rows("v", 2) + rows("w", 5)), "train", config()
    )
    assert [line.video for line in train] == ["v"]
    labels = write_label_store(tmp_path, train=rows("v", 2), val=rows("x", 1) + rows("w", 5, 6))
    val, _ = join([a], labels, "val", config())
    assert [line.video for line in val] == ["w", "x"]
    assert held(val[0], 0) == [ABSENT, ABSENT]
    for fill in ("zero", "drop"):
        lines, _ = join([a], labels, "val", config(fill=fill))
        assert [len(line) for line in lines] == [2, 1]


def test_labels_of_another_split_are_not_seen(tmp_path: Path):
    store = write_store(tmp_path / "a.h5", {"v": faces(1, 2, 3)})
    labels = write_label_store(tmp_path, train=rows("v", 1, 2), val=rows("v", 3))
    (train,), _ = join([store], labels, "train", config())
    np.testing.assert_array_equal(train.is_labelled["expression"], [True, True, False])
    (val,), _ = join([store], labels, "val", config())
    np.testing.assert_array_equal(val.is_labelled["expression"], [False, False, True])
    np.testing.assert_array_equal(val.asked, [3])


def test_a_row_that_is_listed_in_two_splits_is_asked_for_in_both(tmp_path: Path):
    labels = write_label_store(tmp_path, train=rows("v", 1, 2), val=rows("v", 2, 2, 3))
    np.testing.assert_array_equal(asked_frames(labels.table, "val")["v"], [2, 3])


def test_values_stand_at_their_frames(tmp_path: Path):
    frames = (3, 5, 8)
    values = annotate(np.random.default_rng(0).normal(size=(3, 6)))
    listed = [Row("v", f, v) for f, v in zip(frames, values, strict=True)]
    listed[1] = Row("v", 5, UNLABELLED)
    store = write_store(tmp_path / "a.h5", {"v": faces(2, 3, 4, 5)})
    (line,), _ = join([store], write_label_store(tmp_path, train=listed), "train", config())
    np.testing.assert_array_equal(line.frame, [2, 3, 4, 5, 8])
    for task in TASKS:
        is_labelled = line.is_labelled[task].reshape(5, -1).all(axis=1)
        np.testing.assert_array_equal(is_labelled, [False, True, False, False, True])
    np.testing.assert_allclose(line.values["valence"][[1, 4]], values[[0, 2], 0], atol=1e-6)
    np.testing.assert_array_equal(line.values["au"][[1, 4]], values[[0, 2], 3:])
    assert line.values["valence"][3] == 0


def test_no_video_in_common_names_examples_of_both(tmp_path: Path):
    store = write_store(tmp_path / "a.h5", {f"film{n}": faces(1) for n in range(5)})
    labels = write_label_store(tmp_path, train=rows("clip1", 1) + rows("clip2", 1))
    with pytest.raises(TemporalError) as caught:
        join([store], labels, "train", config())
    message = str(caught.value)
    for words in (
        "embedding a",
        "train split of labels",
        "film0, film1, film2 and 2 more",
        "clip1, clip2",
    ):
        assert words in message
    assert "\n" not in message


@pytest.mark.parametrize(("missing", "is_refused"), [(1, False), (2, True)])
def test_more_than_the_allowed_share_of_missing_frames_is_refused(
    tmp_path: Path, missing, is_refused
):
    frames = range(1, 21)
    store = write_store(tmp_path / "a.h5", {"v": faces(*frames[missing:])})
    labels = write_label_store(tmp_path, train=rows("v", *frames))
    _, report = join([store], labels, "train", config())
    check_missing(report, 0.11)
    if not is_refused:
        check_missing(report, 0.05)
        return
    with pytest.raises(
        TemporalError,
        match=r"at most 5.0%.*2 of 20 \(10.0%\) of the train split.*not in a.*max_missing=",
    ):
        check_missing(report, 0.05)


def test_frames_without_a_label_do_not_count_as_missing(tmp_path: Path):
    store = write_store(tmp_path / "a.h5", {"v": faces(1)})
    labels = write_label_store(tmp_path, train=[*rows("v", 1), Row("v", 2), Row("v", 3)])
    _, report = join([store], labels, "train", config())
    assert (report.n_labelled, report.n_labelled_missing) == (1, 0)
    check_missing(report, 0.0)
