"""A folder or file that is asked for below a file: one sentence, exit code 2, nothing written."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from abaw.cli import main

COMMANDS = {
    "sample": "sample FILE/x",
    "extract": "extract DIR --backbone thumbnail --weights none --cache FILE/x",
    "labels": "labels DIR --cache FILE/x",
    "folds": "folds --cache FILE/x",
    "import": "cache import DIR --layout npy --name a --cache FILE/x",
    "import labels": "cache import DIR --layout npy --name a --cache FILE/x/y --labels labels",
    "convert": "cache convert a --cache FILE/x",
    "export": "cache export a --layout npy --cache DIR --out FILE/x",
    "info": "cache info --cache FILE/x",
    "train, cache": "temporal-train a --cache FILE/x",
    "train, out": "temporal-train a --cache DIR --out FILE/x",
    "train, run": "temporal-train a --cache DIR --run FILE/x",
    "sweep, cache": "temporal-sweep --features a --cache FILE/x --out DIR/s",
    "sweep, out": "temporal-sweep --features a --cache DIR --out FILE/x",
    "predict": "temporal-predict DIR --split test --cache DIR --out FILE/x.csv",
    "predict, cache": "temporal-predict DIR --split test --cache FILE/x --out DIR/x.csv",
    "ensemble, out": "temporal-ensemble DIR --cache DIR --out FILE/x",
    "ensemble, cache": "temporal-ensemble DIR --cache FILE/x --out DIR/x",
    "score": "score DIR/p.csv --cache FILE/x",
    "report": "report DIR --cache FILE/x",
}


@pytest.mark.parametrize("kind", ["file", "link"])
@pytest.mark.parametrize("text", COMMANDS.values(), ids=COMMANDS)
def test_it_is_refused_before_anything_is_done(tmp_path: Path, text: str, kind: str):
    file, folder = tmp_path / "file", tmp_path / "folder"
    folder.mkdir()
    if kind == "file":
        file.write_text("mine")
        found = "a file"
    else:
        file.symlink_to(tmp_path / "nowhere")
        found = "a link that leads nowhere"
    words = text.replace("FILE", str(file)).replace("DIR", str(folder)).split()
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("Error: ")
    assert f"must be in folders, but {file} is {found}" in line
    assert not list(folder.iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}


def test_the_environments_cache_is_looked_at_too(tmp_path: Path):
    (tmp_path / "file").touch()
    variables = {"ABAW_CACHE": str(tmp_path / "file" / "x" / "y")}
    result = CliRunner().invoke(main, ["cache", "info"], env=variables)
    assert result.exit_code == 2
    assert f"must be in folders, but {tmp_path / 'file'} is a file" in result.stderr
