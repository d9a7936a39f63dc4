"""Folds: no recording on two sides, validation sets that are alike, fold 0 as annotated."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abaw.cache import LabelTable
from abaw.core.errors import UsageError
from abaw.temporal.data.annotation_rows import SourceRows
from abaw.temporal.data.fold_report import folds_text
from abaw.temporal.data.folds import folds_path, official_videos, read_folds, resplit, write_folds
from abaw.temporal.data.label_table import build_table
from abaw.temporal.data.recordings import recordings
from abaw.temporal.errors import TemporalError

from .made import UNLABELLED, Row, annotate, write_label_store

VALUES = annotate(np.array([[0.5, -0.5, 1.0, -1.0, 1.0, 0.0]]))[0]


def table_of(**splits: list[Row]) -> LabelTable:
    """Return the labels of rows, without files."""
    parts = [
        SourceRows(
            Path(split),
            split,
            [f"{row.video}/{row.frame:05d}.jpg" for row in rows],
            [row.video for row in rows],
            np.array([row.frame for row in rows], np.int32),
            np.array([row.values for row in rows], float).reshape(-1, 15),
            "0",
        )
        for split, rows in splits.items()
    ]
    return build_table(parts, "mtl", None, {})


names = st.builds(
    lambda stem, end: f"{stem}{end}",
    st.sampled_from(["1", "2", "3", "a/4", "a/5", "x_left_6", "7-30", "8-24", "9"]),
    st.sampled_from(["", "_left", "_right"]),
)


@pytest.mark.heavy
@settings(deadline=None, max_examples=60)
@given(
    st.lists(names, min_size=2, max_size=20, unique=True),
    st.integers(2, 5),
    st.sampled_from([None, r"^(\d)", r"([0-9]+)(?:_left|_right)?$"]),
    st.integers(0, 2**31),
)
def test_no_recording_is_in_two_validation_sets_or_on_both_sides(videos, k, same, seed):
    rng = np.random.default_rng(seed)
    splits: dict[str, list[Row]] = {"train": [], "val": [], "test": [Row("only_test", 1)]}
    for video in videos:
        values = annotate(rng.normal(size=(int(rng.integers(1, 9)), 6)))
        values[rng.random(len(values)) < 0.5, 3:] = -1
        split = ("train", "val")[int(rng.integers(2))]
        splits[split] += [Row(video, n + 1, row) for n, row in enumerate(values)]
    table = table_of(**splits)
    try:
        recording = recordings(videos, same)
    except UsageError:
        return  # no video of the draw has the group
    if len(set(recording.values())) < k:
        with pytest.raises(UsageError, match="a recording for each"):
            resplit(table, k, seed, same)
        return
    folds = resplit(table, k, seed, same)
    seen: set[str] = set()
    for fold in folds:
        assert fold.val
        assert sorted([*fold.train, *fold.val]) == sorted(videos)
        val = {recording[video] for video in fold.val}
        assert not val & {recording[video] for video in fold.train}
        assert not val & seen
        seen |= val
    assert seen == set(recording.values())
    assert folds == resplit(table, k, seed, same)


@given(st.lists(names, min_size=1, max_size=12, unique=True))
def test_recordings_are_what_is_joined_by_a_suffix_or_a_group(videos):
    ids = {v: {v.removesuffix("_left").removesuffix("_right")} for v in videos}
    for video in videos:
        if video[0].isdigit():
            ids[video].add(video[0])
    groups = [{video} for video in videos]
    is_joined = True
    while is_joined:  # until no two groups have an id in common
        is_joined = False
        for a in groups:
            for b in groups:
                if a is not b and set().union(*map(ids.get, a)) & set().union(*map(ids.get, b)):
                    groups.remove(b)
                    a |= b
                    is_joined = True
                    break
            if is_joined:
                break
    try:
        found = recordings(videos, r"^(\d)")
    except UsageError:
        assert not any(video[0].isdigit() for video in videos)
        return
    same = {frozenset(v for v in videos if found[v] == name) for name in found.values()}
    assert same == {frozenset(group) for group in groups}


@pytest.mark.parametrize(
    ("same", "words"),
    [("(", "is not one"), (r"^\d+", "has none; put the id in parentheses"), ("(z)", "none of the")],
)
def test_an_expression_that_tells_no_recording_is_refused(same, words):
    with pytest.raises(UsageError, match=words):
        recordings(["1", "2"], same)


def test_fold_0_is_the_official_split(tmp_path: Path):
    rows = {
        "train": [Row("b", 1, VALUES), Row("a", 1, VALUES), Row("both", 1, VALUES)],
        "val": [Row("c", 1, VALUES), Row("both", 2, VALUES)],
        "test": [Row("t", 1)],
    }
    found = official_videos(table_of(**rows))
    assert (found.train, found.val) == (["a", "b", "both"], ["both", "c"])


def test_the_file_is_the_same_for_the_same_seed_and_another_for_another(tmp_path: Path):
    labels = write_label_store(tmp_path, **drawn_rows(12))
    paths = [tmp_path / f"{n}.json" for n in range(3)]
    for path, seed in zip(paths, (5, 5, 6), strict=True):
        write_folds(labels, path, 3, seed)
    texts = [path.read_text() for path in paths]
    assert texts[0] == texts[1]
    assert json.loads(texts[0])["folds"][1:] != json.loads(texts[2])["folds"][1:]
    assert read_folds(paths[0], labels).folds[0] == official_videos(labels.table)


def drawn_rows(n: int, seed: int = 0) -> dict[str, list[Row]]:
    rng = np.random.default_rng(seed)
    splits: dict[str, list[Row]] = {"train": [], "val": [], "test": [Row("t", 1)]}
    for video in range(n):
        values = annotate(rng.normal(size=(4, 6)))
        splits["train" if video % 3 else "val"] += [
            Row(f"{video}", frame + 1, row) for frame, row in enumerate(values)
        ]
    return splits


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("stored")
    labels = write_label_store(folder, **drawn_rows(12))
    write_folds(labels, folder / "folds.json", 3, 0)
    return labels, (folder / "folds.json").read_text()


def test_folds_of_other_labels_are_refused_with_both_fingerprints(stored, tmp_path: Path):
    labels, text = stored
    other = write_label_store(tmp_path, **drawn_rows(12, seed=1))
    path = tmp_path / "folds.json"
    path.write_text(text)
    with pytest.raises(TemporalError) as caught:
        read_folds(path, other)
    for words in (labels.fingerprint[:12], other.fingerprint[:12], "abaw folds"):
        assert words in str(caught.value)


def with_change(found: dict, what: str) -> dict:
    one = found["folds"][2]
    if what == "moved":
        one["train"].append(one["val"][0])
    elif what == "lost":
        one["val"].pop()
    elif what == "unknown":
        one["val"].append("nobody")
    elif what == "test":
        one["train"].append("t")
    elif what == "empty":
        one["train"], one["val"] = sorted([*one["train"], *one["val"]]), []
    elif what == "same":
        found["same"] = "^(.)"  # 1, 10 and 11 are one recording
    elif what == "fewer":
        found["folds"].pop()
    elif what == "version":
        found["format_version"] = 2
    else:
        found[what] = "wrong"
    return found


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("moved", "fold 2 of .* must name each video of train and val once, but 1 are"),
        ("lost", "must name each video of train and val once"),
        ("unknown", r"named twice \(nobody\)"),
        ("test", r"named twice \(t\)"),
        ("empty", "but one side is empty"),
        ("same", "but recording 1 is on both sides"),
        ("fewer", "must hold 4 folds, 0 to k, but holds 3"),
        ("version", "version 1, but is of version 2; update abaw"),
        ("format", "must be a fold file, but format is wrong"),
        ("k", "must be a fold file, but k is wrong"),
        ("more", "must be a fold file, but more is wrong"),
    ],
)
def test_a_fold_file_that_was_changed_is_refused(stored, tmp_path: Path, what, words):
    labels, text = stored
    path = tmp_path / "folds.json"
    path.write_text(json.dumps(with_change(json.loads(text), what)))
    with pytest.raises(TemporalError, match=words) as caught:
        read_folds(path, labels)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"\xff\xfe"])
def test_a_file_that_is_no_fold_file_is_refused(stored, tmp_path: Path, data):
    path = tmp_path / "folds.json"
    path.write_bytes(data)
    with pytest.raises(TemporalError, match="must be a fold file"):
        read_folds(path, stored[0])


def test_a_missing_fold_file_tells_the_command(stored, tmp_path: Path):
    with pytest.raises(TemporalError, match=r"needs the fold file .*abaw folds --name folds-k3"):
        read_folds(folds_path(tmp_path, "k3"), stored[0])


@pytest.mark.parametrize("name", ["a b", "folds2", "../x", ""])
def test_a_fold_file_has_a_plain_name(tmp_path: Path, name):
    with pytest.raises(UsageError, match="a fold file is called folds, or folds-NAME"):
        folds_path(tmp_path, name)


def report_of(rows: dict[str, list[Row]], folder: Path, k: int = 2, same: str | None = None) -> str:
    labels = write_label_store(folder, **rows)
    path = folder / "folds.json"
    return folds_text(labels.table, write_folds(labels, path, k, 0, same), path)


def test_a_validation_set_without_an_expression_is_allowed_and_reported(tmp_path: Path):
    fear = np.array(VALUES)
    fear[2] = 3
    rows = [Row(f"{n}", 1, fear if n == 0 else VALUES) for n in range(4)]
    text = report_of({"train": rows[:2], "val": rows[2:]}, tmp_path)
    lacking = [line for line in text.splitlines() if "to be scored on" in line]
    assert sum("Fear" in line for line in lacking) == 2, "the official val and one of two folds"
    assert lacking[0].startswith("fold 0 has no row of Neutral, ")


def test_recordings_on_both_sides_of_the_official_split_are_named(tmp_path: Path):
    rows = {
        "train": [Row("7_left", 1, VALUES), Row("8", 1, VALUES)],
        "val": [Row("7_right", 1, VALUES), Row("9", 1, UNLABELLED)],
        "test": [Row("8_right", 1)],
    }
    text = report_of(rows, tmp_path)
    assert "the official split has 1 recordings on both sides: 7" in text
    assert "1 recordings of train or val are in test too: 8" in text
    assert "4 videos of 3 recordings" in text


def test_the_tables_count_what_the_labels_hold(tmp_path: Path):
    half = np.array(UNLABELLED)
    half[0], half[1] = 0.5, -0.25
    rows = {
        "train": [Row("a", 1, VALUES), Row("a", 1, VALUES), Row("a", 2, half), Row("b", 1)],
        "val": [Row("c", 1, VALUES)],
    }
    lines = report_of(rows, tmp_path).splitlines()
    train = next(line for line in lines if line.startswith("official train")).split()
    valence = (2 * VALUES[0] + 0.5) / 3
    # videos, frames, labelled V, A, expression, AU of four rows, mean valence
    assert train[2:9] == ["2", "3", "75.0%", "75.0%", "50.0%", "50.0%", f"{valence:+.3f}"]
    sizes = [line.split() for line in lines if line.startswith("fold ") and " val " in line][:2]
    assert sorted(int(cells[3]) for cells in sizes) in ([1, 2], [1, 2])
    assert sum(int(cells[4]) for cells in sizes) == 4


def test_one_task_and_no_labels_at_all_can_be_dealt(tmp_path: Path):
    for columns in (slice(0, 2), slice(2, 3), slice(3, 15), slice(0, 0)):
        values = np.array(UNLABELLED)
        values[columns] = VALUES[columns]
        rows = [Row(f"{n}", 1, values) for n in range(4)]
        text = report_of({"train": rows[:2], "val": rows[2:]}, tmp_path)
        assert "n/a" in text
        assert "nan" not in text


def test_test_videos_never_take_part(tmp_path: Path):
    labels = write_label_store(tmp_path, **drawn_rows(6))
    folds = write_folds(labels, tmp_path / "folds.json", 2, 0)
    assert not any("t" in [*fold.train, *fold.val] for fold in folds.folds)
