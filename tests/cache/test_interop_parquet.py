"""Parquet: the same tables as text, and one sentence where pyarrow is not installed."""

import sys

import pytest

from abaw.cache import InteropError, import_features, open_store
from abaw.core.errors import UsageError

from .interop_made import write_text


def load(folder, layout="parquet", name="x", **options):
    return import_features(folder.parent / "cache", name, folder, layout, **options)


def test_without_pyarrow_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    write_text(tmp_path / "a.parquet", "")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match="parquet needs pyarrow, which is not installed; install"):
        load(tmp_path)


def write_table(path, **columns):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(arrow.table(columns), path)


COLUMNS = {
    "frame": [1, 2, 3, 5],
    " success": [True, False, True, True],
    " timestamp": [0.0, 0.1, None, 0.4],
    " AU01_r": [0.5, 0.0, None, 0.75],
    "AU12_c": [1, 0, 1, 1],
    "who": ["me", "me", "me", "me"],
}


def test_a_table_is_what_the_same_table_as_text_is(tmp_path):
    write_table(tmp_path / "parquet" / "a.parquet", **COLUMNS)
    rows = zip(*COLUMNS.values(), strict=True)
    lines = [",".join("" if v is None else str(v) for v in row) for row in rows]
    lines = [line.replace("True", "1").replace("False", "0") for line in lines]
    write_text(tmp_path / "csv" / "a.csv", ",".join(COLUMNS), *lines)
    summary = load(tmp_path / "parquet")
    load(tmp_path / "csv", "csv", "y")
    assert "left out: frame, success, timestamp, who" in summary.text()
    with open_store(tmp_path / "cache/x") as x, open_store(tmp_path / "cache/y") as y:
        assert x["a"].embedding.tolist() == y["a"].embedding.tolist() == [[0.5, 1], [0.75, 1]]
        assert x["a"].frame.tolist() == y["a"].frame.tolist() == [1, 5]
        assert x["a"].time.tolist() == y["a"].time.tolist() == [0.0, 0.4]
        assert [f.reason for f in x.failures] == [
            "row 2 of a.parquet: success is 0",
            "row 3 of a.parquet: AU01_r is nan",
        ]
        assert x.spec.options == y.spec.options


def test_damaged_and_unfit_files_are_named(tmp_path):
    folder = tmp_path / "parquet"
    write_table(folder / "a.parquet", **COLUMNS)
    whole = (folder / "a.parquet").read_bytes()
    (folder / "b.parquet").write_bytes(whole[:-20])
    middle = bytearray(whole)
    middle[4:200] = bytes(196)
    (folder / "c.parquet").write_bytes(middle)
    write_table(folder / "d.parquet", **(COLUMNS | {" AU01_r": ["x"] * 4}))
    summary = load(folder)
    assert summary.new == ["a"]
    assert "b.parquet must be a whole Parquet file, but is not" in summary.refused["b"]
    assert "c.parquet must be a whole Parquet file, but is not" in summary.refused["c"]
    assert "column 'AU01_r' of" in summary.refused["d"]
    assert "must hold numbers, but holds string" in summary.refused["d"]


def test_a_text_column_that_is_chosen_is_refused(tmp_path):
    write_table(tmp_path / "parquet" / "a.parquet", **COLUMNS)
    with pytest.raises(InteropError, match=r"column 'who' of .*a\.parquet must hold numbers"):
        load(tmp_path / "parquet", columns="who")


def test_a_row_is_named_by_its_place_in_the_whole_file(tmp_path):
    x = [0.5] * 10_000
    x[9_000] = None
    write_table(tmp_path / "parquet" / "a.parquet", frame=list(range(1, 10_001)), x=x)
    assert load(tmp_path / "parquet").failures == [("a", 9_001, "row 9001 of a.parquet: x is nan")]


def test_dots_in_the_names_of_columns_are_no_paths(tmp_path):
    write_table(tmp_path / "parquet" / "a.parquet", **{"frame": [1, 2], "au.01": [0.5, 0.25]})
    load(tmp_path / "parquet")
    with open_store(tmp_path / "cache/x") as store:
        assert store["a"].embedding.tolist() == [[0.5], [0.25]]
