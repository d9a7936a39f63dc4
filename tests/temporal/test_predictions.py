"""The prediction table: written whole, read back bit for bit, refused where it is wrong."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from abaw.core.tasks import AUS, EXPRESSIONS
from abaw.temporal.data.annotations import write_annotations
from abaw.temporal.errors import PredictionError
from abaw.temporal.predictions import (
    COLUMNS,
    read_predictions,
    write_predictions,
)

from .tables import FIELDS, assert_same, table

ROW = ["v", "7", "0.5", "-0.25", "4", *["0.125"] * 8, *["1"] * 12, *["0.75"] * 12]
SUBMISSION = "image,valence,arousal,expression,aus"


def written(path: Path, *rows: list[str], header: tuple[str, ...] = COLUMNS) -> Path:
    path.write_text("\n".join([",".join(header), *map(",".join, rows)]) + "\n")
    return path


def changed(column: str, value: str) -> list[str]:
    row = list(ROW)
    row[COLUMNS.index(column)] = value
    return row


def test_the_header_is_in_the_challenges_order():
    expressions = ["Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness"]
    classes = [f"p_{name}" for name in (*expressions, "Surprise", "Other")]
    aus = [f"AU{number}" for number in (1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26)]
    expected = ["video", "frame", "valence", "arousal", "expression", *classes, *aus]
    assert list(COLUMNS) == [*expected, *(f"p_{au}" for au in aus)]


@settings(max_examples=40)
@given(
    values=hnp.arrays(np.float32, (4, 22), elements=st.floats(-1, 1, width=32)),
    classes=hnp.arrays(np.int8, (4, 13), elements=st.integers(0, 1)),
    frame=hnp.arrays(np.int32, 4, elements=st.integers(0, 2**31 - 1)),
    video=st.lists(st.sampled_from(["a", "b/c", "12-24-1x1", 'q"uo,te']), min_size=4, max_size=4),
)
def test_float32_comes_back_bit_for_bit(tmp_path_factory, values, classes, frame, video):
    values = values + np.float32(0)  # -0 and 0 are one number here
    before = table(
        4,
        video=video,
        frame=frame,
        valence=values[:, 0],
        arousal=values[:, 1],
        expression=classes[:, 0],
        au=classes[:, 1:],
        p_expression=values[:, 2:10],
        p_au=values[:, 10:],
    )
    path = tmp_path_factory.mktemp("p") / "p.csv"
    write_predictions(path, before)
    assert_same(read_predictions(path), before)


def test_an_empty_table_comes_back_empty(tmp_path: Path):
    write_predictions(tmp_path / "p.csv", table(0))
    assert_same(read_predictions(tmp_path / "p.csv"), table(0))


def test_columns_are_written_where_the_header_names_them(tmp_path: Path):
    write_predictions(tmp_path / "p.csv", table(1))
    header, row = (tmp_path / "p.csv").read_text().splitlines()
    cells = dict(zip(header.split(","), row.split(","), strict=True))
    one = table(1)
    assert (cells["video"], cells["frame"]) == ("a", "1")
    for index, name in enumerate(EXPRESSIONS):
        assert np.float32(cells[f"p_{name}"]) == one.p_expression[0, index]
    for index, name in enumerate(AUS):
        assert int(cells[name]) == one.au[0, index]
        assert np.float32(cells[f"p_{name}"]) == one.p_au[0, index]


@pytest.mark.parametrize("end", ["\r\n", "\n\n\n"])
def test_line_ends_and_last_empty_lines_do_not_matter(tmp_path: Path, end: str):
    path = tmp_path / "p.csv"
    text = "\r\n".join([",".join(COLUMNS), ",".join(ROW)]) + end
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_predictions(path).frame.tolist() == [7]


def test_a_submission_is_read_without_probabilities(tmp_path: Path):
    path = tmp_path / "MTL_predictions.txt"
    values = np.array([[0.1, -0.2, 4, *[0, 1] * 6], [0.3, 0.4, 7, *[1, 0] * 6]])
    write_annotations(path, ["v_left/00001.jpg", "b/c/00042.jpg"], values)
    found = read_predictions(path)
    assert found.video == ["v_left", "b/c"]
    assert found.frame.tolist() == [1, 42]
    np.testing.assert_array_equal(found.arousal, np.array([-0.2, 0.4], np.float32))
    assert found.expression.tolist() == [4, 7]
    assert found.au[1].tolist() == [1, 0] * 6
    assert found.p_expression is None
    assert found.p_au is None


def test_a_table_without_probabilities_is_not_written(tmp_path: Path):
    with pytest.raises(ValueError, match="probabilities"):
        write_predictions(tmp_path / "p.csv", table(p_au=None))
    assert not (tmp_path / "p.csv").exists()


def test_a_failed_write_leaves_the_older_file(tmp_path: Path):
    path = tmp_path / "p.csv"
    write_predictions(path, table(2))
    with pytest.raises(ValueError, match=r"digits are 0 to 9, but got -1 to"):
        write_predictions(path, table(3, expression=np.array([1, 2, -1], np.int8)))
    assert_same(read_predictions(path), table(2))
    assert [found.name for found in tmp_path.iterdir()] == ["p.csv"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        pytest.param(ROW[:-1], ["37", "36"], id="fields"),
        pytest.param([""], ["37", "0"], id="empty-line"),
        pytest.param(changed("valence", "x"), ["numbers", "'x'"], id="text"),
        pytest.param(changed("arousal", "nan"), ["finite", "NaN"], id="nan"),
        pytest.param(changed("p_AU1", "inf"), ["finite"], id="infinity"),
        pytest.param(changed("expression", "8"), ["expression", "0 to 7", "8"], id="expression-8"),
        pytest.param(changed("expression", "-1"), ["expression", "-1"], id="expression-marker"),
        pytest.param(changed("expression", "1.5"), ["expression", "1.5"], id="expression-1.5"),
        pytest.param(changed("AU26", "0.7"), ["AU", "0 to 1", "0.7"], id="au-probability"),
        pytest.param(changed("frame", "7.5"), ["frame", "7.5"], id="frame-7.5"),
        pytest.param(changed("frame", "-1"), ["frame", "-1"], id="frame-minus-1"),
        pytest.param(changed("frame", "3e9"), ["frame", "3e+09"], id="frame-too-large"),
    ],
)
def test_a_wrong_row_is_named_by_file_line_and_value(
    tmp_path: Path, row: list[str], words: list[str]
):
    path = written(tmp_path / "p.csv", ROW, row, changed("frame", "9"))
    with pytest.raises(PredictionError) as caught:
        read_predictions(path)
    for word in [f"{path}:3 ", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        pytest.param("a/1.jpg,0,0,4," + ",".join("0" * 11), "15", id="fields"),
        pytest.param("1.jpg,0,0,4," + ",".join("0" * 12), "'1.jpg'", id="no-video"),
        pytest.param("a/one.jpg,0,0,4," + ",".join("0" * 12), "'a/one.jpg'", id="no-number"),
        pytest.param("a/1.jpg,0,0,-1," + ",".join("0" * 12), "-1", id="marker"),
    ],
)
def test_a_wrong_submission_line_is_named(tmp_path: Path, line: str, word: str):
    path = tmp_path / "s.txt"
    path.write_text(f"{SUBMISSION}\n{line}\n")
    with pytest.raises(PredictionError) as caught:
        read_predictions(path)
    assert f"{path}:2 " in str(caught.value)
    assert word in str(caught.value)


@pytest.mark.parametrize("text", ["", "frame,video\n", "video,frame,valence\n"])
def test_another_header_is_refused_with_what_it_is(tmp_path: Path, text: str):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(PredictionError, match=r"p\.csv must begin with .*" + text.strip()):
        read_predictions(tmp_path / "p.csv")


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(PredictionError, match=r"none\.csv"):
        read_predictions(tmp_path / "none.csv")


def test_a_frame_twice_with_one_prediction_is_found_once():
    twice = table(2, frame=np.array([5, 5], np.int32), valence=np.zeros(2, np.float32))
    same = {name: np.repeat(getattr(twice, name)[:1], 2, axis=0) for name in FIELDS[2:]}
    assert table(2, frame=twice.frame, **same).places() == {("a", 5): 0}


def test_a_frame_twice_with_two_predictions_is_refused():
    with pytest.raises(PredictionError, match=r"rows 1 and 2 differ for frame 5 of 'a'"):
        table(2, frame=np.array([5, 5], np.int32)).places()
