"""What an import could lose without a word: links, rows, videos, half an import."""

import os

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from abaw.cache import InteropError, export_features, import_features, open_store
from abaw.cache.errors import CacheError
from abaw.cache.interop import import_spec
from abaw.cache.interop_npy import NpySource
from abaw.cache.interop_source import FrameNumbers, ImportOptions
from abaw.cache.writer import StoreWriter
from abaw.cli import main
from abaw.core.errors import UsageError

from .interop_made import write_label_store, write_text


def load(source, layout="csv", name="x", **options):
    return import_features(source.parent / "cache", name, source, layout, **options)


def test_folders_that_are_links_are_looked_through(tmp_path):
    write_text(tmp_path / "disk" / "a.csv", "frame,x", "1,2")
    source = tmp_path / "source"
    source.mkdir()
    (source / "day").symlink_to(tmp_path / "disk")
    assert load(source).new == ["day/a"]
    (source / "loop").symlink_to(source)
    with pytest.raises(InteropError, match=r"loop must not lead to a folder that it lies in"):
        load(source)


def test_a_folder_that_the_system_cannot_list_is_named(tmp_path, monkeypatch):
    write_text(tmp_path / "source" / "a.csv", "frame,x", "1,2")
    write_text(tmp_path / "source" / "day" / "b.csv", "frame,x", "1,2")
    scandir = os.scandir

    def locked(path):  # a superuser is denied nothing
        if str(path).endswith("day"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    with pytest.raises(InteropError, match=r"day must be readable, but is not: Permission denied"):
        load(tmp_path / "source")


def test_a_pipe_with_the_name_of_a_table_does_not_hold_up_an_import(tmp_path):
    write_text(tmp_path / "source" / "a.csv", "frame,x", "1,2")
    os.mkfifo(tmp_path / "source" / "b.csv")
    (tmp_path / "source" / "c.csv").symlink_to("b.csv")
    assert load(tmp_path / "source").new == ["a"]


def test_a_quote_that_is_not_closed_swallows_no_rows(tmp_path):
    """Of a column that is not taken, nothing but the count of rows would tell."""
    for name, end in (("a", '"clip'), ("b", '"clip"')):
        lines = [f"{n},0.5,{end if n == 2 else 'clip'}" for n in (1, 2, 3)]
        write_text(tmp_path / "source" / f"{name}.csv", "frame,x,input", *lines)
    summary = load(tmp_path / "source")
    assert summary.new == ["b"]
    assert "a.csv must be comma-separated text in UTF-8, but after line" in summary.refused["a"]


@pytest.mark.parametrize("text", ["1_000", "0x10", "1,5", "1.5.2"])
def test_text_that_is_almost_a_number_is_none(tmp_path, text):
    write_text(tmp_path / "source" / "a.csv", "frame,x", "1,2", f'2,"{text}"')
    with pytest.raises(InteropError, match=f"line 3 of .* has '{text}'; mend it, or leave it out"):
        load(tmp_path / "source", columns="x")


def test_a_column_that_is_always_read_is_not_said_to_be_left_out(tmp_path):
    write_text(tmp_path / "source" / "a.csv", "frame,timestamp,x", "1,00:01,2")
    with pytest.raises(InteropError, match="has '00:01'; mend it, or give the column another name"):
        load(tmp_path / "source", columns="x")


def test_a_first_table_without_a_row_does_not_choose_the_columns(tmp_path):
    write_text(tmp_path / "source" / "a.csv", "frame,x,who")
    write_text(tmp_path / "source" / "b.csv", "frame,x,who", "1,2,me")
    summary = load(tmp_path / "source")
    assert summary.new == ["b"]
    assert "a.csv must hold rows, but holds none" in summary.refused["a"]


def test_patterns_that_the_first_table_lacks_are_looked_for_in_the_others(tmp_path):
    write_text(tmp_path / "source" / "a.csv", "frame,y", "1,2")
    write_text(tmp_path / "source" / "b.csv", "frame,x", "1,2")
    summary = load(tmp_path / "source", columns="x")
    assert summary.new == ["b"]
    assert "a.csv lacks [x]" in summary.refused["a"]
    with pytest.raises(UsageError, match=r"'z' fits none of .*a\.csv"):
        load(tmp_path / "source", columns="z")


def test_a_source_without_one_good_file_counts_them(tmp_path):
    for name in "abc":
        write_text(tmp_path / "source" / f"{name}.csv", "x", "1")
    with pytest.raises(
        InteropError, match=r"none of the 3 videos can be read, first 'a': .*a\.csv"
    ):
        load(tmp_path / "source")


@pytest.mark.parametrize("form", ["hdf5", "zarr"])
@pytest.mark.parametrize("fault", ["frame 0", "float16"])
def test_an_import_that_has_to_be_asked_for_in_another_way_leaves_no_store_behind(
    tmp_path, fault, form
):
    """It would refuse what the message says to do."""
    write_text(tmp_path / "source" / "a.csv", "frame,x", "1,2")
    bad = "0,2" if fault == "frame 0" else "1,1e6"
    write_text(tmp_path / "source" / "b.csv", "frame,x", bad)
    with pytest.raises((UsageError, CacheError), match=r"--frame-offset 1|--dtype float32"):
        load(tmp_path / "source", store=form)
    assert not list((tmp_path / "cache").glob("x*"))
    again = {"frame_offset": 1} if fault == "frame 0" else {"dtype": "float32"}
    assert load(tmp_path / "source", store=form, **again).new == ["a", "b"]


def test_a_store_that_was_there_stays_when_an_import_into_it_is_refused(tmp_path):
    write_text(tmp_path / "source" / "a.csv", "frame,x", "1,2")
    load(tmp_path / "source")
    write_text(tmp_path / "source" / "b.csv", "frame,x", "0,2")
    with pytest.raises(UsageError, match="--frame-offset 1"):
        load(tmp_path / "source")
    with open_store(tmp_path / "cache" / "x") as store:
        assert store.videos == ("a",)


def test_an_import_that_was_killed_before_its_end_is_brought_to_it(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    np.save(source / "a.npy", np.ones((1, 2)))
    options = ImportOptions()
    opened = NpySource(source, options, FrameNumbers(None))
    content = opened.content_hash("a")
    path = tmp_path / "cache" / "x.h5"
    with StoreWriter.open(path, import_spec(opened, "float16"), {}) as writer:
        writer.add(
            *("a",),
            **{"version": 1, "source_start": 0, "source_length": 1, "source_total": 1},
            frame=np.array([1]),
            embedding=np.ones((1, 2)),
            **{"input_hash": content, "stat_hash": 0, "precision": "unknown"},
        )
    assert load(source, "npy").unchanged == ["a"]
    with open_store(path) as store:
        assert store.n_parts == 0


def test_a_video_without_features_is_told_each_time(tmp_path):
    write_text(tmp_path / "source" / "a.csv", "frame,success,x", "1,1,2")
    write_text(tmp_path / "source" / "b.csv", "frame,success,x", "1,0,2")
    arguments = ["cache", "import", tmp_path / "source", "--layout", "csv", "--name", "x"]
    arguments += ["--cache", tmp_path / "cache"]
    for done in ("2 new", "2 unchanged"):
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exit_code == 1
        assert done in result.stdout
        assert "1 videos have no row with features" in result.stderr


@pytest.mark.parametrize("offset", [2**31, -(2**31), 10**400])
def test_offsets_beyond_frame_numbers_are_refused(tmp_path, offset):
    write_text(tmp_path / "source" / "a.csv", "frame,x", "1,2")
    with pytest.raises(UsageError, match=r"--frame-offset must be within \+-2147483647"):
        load(tmp_path / "source", frame_offset=offset)
    with pytest.raises(UsageError, match=r"--face-id must be within \+-2147483647"):
        load(tmp_path / "source", face_id=offset)


@pytest.mark.parametrize(
    ("frame", "offset", "words"),
    [
        (
            np.array([1, 2**63], np.uint64),
            None,
            r"\[0, 2\*\*31\), but are 1\.\.9223372036854775808",
        ),
        (np.array([0, 2]), -1, r"\[0, 2\*\*31\), but are 0\.\.2 and --frame-offset adds -1"),
        (
            np.array([2, 2**63 - 1]),
            1,
            r"but are 2\.\.9223372036854775807 and --frame-offset adds 1",
        ),
    ],
)
def test_frame_numbers_of_an_npz_beyond_the_store_are_told_as_they_are(
    tmp_path, frame, offset, words
):
    (tmp_path / "source").mkdir()
    np.savez(tmp_path / "source" / "a.npz", embedding=np.ones((2, 2)), frame=frame)
    with pytest.raises(InteropError, match=words):
        load(tmp_path / "source", "npy", frame_offset=offset)


def test_two_names_of_one_dataset_are_two_videos_and_links_are_told(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a/feature"] = np.ones((2, 3))
        file["b"] = file["a"]
        file.create_group("c")["feature"] = file["a/feature"]
        file["d"] = h5py.SoftLink("/a")
        file["e/feature"] = h5py.SoftLink("/a/feature")
        file["f/features"] = np.ones((2, 3))
        file["a/self"] = file["a"]
    summary = load(tmp_path / "x.h5", "abaw4")
    assert summary.new == ["a", "b", "c"]
    assert "links are not followed: d, e/feature" in summary.text()
    assert "groups without a dataset 'feature': f" in summary.text()


@pytest.mark.parametrize("damaged", ["b", "b/feature"])
def test_a_video_whose_head_is_damaged_in_a_file_of_many_is_named_and_the_rest_imported(
    tmp_path, damaged
):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for video in "abc":
            file[f"{video}/feature"] = np.ones((2, 3))
        place = h5py.h5o.get_info(file[damaged].id).addr
    data = bytearray((tmp_path / "x.h5").read_bytes())
    data[place] ^= 255
    (tmp_path / "x.h5").write_bytes(data)
    summary = load(tmp_path / "x.h5", "abaw4")
    assert summary.new == ["a", "c"]
    assert list(summary.refused) == ["b"]
    assert "not imported: 'b': " in summary.text()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (1.5, r"is float64 of shape \(\)"),
        (h5py.Empty("f4"), r"is float32 of shape \(\)"),
        (["x", "y"], r"is object of shape \(2,\)"),
    ],
)
def test_datasets_that_are_no_tables_are_refused_and_the_rest_imported(tmp_path, data, words):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a/feature"] = np.ones((2, 3))
        file["b/feature"] = data
    summary = load(tmp_path / "x.h5", "abaw4")
    assert summary.new == ["a"]
    with pytest.raises(InteropError, match=words):
        summary.raise_for_videos()


def test_a_table_of_halves_is_read(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    (tmp_path / "source").mkdir()
    columns = {"frame": [1, 2], "x": arrow.array(np.array([0.5, 2], np.float16))}
    parquet.write_table(arrow.table(columns), tmp_path / "source" / "a.parquet")
    load(tmp_path / "source", "parquet").raise_for_videos()
    with open_store(tmp_path / "cache" / "x") as store:
        assert store["a"].embedding.tolist() == [[0.5], [2.0]]


def test_frame_numbers_are_taken_from_a_labels_store_by_its_short_name_too(kit, tmp_path):
    cache = tmp_path / "cache"
    write_label_store(cache / "labels-va.h5", {"a": ("train", [3, 5])})
    (tmp_path / "source").mkdir()
    np.save(tmp_path / "source" / "a.npy", np.ones((2, 2)))
    load(tmp_path / "source", "npy", labels="va")
    with open_store(cache / "x") as store:
        assert store["a"].frame.tolist() == [3, 5]
    export_features(cache, ["x"], tmp_path / "out", "abaw4", "va")
    assert (tmp_path / "out" / "features" / "x.h5").exists()
    with pytest.raises(CacheError, match=r"there is no store .*labels-vb"):
        load(tmp_path / "source", "npy", labels="vb")
