"""`abaw temporal-predict --format`: tables and a submission of one run, scored alike."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from abaw.cli import main
from abaw.temporal.constant import constant_predictions
from abaw.temporal.predictions import read_predictions
from abaw.temporal.run_folder import open_labels
from abaw.temporal.score import rows_of
from abaw.temporal.train import train

from .made import config, write_cache


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def folder(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    return train(config(epochs=1), cache, out=out, progress=False).folder


@pytest.fixture
def predict(folder: Path, cache: Path):
    def call(*words: object, code: int = 0) -> Result:
        return run("temporal-predict", folder, "--cache", cache, *words, code=code)

    return call


def listed_in(cache: Path, split: str) -> list[str]:
    """First fields of the annotation file or test list, in its order."""
    lines = (cache / f"{split}.txt").read_text().splitlines()[1:]
    return [line.split(",")[0] for line in lines]


def test_three_forms_of_one_run_score_the_same_to_all_digits(predict, cache: Path, tmp_path: Path):
    scores = []
    for name, more in (
        ("val.csv", ()),
        ("val.parquet", ()),
        ("val.txt", ("--format", "submission")),
    ):
        predict("--split", "val", "--out", tmp_path / name, *more)
        scored = run("score", tmp_path / name, "--cache", cache, "--json")
        scores.append(json.loads(scored.stdout))
    assert scores[0]["P_MTL"] is not None
    assert scores[1:] == scores[:1] * 2


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_submission_is_the_annotation_file_row_for_row(predict, cache, tmp_path, split: str):
    result = predict("--split", split, "--out", tmp_path / "s.txt", "--format", "submission")
    header, *rows = (tmp_path / "s.txt").read_text().splitlines()
    assert header == "image,valence,arousal,expression,aus"
    paths = listed_in(cache, split)
    assert [row.split(",")[0] for row in rows] == paths
    if split == "val":
        assert len(set(paths)) < len(paths)
    assert f"wrote {len(paths):,} rows to" in result.stdout
    predict("--split", split, "--out", tmp_path / "t.csv")
    table, back = (read_predictions(tmp_path / name) for name in ("t.csv", "s.txt"))
    places = table.places()
    order = [places[key] for key in zip(back.video, back.frame.tolist(), strict=True)]
    np.testing.assert_array_equal(back.valence, table.valence[order])
    np.testing.assert_array_equal(back.expression, table.p_expression[order].argmax(axis=1))
    np.testing.assert_array_equal(back.au, table.au[order])


def test_a_list_with_every_trap_is_handed_in_row_for_row_and_read_back(
    predict, cache: Path, tmp_path: Path
):
    """Commas at line ends, duplicates, no order, crops and a video that are not there."""
    video, other = open_labels(cache, "labels").videos_of("val")[:2]
    paths = [
        *(f"{video}/{number:05d}.jpg" for number in (7, 3, 3, 90000, 1)),
        "unseen/00002.jpg",
        f"{other}/00001.jpg",
        f"{video}/00003.jpg",
    ]
    listed = tmp_path / "MTL.txt"
    listed.write_bytes("\r\n".join(f"{path}," for path in ["image", *paths]).encode())
    out = ("--out", tmp_path / "s.txt", "--format", "submission", "--list", listed)
    text = predict("--split", "test", *out).stdout
    assert "WARNING: 1 listed videos have no embedding (unseen); their 1 rows" in text
    data = (tmp_path / "s.txt").read_bytes()
    assert b"\r" not in data
    rows = data.decode().split("\n")
    assert [row.split(",")[0] for row in rows] == ["image", *paths, ""]
    assert {row.count(",") for row in rows[1:-1]} == {15}
    back = read_predictions(tmp_path / "s.txt")
    assert back.valence[1] == back.valence[2] == back.valence[7]
    train_rows = rows_of(open_labels(cache, "labels").table, "train")
    constant = constant_predictions(train_rows, [("unseen", 2)])
    assert back.valence[5] == constant.valence[0]
    assert back.expression[5] == constant.expression[0]
    np.testing.assert_array_equal(back.au[5], constant.au[0])
    truth = tmp_path / "truth.txt"
    rows[0] = "image,valence,arousal,expression,aus"
    truth.write_text("\n".join(rows))
    scored = json.loads(run("score", tmp_path / "s.txt", truth, "--json").stdout)
    assert scored["N"] == {"VA": len(paths), "EXPR": len(paths), "AU": len(paths)}
    assert scored["CCC_V"] == pytest.approx(1)
    assert scored["n_unused_predictions"] == 0


def test_a_folder_where_a_file_is_needed_is_refused(predict, tmp_path: Path):
    for form in ("csv", "parquet", "submission"):
        result = predict("--split", "val", "--out", tmp_path, "--format", form, code=2)
        assert f"{tmp_path} is a folder" in result.stderr
    assert list(tmp_path.iterdir()) == []
