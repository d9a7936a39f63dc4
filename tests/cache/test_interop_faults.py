"""Sources that are half broken, and places that cannot be written: named, the rest imported."""

import re
import shutil
import time

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from abaw.cache import InteropError, import_features, open_store
from abaw.cache.errors import CacheError, StoreExistsError
from abaw.cache.interop_export import export_features
from abaw.cli import main
from abaw.core.errors import UsageError

from .interop_made import write_label_store, write_text

LAYOUTS = ("npy", "csv", "abaw4")


def run(*arguments):
    return CliRunner().invoke(main, ["cache", *(str(argument) for argument in arguments)])


def write_source(folder, layout, videos=("b", "c")):
    """A source of two good videos."""
    folder.mkdir()
    if layout == "abaw4":
        with h5py.File(folder / "x.h5", "w") as file:
            for video in videos:
                file[f"{video}/feature"] = np.ones((3, 2))
        return folder / "x.h5"
    for video in videos:
        if layout == "npy":
            np.save(folder / f"{video}.npy", np.ones((3, 2)))
        else:
            write_text(folder / f"{video}.csv", "frame,x,y", "1,1,1", "2,1,1", "3,1,1")
    return folder


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_first_video_that_cannot_be_read_does_not_keep_the_others_out(tmp_path, layout):
    source = write_source(tmp_path / "source", layout)
    if layout == "abaw4":
        with h5py.File(source, "a") as file:
            file["a/feature"] = np.ones(3)
    else:
        (source / f"a.{layout}").write_bytes(b"\x93NUMPY?" if layout == "npy" else b"1;2\n")
    summary = import_features(tmp_path / "cache", "x", source, layout)
    assert summary.new == ["b", "c"]
    assert list(summary.refused) == ["a"]
    with pytest.raises(InteropError, match="1 videos could not be imported, first 'a'"):
        summary.raise_for_videos()


@pytest.mark.parametrize("layout", ["npy", "csv"])
@pytest.mark.parametrize(
    ("target", "words"),
    [("nowhere", "No such file or directory"), ("/proc/self/mem", "Input/output error")],
)
def test_a_file_that_the_system_cannot_read_is_named_and_the_rest_imported(
    tmp_path, layout, target, words
):
    """A link that leads nowhere is a video that is lost, not one that never was."""
    source = write_source(tmp_path / "source", layout)
    (source / f"d.{layout}").symlink_to(target)
    load = ("import", source, "--layout", layout, "--name", "x", "--cache", tmp_path / "cache")
    result = run(*load)
    assert result.exit_code == 1
    assert "2 new, 0 changed, 0 unchanged" in result.stdout
    assert re.search(
        rf"first 'd': .*d\.{layout} must be a readable file, but is not: {words}; copy",
        result.stderr,
    )


def test_a_frame_0_of_an_npz_is_refused_until_it_is_said_where_it_counts_from(tmp_path):
    np.savez(tmp_path / "a.npz", embedding=np.ones((3, 2)), frame=[0, 1, 4])
    load = ("import", tmp_path / "a.npz", "--layout", "npy", "--cache", tmp_path / "cache")
    result = run(*load, "--name", "x")
    assert result.exit_code == 2
    assert "count from 1, as labels do, but" in result.stderr
    assert "a.npz has frame 0; give --frame-offset 1" in result.stderr
    for offset, frames in ((1, [1, 2, 5]), (0, [0, 1, 4])):
        result = run(*load, "--name", f"x{offset}", "--frame-offset", offset)
        assert result.exit_code == 0, result.output
        with open_store(tmp_path / "cache" / f"x{offset}") as store:
            assert store["a"].frame.tolist() == frames
            assert store.spec.options == {"frame_offset": offset}


def test_an_offset_of_frame_numbers_that_are_not_there_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((3, 2)))
    with pytest.raises(InteropError, match=r"a\.npy must have an array 'frame' for --frame-offset"):
        import_features(
            tmp_path / "cache", "x", tmp_path / "a.npy", "npy", frame_offset=1
        ).raise_for_videos()
    with pytest.raises(
        UsageError, match=r"--frame-offset is not for the layout abaw4.*no frame nu"
    ):
        import_features(tmp_path / "cache", "x", tmp_path / "a.npy", "abaw4", frame_offset=1)


def test_a_file_that_begins_like_no_array_is_said_to_be_damaged_not_dangerous(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"<html>not found</html>")
    with pytest.raises(
        InteropError, match=r"a\.npy must be a whole \.npy .* begins with b'<html>'"
    ):
        import_features(tmp_path / "cache", "x", tmp_path / "a.npy", "npy")


def test_a_folder_given_for_a_file_of_the_winners_layout_says_so(tmp_path):
    with pytest.raises(InteropError, match=r"must be a file features/<name>\.h5, but is a folder"):
        import_features(tmp_path / "cache", "x", tmp_path, "abaw4")


@pytest.fixture
def cache(tmp_path):
    source = write_source(tmp_path / "source", "npy")
    import_features(tmp_path / "cache", "x", source, "npy")
    return tmp_path / "cache"


@pytest.mark.parametrize("layout", ["npy", "abaw4"])
def test_one_embedding_asked_for_twice_is_refused(cache, tmp_path, layout):
    with pytest.raises(UsageError, match=r"each embedding must be named once, but 'x' is there 2"):
        export_features(cache, ["x", "x"], tmp_path / "out", layout)
    assert not (tmp_path / "out").exists()


def test_places_that_cannot_become_a_folder_are_refused(cache, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match=r"file/out must be a new folder, but cannot be made"):
        export_features(cache, ["x"], tmp_path / "file" / "out", "npy")
    (tmp_path / "empty").mkdir()
    for target in ("empty", "nowhere"):
        (tmp_path / "link").symlink_to(target)
        with pytest.raises(StoreExistsError, match=r"link is a link; name another --out"):
            export_features(cache, ["x"], tmp_path / "link", "npy")
        (tmp_path / "link").unlink()
    with pytest.raises(StoreExistsError, match=r"file is a file; name another --out"):
        export_features(cache, ["x"], tmp_path / "file", "npy")


def test_a_video_without_a_single_row_is_refused_by_the_winners_layout(tmp_path):
    np.save(tmp_path / "a.npy", np.full((3, 2), np.nan))
    np.save(tmp_path / "b.npy", np.ones((3, 2)))
    import_features(tmp_path / "cache", "x", tmp_path, "npy")
    write_label_store(
        tmp_path / "cache" / "labels.h5", {"a": ("train", [1, 2]), "b": ("val", [1, 2])}
    )
    with pytest.raises(CacheError, match=r"x\.h5 has none of 1, such as 'a'"):
        export_features(tmp_path / "cache", ["x"], tmp_path / "out", "abaw4")


@pytest.mark.slow
def test_the_time_of_an_import_grows_no_faster_than_its_videos(tmp_path):
    """Quadratic bookkeeping took 5 s of 5.3 for 20,000 videos that had not changed."""

    def seconds(n):
        folder = tmp_path / str(n)
        folder.mkdir()
        for number in range(n):
            np.save(folder / f"{number}.npy", np.ones((1, 2), np.float32))
        import_features(tmp_path / "cache", f"x{n}", folder, "npy")
        start = time.process_time()
        summary = import_features(tmp_path / "cache", f"x{n}", folder, "npy")
        took = time.process_time() - start
        assert len(summary.unchanged) == n
        shutil.rmtree(folder)
        return took

    assert seconds(32_000) < 12 * seconds(4_000)
