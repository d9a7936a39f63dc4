"""What an export could write over, leave half done, or leave out without a word."""

import numpy as np
import pytest
from click.testing import CliRunner

from abaw.cache import export_features
from abaw.cache.errors import CacheError
from abaw.cache.interop_csv import write_csv
from abaw.cache.interop_npy import write_npy
from abaw.cache.interop_parquet import write_parquet
from abaw.cli import main
from abaw.core.errors import UsageError

from .interop_made import videos_with_gaps, write_label_store, write_store


def test_one_store_under_two_of_its_names_is_refused(kit, tmp_path):
    write_store(tmp_path / "cache" / "x.h5", kit.make_spec(), videos_with_gaps(kit.DIM))
    with pytest.raises(UsageError, match="named once, but 'x' is there 2 times"):
        export_features(tmp_path / "cache", ["x", "x.h5"], tmp_path / "out", "npy")


@pytest.mark.parametrize("layout", ["npy", "csv", "parquet"])
@pytest.mark.parametrize(
    ("videos", "words"),
    [
        (["v" * 300], r"out must be a folder that can be written, but is not: File name too long"),
        (["a", "a.{layout}/b"], r"out must be a folder that can be written, but is not: "),
    ],
)
def test_ids_that_a_folder_of_files_cannot_hold_are_refused_and_nothing_is_left(
    kit, tmp_path, layout, videos, words
):
    if layout == "parquet":
        pytest.importorskip("pyarrow")
    layout_ending = "npz" if layout == "npy" else layout
    one = (np.array([1]), np.ones((1, kit.DIM)), None)
    named = {video.format(layout=layout_ending): one for video in videos}
    write_store(tmp_path / "cache" / "x.h5", kit.make_spec(), named)
    with pytest.raises(CacheError, match=words):
        export_features(tmp_path / "cache", ["x"], tmp_path / "out", layout)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


@pytest.mark.parametrize("write", [write_npy, write_csv, write_parquet])
def test_a_file_is_never_written_over(kit, tmp_path, write):
    """As it would be by the videos `A` and `a` where capital letters do not count."""
    if write is write_parquet:
        pytest.importorskip("pyarrow")
    store = write_store(tmp_path / "cache" / "x.h5", kit.make_spec(), videos_with_gaps(kit.DIM))
    write(tmp_path / "out", store)
    with pytest.raises(FileExistsError):
        write(tmp_path / "out", store)


def test_files_that_an_import_would_not_look_at_are_told(kit, tmp_path):
    one = (np.array([1]), np.ones((1, kit.DIM)), None)
    write_store(tmp_path / "cache" / "x.h5", kit.make_spec(), {"a": one, "b/.c": one})
    text = export_features(tmp_path / "cache", ["x"], tmp_path / "out", "npy")
    assert "hidden files, which an import does not look at: b/.c" in text


def test_the_folder_one_stands_in_is_not_replaced(kit, tmp_path, monkeypatch):
    write_store(tmp_path / "cache" / "x.h5", kit.make_spec(), videos_with_gaps(kit.DIM))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for out in (".", "../here/..", "/"):
        arguments = ["cache", "export", "x", "--layout", "npy", "--out", out, "--cache", "../cache"]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code in (1, 2)
        assert "name another --out" in result.stderr


def test_what_the_labels_do_not_ask_for_is_told(kit, tmp_path):
    cache, one = tmp_path / "cache", (np.array([1, 2]), np.ones((2, kit.DIM)), None)
    write_store(cache / "x.h5", kit.make_spec(), {"a": one, "b": one, "c": one})
    write_label_store(cache / "labels.h5", {"a": ("val", [1])})
    text = export_features(cache, ["x"], tmp_path / "out", "abaw4")
    assert "x: 2 stored videos are not in the labels and are left out: b, c" in text
    assert "x: 1 stored frames of the others are not in the labels and are left out" in text
    assert "x: no training video in the labels, so no mean_std_on_trn" in text
