"""The score of a file: rows as listed, matched by video and frame number."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from abaw.cache import CacheError
from abaw.cli import main
from abaw.core.errors import UsageError
from abaw.temporal.data.annotations import import_annotations, read_annotations, write_annotations
from abaw.temporal.errors import PredictionError, TemporalError
from abaw.temporal.predictions import PredictionTable, read_predictions, write_predictions
from abaw.temporal.score import rows_of, score_file, score_table

NAMES = [f"toy/{number:05d}.jpg" for number in range(1, 7)]


def values(valence, arousal, expression, au: int) -> np.ndarray:
    found = np.full((len(valence), 15), au, np.float64)
    found[:, :3] = np.column_stack([valence, arousal, expression])
    return found


TRUTH = values(
    [0.2, -0.1, 0.5, -5, 0, 0.4], [0.1, 0.3, -5, -5, -0.2, 0.6], [0, 4, 7, -1, 4, 0], au=-1
)
PREDICTED = values(
    [0.1, 0, 0.6, 0.9, -0.1, 0.2], [0.2, 0.2, 0, 0, -0.1, 0.3], [0, 4, 4, 1, 5, 7], 0
)


@pytest.fixture
def toy(tmp_path: Path) -> tuple[Path, Path]:
    """A published toy example: predictions in submission form, and its annotations."""
    write_annotations(tmp_path / "p.txt", NAMES, PREDICTED)
    write_annotations(tmp_path / "validation_set_annotations.txt", NAMES, TRUTH)
    return tmp_path / "p.txt", tmp_path / "validation_set_annotations.txt"


def test_the_toy_example_scores_what_is_published(toy: tuple[Path, Path]):
    result = CliRunner().invoke(main, ["score", *map(str, toy), "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["CCC_V"] == pytest.approx(0.6818182, abs=5e-8)
    assert found["CCC_A"] == pytest.approx(0.7272727, abs=5e-8)
    assert found["F1_EXPR"] == pytest.approx(0.1458333, abs=5e-8)
    assert found["F1_AU"] is None
    assert found["P_MTL"] is None
    assert found["N"] == {"VA": 4, "EXPR": 5, "AU": 0}
    f1 = [round(value, 4) for value in found["per_expression"].values()]
    assert f1 == [0.6667, 0, 0, 0, 0.5, 0, 0, 0]


def test_the_text_says_n_a_where_a_task_has_no_labels(toy: tuple[Path, Path]):
    lines = dict(line.split(maxsplit=1) for line in score_file(*toy).text().splitlines())
    assert lines["CCC_V"] == "0.681818"
    assert lines["F1_AU"] == "n/a"
    assert lines["P_MTL"] == "n/a"


def test_a_labels_store_scores_like_its_annotation_file(toy: tuple[Path, Path], tmp_path: Path):
    predictions, annotations = toy
    import_annotations(tmp_path / "c", "labels", None, None, annotations, None)
    assert score_file(predictions, tmp_path / "c" / "labels.h5") == score_file(*toy)
    assert score_file(predictions, tmp_path / "c" / "labels") == score_file(*toy)


def test_rows_listed_twice_count_twice(toy: tuple[Path, Path]):
    predictions, annotations = toy
    once = score_file(predictions, annotations)
    order = [0, 0, 0, 1, 2, 3, 4, 5]
    write_annotations(annotations, [NAMES[row] for row in order], TRUTH[order])
    thrice = score_file(predictions, annotations)
    assert thrice.N == {"VA": 6, "EXPR": 7, "AU": 0}
    assert thrice.per_expression["Neutral"] == pytest.approx(2 * 3 / (2 * 3 + 1))  # one is missed
    assert thrice.CCC_V != once.CCC_V


def test_duplicates_that_disagree_are_each_scored_with_their_own_label(toy: tuple[Path, Path]):
    predictions, annotations = toy
    truth = np.concatenate([TRUTH, TRUTH[:1]])
    truth[-1, 2] = 3
    write_annotations(annotations, [*NAMES, NAMES[0]], truth)
    scores = score_file(predictions, annotations)
    assert scores.N["EXPR"] == 6
    assert scores.per_expression["Neutral"] == pytest.approx(0.5)  # 1 hit, 1 missed, 1 too many


def test_the_order_of_predictions_does_not_matter(toy: tuple[Path, Path]):
    expected = score_file(*toy)
    order = [3, 1, 5, 0, 2, 4]
    write_annotations(toy[0], [NAMES[row] for row in order], PREDICTED[order])
    assert score_file(*toy) == expected


def test_a_row_without_a_prediction_is_named_and_counted(toy: tuple[Path, Path]):
    write_annotations(toy[0], [NAMES[0], *NAMES[3:]], PREDICTED[[0, 3, 4, 5]])
    with pytest.raises(PredictionError, match=r"lacks 2 of 6, the first is frame 2 of 'toy'"):
        score_file(*toy)


def test_predictions_for_other_frames_are_counted_and_left_alone(toy: tuple[Path, Path]):
    expected = score_file(*toy)
    more = np.concatenate([PREDICTED, PREDICTED[:2]])
    write_annotations(toy[0], [*NAMES, "toy/00099.jpg", "else/00001.jpg"], more)
    found = score_file(*toy)
    assert found == replace(expected, n_unused=2)
    assert "2 predictions for frames that are not annotated" in found.text()


def test_videos_of_one_frame_number_are_told_apart(tmp_path: Path):
    names = ["a/00001.jpg", "b/00001.jpg"]
    truth = values([0.5, -0.5], [0.5, -0.5], [1, 2], 1)
    write_annotations(tmp_path / "v.txt", names, truth)
    write_annotations(tmp_path / "p.txt", names[::-1], truth[::-1])
    scores = score_file(tmp_path / "p.txt", tmp_path / "v.txt")
    assert pytest.approx(1) == scores.CCC_V
    assert pytest.approx(2 / 8) == scores.F1_EXPR
    assert pytest.approx(1) == scores.F1_AU
    assert pytest.approx(2.25) == scores.P_MTL


def test_a_table_scores_like_the_submission_made_of_it(toy: tuple[Path, Path], tmp_path: Path):
    given = read_predictions(toy[0])
    n = len(given)
    table = replace(
        given, p_expression=np.zeros((n, 8), np.float32), p_au=np.zeros((n, 12), np.float32)
    )
    write_predictions(tmp_path / "p.csv", table)
    assert score_file(tmp_path / "p.csv", toy[1]) == score_file(*toy)


def test_a_nan_prediction_is_named_by_video_and_frame(toy: tuple[Path, Path]):
    rows = rows_of(read_annotations({"val": toy[1]}), "val")
    table = read_predictions(toy[0])
    broken = table.arousal.copy()
    broken[4] = np.nan
    bad: PredictionTable = replace(table, arousal=broken)
    with pytest.raises(PredictionError, match=r"arousal of frame 5 of 'toy' is nan"):
        score_table(bad, rows, "the model")


def test_a_split_without_rows_is_refused(toy: tuple[Path, Path], tmp_path: Path):
    import_annotations(tmp_path / "c", "labels", None, None, toy[1], None)
    with pytest.raises(TemporalError, match="split 'train', but has none"):
        score_file(toy[0], tmp_path / "c" / "labels.h5", "train")


def test_an_unknown_split_lists_the_known_ones(toy: tuple[Path, Path], tmp_path: Path):
    import_annotations(tmp_path / "c", "labels", None, None, toy[1], None)
    with pytest.raises(UsageError, match=r"train, val, test, but got 'dev'"):
        score_file(toy[0], tmp_path / "c" / "labels.h5", "dev")


def test_missing_annotations_are_named(toy: tuple[Path, Path], tmp_path: Path):
    with pytest.raises(CacheError, match="nowhere"):
        score_file(toy[0], tmp_path / "nowhere.txt")
