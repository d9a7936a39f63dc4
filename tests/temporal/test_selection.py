"""A run's fold decides what it learns from, what it is scored on, and what `val` means for it."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from abaw.cache import SPLITS
from abaw.cli import main
from abaw.core.errors import UsageError
from abaw.temporal.config import config_from_command
from abaw.temporal.data.folds import write_folds
from abaw.temporal.data.join import join
from abaw.temporal.errors import PredictionError, TemporalError
from abaw.temporal.predict import predict
from abaw.temporal.predictions import read_predictions
from abaw.temporal.report import score_table as report_table
from abaw.temporal.run_folder import open_embeddings, open_labels
from abaw.temporal.score import rows_of, score_file, score_table
from abaw.temporal.selection import select
from abaw.temporal.train import train

from .made import Row, annotate, config, write_cache, write_label_store

SMALL = {"projection": 8, "hidden_size": 8, "head_hidden": (4,), "epochs": 1}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache = write_cache(tmp_path_factory.mktemp("cache"))
    write_folds(open_labels(cache, "labels"), cache / "folds.json", 3, 0)
    return cache


def plain_rows(table, splits: set[str], videos: set[str]) -> list[tuple[str, int]]:
    """Row by row, in file order."""
    found = []
    for row in range(len(table.row_path)):
        video = table.videos[table.row_video[row]]
        if SPLITS[table.row_split[row]] in splits and video in videos:
            found.append((video, int(table.row_frame[row])))
    return found


def frames_of(selection, split) -> list[tuple[str, int]]:
    return [(v, int(f)) for v, frames in selection.asked(split).items() for f in frames]


def test_fold_0_is_the_official_split_and_needs_no_fold_file(tmp_path: Path):
    rows = {
        "train": [Row("a", 1), Row("both", 1), Row("both", 1)],
        "val": [Row("b", 2), Row("both", 2), Row("both", 1), Row("b", 2)],
        "test": [Row("t", 1)],
    }
    labels = write_label_store(tmp_path, **rows)
    selection = select(labels, config(), tmp_path)
    assert selection.facts() == {}
    for split, listed in rows.items():
        keys = [(row.video, row.frame) for row in listed]
        assert selection.rows(split).keys == keys
        assert rows_of(labels.table, split).keys == keys
        assert frames_of(selection, split) == sorted(set(keys))


@pytest.mark.parametrize("fold", [1, 2, 3])
def test_a_fold_has_all_rows_of_its_videos_in_file_order_duplicates_too(cache: Path, fold: int):
    labels = open_labels(cache, "labels")
    selection = select(labels, config(fold=fold), cache)
    one = json.loads((cache / "folds.json").read_text())["folds"][fold]
    for split in ("train", "val"):
        expected = plain_rows(labels.table, {"train", "val"}, set(one[split]))
        assert selection.rows(split).keys == expected
        assert frames_of(selection, split) == sorted(set(expected))
    assert selection.rows("test").keys == rows_of(labels.table, "test").keys
    keys = [*selection.rows("train").keys, *selection.rows("val").keys]
    assert len(keys) > len(set(keys)), "the labels have one row twice"


def test_each_annotated_row_is_validated_on_in_one_fold(cache: Path):
    labels = open_labels(cache, "labels")
    found = [k for f in (1, 2, 3) for k in select(labels, config(fold=f), cache).rows("val").keys]
    official = [*rows_of(labels.table, "train").keys, *rows_of(labels.table, "val").keys]
    assert sorted(found) == sorted(official)


def test_fold_all_trains_on_train_and_val_and_has_no_val(cache: Path):
    labels = open_labels(cache, "labels")
    selection = select(labels, config(fold="all"), cache)
    assert not selection.has_val
    assert selection.rows("train").keys == [
        *rows_of(labels.table, "train").keys,
        *rows_of(labels.table, "val").keys,
    ]
    assert selection.rows("val").keys == []
    assert selection.asked("val") == {}
    assert selection.rows("test").keys == rows_of(labels.table, "test").keys
    stores = open_embeddings(cache, ("face_a",))
    lines, report = selection.join(stores, "train")
    assert len(lines) == 14
    assert report.text().startswith("train of fold all: 14 videos")
    assert selection.join(stores, "val")[0] == []


def test_the_lines_of_a_fold_have_the_labels_of_their_frames_only(tmp_path: Path, cache: Path):
    stores, labels = open_embeddings(cache, ("face_a",)), open_labels(cache, "labels")
    selection = select(labels, config(fold=2), cache)
    for split in ("train", "val"):
        lines, _ = selection.join(stores, split)
        assert [line.video for line in lines] == sorted(selection.asked(split))
        for line in lines:
            record = labels[line.video]
            np.testing.assert_array_equal(line.frame, record.frame)
            np.testing.assert_array_equal(line.values["au"], record.values["au"])
            has = line.is_labelled["expression"]
            np.testing.assert_array_equal(has, record.is_labelled["expression"])


def test_a_video_with_rows_in_train_and_val_has_one_role_in_a_fold(tmp_path: Path):
    values = annotate(np.zeros((1, 6)))[0]
    rows = {
        "train": [Row("both", 1, values), Row("a", 1, values)],
        "val": [Row("both", 2, values)],
        "test": [Row("both", 3)],
    }
    cache = write_cache(tmp_path)
    labels = write_label_store(cache, **rows)
    write_folds(labels, cache / "folds.json", 2, 0)
    for fold in (1, 2):
        selection = select(labels, config(fold=fold), cache)
        sides = [selection.asked(split) for split in ("train", "val")]
        (side,) = [side for side in sides if "both" in side]
        assert side["both"].tolist() == [1, 2]
        assert selection.asked("test")["both"].tolist() == [3]


def test_a_fold_that_is_not_there_is_refused(cache: Path, tmp_path: Path):
    labels = open_labels(cache, "labels")
    with pytest.raises(UsageError, match="has the folds 0 to 3, but fold 4 was asked for"):
        select(labels, config(fold=4), cache)
    with pytest.raises(TemporalError, match=r"folds-k9\.json, but it cannot be read"):
        select(labels, config(fold=1, folds="k9"), cache)


@pytest.fixture(scope="module")
def run(cache: Path, tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("runs")
    return train(config(fold=2, **SMALL), cache, out=out, progress=False)


def test_a_run_of_a_fold_is_scored_on_its_validation_rows(run, cache: Path):
    assert "-f2-" in run.folder.name
    assert run.facts["fold"]["number"] == 2
    selection = select(open_labels(cache, "labels"), config(fold=2), cache)
    table = read_predictions(run.folder / "val_predictions.csv")
    assert sorted(zip(table.video, table.frame.tolist(), strict=True)) == frames_of(
        selection, "val"
    )
    scores = score_table(table, selection.rows("val"), "").to_dict()
    for key in ("CCC_V", "CCC_A", "F1_EXPR", "F1_AU", "P_MTL", "N"):
        assert scores[key] == run.scores[key]


def test_val_of_a_run_is_the_validation_set_of_its_fold(run, cache: Path, tmp_path: Path):
    result = predict(run.folder, "val", tmp_path / "val.csv", cache, is_raw=True)
    assert result.path.read_bytes() == (run.folder / "val_predictions.csv").read_bytes()
    assert result.report.text().startswith("val of fold 2: ")


def changed_folds(cache: Path, folder: Path) -> Path:
    """A copy of a cache with folds of another seed."""
    folder.mkdir()
    for path in cache.glob("*.h5"):
        (folder / path.name).symlink_to(path)
    write_folds(open_labels(folder, "labels"), folder / "folds.json", 3, 1)
    return folder


def test_other_folds_of_the_name_are_another_run_and_predict_no_val(
    run, cache: Path, tmp_path: Path
):
    other = changed_folds(cache, tmp_path / "other")
    for split in ("val", "train"):
        with pytest.raises(TemporalError, match="was trained on fold 2 with the fingerprint"):
            predict(run.folder, split, tmp_path / "out.csv", other)
    (other / "folds.json").unlink()
    predict(run.folder, "test", tmp_path / "test.csv", other)
    write_folds(open_labels(other, "labels"), other / "folds.json", 3, 1)
    with pytest.raises(UsageError, match="holds another run"):
        train(config(fold=2, **SMALL), other, run.folder, progress=False)


def test_the_constant_of_a_report_is_of_the_fold_of_its_runs(run, cache: Path, tmp_path: Path):
    official = train(config(**SMALL), cache, out=tmp_path, progress=False)
    of_fold, of_official = (report_table([r.folder], cache) for r in (run, official))
    assert of_fold.splitlines()[1] != of_official.splitlines()[1]
    assert "±" in report_table([run.folder, official.folder], cache).splitlines()[1]
    with pytest.raises(TemporalError, match="was trained on fold 2"):
        report_table([run.folder], changed_folds(cache, tmp_path / "other"))


def test_predicting_train_answers_for_a_video_that_was_not_trained_on(tmp_path: Path):
    cache = write_cache(tmp_path / "c")
    labels = open_labels(cache, "labels")
    stores = open_embeddings(cache, ("face_a", "face_b"))
    rows = {
        split: [
            Row(video, int(frame), annotate(np.zeros((1, 6)))[0])
            for video in labels.videos_of(split)
            for frame in labels[video].frame
        ]
        for split in ("train", "val")
    }
    rows["train"].append(Row("nowhere", 7, annotate(np.zeros((1, 6)))[0]))
    labels = write_label_store(cache, **rows)
    assert "nowhere" not in [x.video for x in join(stores, labels, "train", config())[0]]
    run = train(config(**SMALL), cache, tmp_path / "run", progress=False)
    table = read_predictions(predict(run.folder, "train", tmp_path / "t.csv", cache).path)
    assert ("nowhere", 7) in zip(table.video, table.frame.tolist(), strict=True)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_command_writes_folds_that_a_run_takes(cache: Path, tmp_path: Path):
    result = invoke("folds", "--k", 4, "--seed", 3, "--name", "k4", "--cache", cache)
    assert result.exit_code == 0, result.output
    for words in ("folds-k4.json: fold 0 is the official split", "fold 4 val", "by chance, median"):
        assert words in result.output
    found = config_from_command("face_a", None, ["folds=k4"], fold="4")
    assert (found.fold, found.folds) == (4, "folds-k4")
    assert config_from_command("face_a", None, (), fold="all").fold == "all"
    settings = [f"{k}={v[0] if isinstance(v, tuple) else v}" for k, v in SMALL.items()]
    options = [word for text in [*settings, "folds=k4", "device=cpu"] for word in ("--set", text)]
    run = ["temporal-train", "face_a", "--fold", 4, *options, "--cache", cache, "--out", tmp_path]
    result = invoke(*run, "-q")
    assert result.exit_code == 0, result.output
    assert "train of fold 4" in result.stderr


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--k", 1], 2, "x>=2"),
        (["--k", 15], 2, "the labels have 14 recordings"),
        (["--same", "("], 2, "regular expression"),
        (["--name", "a/b"], 2, "a fold file is called"),
        (["--labels", "none"], 1, "labels-none"),
    ],
)
def test_what_cannot_be_dealt_is_refused_and_writes_nothing(
    cache: Path, options: list[object], code: int, words: str
):
    before = sorted(path.name for path in cache.iterdir())
    result = invoke("folds", *options, "--cache", cache)
    assert result.exit_code == code
    assert words in result.output
    assert sorted(path.name for path in cache.iterdir()) == before


def test_predictions_of_a_fold_are_scored_on_its_rows(run, cache: Path):
    predictions = run.folder / "val_predictions.csv"
    found = score_file(predictions, cache / "labels", "val", fold=2)
    assert found.to_dict() == run.scores
    with pytest.raises(PredictionError, match="must predict every annotated row"):
        score_file(predictions, cache / "labels", "val")
    with pytest.raises(UsageError, match="fold"):
        score_file(predictions, cache / "labels", "val", fold=9)
