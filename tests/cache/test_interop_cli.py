"""`abaw cache import` and `export` as typed."""

import numpy as np
from click.testing import CliRunner

from abaw.cli import main

from .interop_made import OPENFACE_HEAD, OPENFACE_ROWS, write_text


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_import_info_and_export_tell_what_they_did(tmp_path):
    write_text(tmp_path / "of" / "a.csv", OPENFACE_HEAD, *OPENFACE_ROWS)
    cache = ("--cache", tmp_path / "cache")
    columns = ("--columns", "AU*_r", "--license", "research only")
    done = run(
        "cache", "import", tmp_path / "of", "--layout", "csv", "--name", "of", *columns, *cache
    )
    assert done.exit_code == 0, done.output
    assert "1 new, 0 changed, 0 unchanged" in done.stdout
    told = run("cache", "info", "of", *cache).stdout
    assert "of: 1 videos, 2 frames x 2 float16" in told
    assert "import:csv, columns=AU01_r,AU12_r, hdf5" in told
    assert "licence: research only" in told
    out = tmp_path / "out"
    done = run("cache", "export", "of", "--layout", "npy", "--out", out, *cache)
    assert done.exit_code == 0, done.output
    assert "of: 1 videos, 2 frames" in done.stdout
    with np.load(out / "of" / "a.npz") as arrays:
        assert sorted(arrays) == ["embedding", "frame", "time"]
        assert arrays["frame"].tolist() == [1, 5]
        assert arrays["embedding"].tolist() == [[0.5, 1.25], [0.75, 2.0]]


def test_a_video_that_cannot_be_read_is_one_line_and_exit_code_1(tmp_path):
    write_text(tmp_path / "of" / "a.csv", "frame,x", "1,2")
    write_text(tmp_path / "of" / "b.csv", "frame,x", "1,y")
    load = ("cache", "import", tmp_path / "of", "--layout", "csv", "--name", "of")
    result = run(*load, "--cache", tmp_path / "cache")
    assert result.exit_code == 1
    assert "1 new" in result.stdout
    assert result.stderr.startswith("Error: 1 videos could not be imported, first 'b': column 'x'")
    assert len(result.stderr.splitlines()) == 1


def test_what_cannot_be_asked_is_exit_code_2(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((2, 2)))
    load = ("cache", "import", tmp_path / "a.npy", "--layout", "npy", "--name", "x")
    result = run(*load, "--columns", "a*", "--cache", tmp_path / "cache")
    assert result.exit_code == 2
    assert "--columns is not for the layout npy" in result.stderr
    export = ("cache", "export", "x", "--layout", "csv", "--labels", "labels")
    result = run(*export, "--out", tmp_path / "out", "--cache", tmp_path / "cache")
    assert result.exit_code == 2
    assert "--labels is for the layout abaw4, not for csv" in result.stderr


def test_the_names_of_the_labels_and_of_the_embeddings_are_not_mixed_up(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((2, 2)))
    load = ("cache", "import", tmp_path / "a.npy", "--layout", "npy", "--cache", tmp_path / "cache")
    assert run(*load, "--name", "x").exit_code == 0
    result = run(*load, "--name", "y", "--labels", "x")
    assert result.exit_code == 2
    assert "x.h5 holds embeddings" in result.stderr
    assert run(*load, "--name", "labels").exit_code == 2
    result = run("cache", "export", "z", "--layout", "npy", "--out", tmp_path / "o", *load[-2:])
    assert result.exit_code == 1
    assert "there is no store" in result.stderr
