"""Files of prediction tables: of some tasks only, and as Parquet."""

import json
import sys
from dataclasses import replace
from itertools import chain, combinations
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from abaw.cli import main
from abaw.core.errors import UsageError
from abaw.core.tasks import TASKS
from abaw.temporal.data.annotations import write_annotations
from abaw.temporal.errors import PredictionError
from abaw.temporal.predictions import COLUMNS, read_predictions, write_predictions

from .tables import assert_same, some_tasks, table

SOME = list(chain.from_iterable(combinations(TASKS, n) for n in range(1, 5)))
FORMS = ["csv", "parquet"]
N_COLUMNS = {"valence": 1, "arousal": 1, "expression": 9, "au": 24}


def cells_of(path: Path) -> list[list[str]]:
    return [line.split(",") for line in path.read_text().splitlines()]


def write_cells(path: Path, cells: list[list[str]]) -> None:
    path.write_text("\n".join(map(",".join, cells)) + "\n")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tasks", SOME, ids="+".join)
def test_a_table_of_some_tasks_comes_back_bit_for_bit(tmp_path: Path, tasks, form: str):
    before = some_tasks(table(5, video=["b/c", 'q"uo,te', "a", "a", "a"]), *tasks)
    path = tmp_path / f"p.{form}"
    write_predictions(path, before)
    assert_same(read_predictions(path), before)


@pytest.mark.parametrize("tasks", SOME, ids="+".join)
def test_the_columns_of_other_tasks_are_empty_whatever_the_table_holds(tmp_path: Path, tasks):
    path = tmp_path / "p.csv"
    write_predictions(path, replace(table(3), tasks=frozenset(tasks)))
    header, *rows = cells_of(path)
    assert header == list(COLUMNS)
    for row in rows:
        assert sum(cell != "" for cell in row) == 2 + sum(N_COLUMNS[task] for task in tasks)
    assert_same(read_predictions(path), some_tasks(table(3), *tasks))


@pytest.mark.parametrize(
    ("kept", "column", "value", "words"),
    [
        pytest.param(TASKS, "arousal", "", ["arousal", "is filled", "is empty here"], id="emptied"),
        pytest.param(TASKS, "p_AU26", "", ["p_AU26", "is empty here"], id="emptied-last"),
        pytest.param(
            ("au",), "valence", "0.5", ["valence", "is empty", "holds '0.5'"], id="filled"
        ),
        pytest.param(("valence",), "p_Other", "0", ["p_Other", "holds '0'"], id="filled-zero"),
    ],
)
def test_a_column_with_empty_and_filled_cells_is_refused_by_line(
    tmp_path: Path, kept, column: str, value: str, words: list[str]
):
    path = tmp_path / "p.csv"
    write_predictions(path, some_tasks(table(4), *kept))
    cells = cells_of(path)
    cells[3][COLUMNS.index(column)] = value
    write_cells(path, cells)
    with pytest.raises(PredictionError) as caught:
        read_predictions(path)
    for word in [f"{path}:4 ", "in all rows or in none", *words]:
        assert word in str(caught.value)


def test_a_task_with_half_of_its_columns_is_refused(tmp_path: Path):
    path = tmp_path / "p.csv"
    write_predictions(path, table(2))
    cells = cells_of(path)
    for row in cells[1:]:
        row[COLUMNS.index("p_Fear")] = ""
    write_cells(path, cells)
    with pytest.raises(
        PredictionError, match=r"p\.csv:2 .*all columns of expression.*lacks p_Fear"
    ):
        read_predictions(path)


@pytest.mark.parametrize("form", FORMS)
def test_a_table_that_predicts_nothing_is_refused(tmp_path: Path, form: str):
    path = tmp_path / f"p.{form}"
    write_predictions(path, replace(table(2), tasks=frozenset()))
    with pytest.raises(PredictionError, match=r"must predict a task, but .* of all tasks are"):
        read_predictions(path)


@pytest.mark.parametrize("form", FORMS)
def test_a_table_without_rows_comes_back(tmp_path: Path, form: str):
    write_predictions(tmp_path / f"p.{form}", table(0))
    assert_same(read_predictions(tmp_path / f"p.{form}"), table(0))


def test_the_form_is_that_of_the_suffix_or_the_one_that_is_asked_for(tmp_path: Path):
    for name, form, magic in (
        ("a.parquet", None, b"PAR1"),
        ("b.PQ", None, b"PAR1"),
        ("c.csv", None, b"vide"),
        ("d.txt", "parquet", b"PAR1"),
        ("e.parquet", "csv", b"vide"),
    ):
        write_predictions(tmp_path / name, table(2), form)
        assert (tmp_path / name).read_bytes()[:4] == magic
        assert_same(read_predictions(tmp_path / name), table(2))


def test_parquet_has_the_names_and_types_of_the_table(tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_predictions(tmp_path / "p.parquet", some_tasks(table(2), "valence"))
    schema = parquet.read_schema(tmp_path / "p.parquet")
    assert schema.names == list(COLUMNS)
    kinds = {name: str(schema.field(name).type) for name in ("frame", "valence", "AU1", "p_AU1")}
    assert kinds == {"frame": "int32", "valence": "float", "AU1": "int8", "p_AU1": "float"}


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch):
    write_predictions(tmp_path / "p.parquet", table(2))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for call in (
        lambda: write_predictions(tmp_path / "q.parquet", table(2)),
        lambda: read_predictions(tmp_path / "p.parquet"),
    ):
        with pytest.raises(UsageError, match=r"needs pyarrow.* extra `parquet`"):
            call()
    assert not (tmp_path / "q.parquet").exists()
    write_predictions(tmp_path / "p.csv", table(2))
    assert_same(read_predictions(tmp_path / "p.csv"), table(2))


def changed_parquet(path: Path, **columns) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    write_predictions(path, table(3))
    found = parquet.read_table(path)
    for name, values in columns.items():
        place = found.column_names.index(name)
        found = found.remove_column(place)
        if values is not None:
            found = found.add_column(place, name, arrow.array(values))
    parquet.write_table(found, path)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        pytest.param({"p_AU4": None}, "lacks p_AU4", id="column"),
        pytest.param({"valence": [0.5, None, 0.25]}, r"valence is null in row 2", id="null"),
        pytest.param({"AU2": [None] * 3}, r"au in all rows or in none, but AU2", id="half"),
        pytest.param({"expression": [1, 9, 0]}, "row 2 of .*expression.* but has 9", id="class"),
        pytest.param({"AU2": [0, 1, 2]}, "row 3 of .*AU .* but has 2", id="au"),
        pytest.param({"arousal": [0.0, float("inf"), 0.0]}, "arousal.* is inf in row 2", id="inf"),
        pytest.param({"arousal": ["a", "b", "c"]}, "must be numbers, but is string", id="text"),
        pytest.param({"frame": [1, None, 3]}, "has a null in row 2", id="frame-null"),
        pytest.param({"frame": [None] * 3}, "must be numbers, but", id="frame-nulls"),
        pytest.param({"frame": [1, 2, -3]}, "row 3 of .*frame", id="frame"),
        pytest.param({"video": [1, 2, 3]}, "video .* must be a text", id="video"),
        pytest.param({"video": ["a", None, "b"]}, "video .*has a null", id="video-null"),
    ],
)
def test_a_wrong_parquet_file_is_refused_by_row(tmp_path: Path, columns, words: str):
    changed_parquet(tmp_path / "p.parquet", **columns)
    with pytest.raises(PredictionError, match=words) as caught:
        read_predictions(tmp_path / "p.parquet")
    assert "p.parquet" in str(caught.value)


def test_parquet_of_others_may_have_other_widths_and_more_columns(tmp_path: Path):
    path = tmp_path / "p.parquet"
    wide = {name: getattr(table(3), name).astype(np.float64) for name in ("valence", "arousal")}
    changed_parquet(path, **wide, frame=np.arange(1, 4, dtype=np.int64))
    assert_same(read_predictions(path), table(3))


def test_a_parquet_file_that_is_cut_short_is_refused(tmp_path: Path):
    path = tmp_path / "p.parquet"
    write_predictions(path, table(3))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(PredictionError, match=r"p\.parquet must be a whole Parquet file"):
        read_predictions(path)


def test_what_is_not_predicted_has_no_score_and_so_has_p_mtl(tmp_path: Path):
    names = [f"a/{number:05d}.jpg" for number in (1, 2, 3)]
    truth = np.random.default_rng(1).integers(0, 2, (3, 15)).astype(float)
    write_annotations(tmp_path / "validation_set_annotations.txt", names, truth)
    path = tmp_path / "p.csv"

    def scored(*tasks: str) -> tuple[dict, str]:
        write_predictions(path, some_tasks(table(3), *tasks))
        words = ["score", str(path), str(tmp_path / "validation_set_annotations.txt")]
        results = [CliRunner().invoke(main, [*words, *more]) for more in (["--json"], [])]
        assert [result.exit_code for result in results] == [0, 0], results[0].output
        return json.loads(results[0].stdout), results[1].stdout

    whole, text = scored(*TASKS)
    assert whole["P_MTL"] is not None
    assert whole["not_predicted"] == []
    assert "not predicted" not in text
    part, text = scored("valence", "expression")
    for key in ("CCC_V", "F1_EXPR", "N"):
        assert part[key] == whole[key]
    for key in ("CCC_A", "F1_AU", "P_MTL"):
        assert part[key] is None
    assert part["per_au"] == {}
    assert part["not_predicted"] == ["arousal", "au"]
    figures = dict(line.split()[:2] for line in text.splitlines()[:5])
    assert [key for key, value in figures.items() if value == "n/a"] == ["CCC_A", "F1_AU", "P_MTL"]
    assert "not predicted: arousal, au" in text
