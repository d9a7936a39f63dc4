"""What a join does besides matching frames: gaps, near labels, who sees which labels."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from abaw.core.tasks import TASKS
from abaw.temporal.data.join import join
from abaw.temporal.data.standardize import fit_standardizer
from abaw.temporal.data.timeline import ABSENT

from .made import UNLABELLED, Row, annotate, config, write_label_store, write_store

pytestmark = pytest.mark.heavy

VALUES = annotate(np.array([[0.5, -0.5, 1.0, -1.0, 1.0, 0.0]]))[0]
OTHER = annotate(np.array([[-0.5, 0.5, -1.0, 1.0, -1.0, 0.0]]))[0]


def rows(video: str, *frames: int) -> list[Row]:
    return [Row(video, frame, VALUES) for frame in frames]


def faces(*frames: int) -> tuple[tuple[int, ...], np.ndarray]:
    """Embeddings that tell their own frame number."""
    return frames, np.array(frames, float)[:, None] + np.arange(2) / 100


def source(line) -> list[int]:
    """Frame number that each step's first embedding comes from; -1 where it has none."""
    return [ABSENT if row == ABSENT else int(line.embeddings[0][row, 0]) for row in line.rows[0]]


def frames_axis(**changes):
    return config(time_axis="frames", **changes)


def test_frame_numbers_between_first_and_last_are_steps_without_label_and_crop(tmp_path: Path):
    store = write_store(tmp_path / "a.h5", {"v": faces(3, 4, 8)})
    labels = write_label_store(tmp_path, train=rows("v", 2, 4, 10))
    (line,), report = join([store], labels, "train", frames_axis())
    assert line.frame.tolist() == [2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert line.is_frame[0].astype(int).tolist() == [0, 1, 1, 0, 0, 0, 1, 0, 0]
    for task in TASKS:
        has = line.is_labelled[task].reshape(9, -1).all(axis=1)
        assert has.astype(int).tolist() == [1, 0, 1, 0, 0, 0, 0, 0, 1]
    assert source(line) == [3, 3, 4, 4, 4, 4, 8, 8, 8]
    assert (report.n_inserted, report.n_filled, report.n_frames) == (4, 2, 9)
    assert "4 steps for frame numbers in between" in report.text()
    assert "2 frames held" in report.text()
    (line,), report = join([store], labels, "train", frames_axis(fill="zero"))
    assert source(line) == [-1, 3, 4, -1, -1, -1, 8, -1, -1]
    assert "2 frames set to the training mean" in report.text()


def test_a_long_gap_takes_at_most_max_gap_steps(tmp_path: Path):
    store = write_store(tmp_path / "a.h5", {"v": faces(1, 31)})
    labels = write_label_store(tmp_path, train=rows("v", 1, 31))
    (line,), _ = join([store], labels, "train", frames_axis(max_gap=2))
    assert line.frame.tolist() == [1, 11, 21, 31]


def test_steps_in_between_do_not_count_in_the_standardisation(tmp_path: Path):
    store = write_store(tmp_path / "a.h5", {"v": faces(1, 2, 20)}, dtype="float32")
    labels = write_label_store(tmp_path, train=rows("v", 1, 2, 20))
    plain, wide = (
        fit_standardizer(join([store], labels, "train", c)[0]) for c in (config(), frames_axis())
    )
    np.testing.assert_array_equal(plain.mean, wide.mean)
    np.testing.assert_array_equal(plain.scale, wide.scale)


def test_training_frames_take_near_labels_and_the_report_counts_them(tmp_path: Path):
    half = np.array(UNLABELLED)
    half[2] = VALUES[2]  # the expression only
    store = write_store(tmp_path / "a.h5", {"v": faces(1, 2, 3, 5), "w": faces(1)})
    listed = [Row("v", 2, VALUES), Row("v", 3, half), Row("v", 9, UNLABELLED), Row("w", 1)]
    labels = write_label_store(tmp_path, train=listed, val=[Row("x", 1, OTHER)])
    (v, w), report = join([store], labels, "train", config(supplement=2))
    assert v.frame.tolist() == [1, 2, 3, 5, 9]
    assert v.is_labelled["valence"].tolist() == [True, True, True, False, False]
    assert v.is_labelled["expression"].tolist() == [True, True, True, True, False]
    assert v.is_labelled["au"].all(axis=1).tolist() == [True, True, True, False, False]
    np.testing.assert_allclose(v.values["valence"][:3], VALUES[0], atol=1e-6)
    np.testing.assert_array_equal(v.values["au"][2], VALUES[3:])
    assert not any(mask.any() for mask in w.is_labelled.values())  # never across videos
    assert report.n_supplemented == {"valence": 2, "arousal": 2, "expression": 2, "au": 24}
    assert "labels from near frames: 2 of valence" in report.text()
    assert report.n_labelled == 2, "labels that were taken are none of the annotations'"


def test_what_is_predicted_keeps_the_labels_of_the_annotations(tmp_path: Path):
    store = write_store(tmp_path / "a.h5", {"v": faces(1, 2), "x": faces(1, 2)})
    labels = write_label_store(tmp_path, train=rows("v", 1), val=rows("x", 1))
    for split, options in (("val", {}), ("train", {"training": False})):
        (line,), report = join([store], labels, split, config(supplement=9), **options)
        assert line.is_labelled["valence"].tolist() == [True, False]
        assert not report.n_supplemented


def test_a_step_in_between_takes_no_label(tmp_path: Path):
    store = write_store(tmp_path / "a.h5", {"v": faces(1, 2, 5)})
    labels = write_label_store(tmp_path, train=rows("v", 1))
    (line,), _ = join([store], labels, "train", frames_axis(supplement=9))
    assert line.frame.tolist() == [1, 2, 3, 4, 5]
    assert line.is_labelled["valence"].tolist() == [True, True, False, False, True]


def test_a_dropped_frame_gives_its_label_but_takes_none(tmp_path: Path):
    store = write_store(tmp_path / "a.h5", {"v": faces(2, 3)})
    labels = write_label_store(tmp_path, train=[*rows("v", 1), Row("v", 4), Row("v", 3)])
    (line,), report = join([store], labels, "train", config(fill="drop", supplement=1))
    assert line.frame.tolist() == [2, 3]
    assert line.is_labelled["valence"].tolist() == [True, False]
    assert report.n_supplemented["valence"] == 1
    assert report.n_dropped == 2
    assert "2 frames dropped" in report.text()


def test_a_frame_that_another_split_lists_takes_no_label(tmp_path: Path):
    store = write_store(tmp_path / "a.h5", {"v": faces(1, 2, 3)})
    labels = write_label_store(tmp_path, train=rows("v", 1), val=[Row("v", 2, OTHER)])
    (line,), _ = join([store], labels, "train", config(supplement=9))
    assert line.frame.tolist() == [1, 2, 3]
    assert line.is_labelled["arousal"].tolist() == [True, False, True]


def test_the_time_line_of_a_video_in_two_splits_is_the_same_in_both(tmp_path: Path):
    store = write_store(tmp_path / "a.h5", {"v": faces(2)})
    labels = write_label_store(tmp_path, train=rows("v", 1, 2), val=rows("v", 4))
    for split in ("train", "val"):
        (line,), _ = join([store], labels, split, config())
        assert line.frame.tolist() == [1, 2, 4]


def test_what_is_predicted_keeps_videos_that_training_leaves_out(tmp_path: Path):
    a = write_store(tmp_path / "a.h5", {"v": faces(1, 2), "w": faces(1)})
    b = write_store(tmp_path / "b.h5", {"v": faces(1)})
    labels = write_label_store(tmp_path, train=rows("v", 1, 2) + rows("w", 1))
    for fill in ("hold", "zero", "drop"):
        lines, report = join([a, b], labels, "train", config(fill=fill))
        assert [line.video for line in lines] == ["v"]
        assert report.videos_left_out == ["w"]
        assert "1 left out (w)" in report.text()
        lines, report = join([a, b], labels, "train", config(fill=fill), training=False)
        assert [line.video for line in lines] == ["v", "w"]
        assert report.videos_left_out == []


def test_crops_without_a_label_stay_between_the_labelled_frames_as_context(tmp_path: Path):
    # The published code sees each piece without what is around it.
    store = write_store(tmp_path / "a.h5", {"v": faces(*range(1, 13))})
    labels = write_label_store(tmp_path, train=rows("v", 4, 9))
    (line,), report = join([store], labels, "train", config())
    assert line.frame.tolist() == list(range(1, 13))
    assert np.flatnonzero(line.is_labelled["valence"]).tolist() == [3, 8]
    assert report.n_unlisted == 10


def test_as_many_features_as_labels_of_other_frames_are_not_paired_by_place(tmp_path: Path):
    # The published code compares the counts and nothing else.
    store = write_store(tmp_path / "a.h5", {"v": faces(2, 3, 5)})
    labels = write_label_store(
        tmp_path, train=[Row("v", 1, VALUES), Row("v", 2, OTHER), Row("v", 3, VALUES)]
    )
    (line,), report = join([store], labels, "train", config(fill="drop"))
    assert line.frame.tolist() == [2, 3, 5]
    np.testing.assert_allclose(line.values["valence"][:2], [OTHER[0], VALUES[0]], atol=1e-6)
    assert line.is_labelled["valence"].tolist() == [True, True, False]
    assert report.n_labelled_missing == 1


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory):
    """A store and labels of 150 small drawn videos, and what is in them."""
    folder, rng = tmp_path_factory.mktemp("drawn"), np.random.default_rng(0)

    def numbers() -> list[int]:
        found = rng.choice(25, size=rng.integers(1, 9), replace=False) + 1
        return sorted(found.tolist())

    crops = {f"{n:03d}": numbers() for n in range(150)}
    listed = {video: {f: bool(rng.random() < 0.6) for f in numbers()} for video in crops}
    train = [
        Row(video, f, np.where(np.arange(15) < 1, f / 100, VALUES) if has else UNLABELLED)
        for video, frames in listed.items()
        for f, has in frames.items()
    ]
    store = write_store(folder / "a.h5", {video: faces(*frames) for video, frames in crops.items()})
    return store, write_label_store(folder, train=train), crops, listed


@pytest.mark.parametrize("limit", [0, 1, 4])
@pytest.mark.parametrize(
    ("fill", "axis", "max_gap"),
    [
        ("hold", "rows", 1),
        ("zero", "rows", 1),
        ("drop", "rows", 1),
        ("hold", "frames", 2),
        ("hold", "frames", 30),
        ("zero", "frames", 3),
    ],
)
def test_a_training_line_is_what_plain_python_says(drawn, fill, axis, max_gap, limit):
    store, labels, crops, listed = drawn
    rules = config(fill=fill, time_axis=axis, max_gap=max_gap, supplement=limit)
    lines, report = join([store], labels, "train", rules)
    found, n_taken = {}, 0
    for line in lines:
        has = line.is_labelled["valence"]
        values = np.where(has, np.round(line.values["valence"].astype(float), 2), None).tolist()
        found[line.video] = list(zip(line.frame.tolist(), source(line), values, strict=True))
    expected = {}
    for video, own in crops.items():
        steps = plain_line(own, listed[video], fill, max_gap if axis == "frames" else 0, limit)
        n_taken += sum(label is not None and not listed[video].get(f) for f, _, label in steps)
        if steps:
            expected[video] = steps
    assert found == expected
    assert report.n_supplemented.get("valence", 0) == n_taken
    assert report.videos_left_out == sorted(crops.keys() - expected.keys())


def plain_line(crops, listed, fill, max_gap, limit):
    """(frame number, source of the embedding, label) of each step."""
    given = [f for f, has in listed.items() if has]
    known = sorted({*crops, *listed})
    steps = list(known)
    for left, right in pairwise(known) if max_gap else ():
        if right - left - 1 <= max_gap:
            steps += range(left + 1, right)
        else:
            width = (right - left) / (max_gap + 1)
            steps += [int(left + width * n + 0.5) for n in range(1, max_gap + 1)]
    line = []
    for frame in sorted(steps):
        before = [f for f in crops if f <= frame]
        held = before[-1] if before else crops[0]
        near = [(abs(f - frame), f) for f in given if abs(f - frame) <= limit]
        takes = frame in known and near
        if fill != "drop" or frame in crops:
            row = held if fill == "hold" or frame in crops else ABSENT
            line.append((frame, row, round(min(near)[1] / 100, 2) if takes else None))
    return line
