"""After extraction no command of stage 2 needs a frame: the tree is renamed away, all goes on."""

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from abaw.cli import main

pytestmark = pytest.mark.heavy

SMALL = ("--set", "epochs=2", "--set", "projection=16", "--set", "hidden_size=16")


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of drawn faces, whose frames and annotations are somewhere else now."""
    folder = tmp_path_factory.mktemp("project")
    data, cache = folder / "data", ("--cache", folder / "features")
    sizes = ("n_train_videos=12", "n_val_videos=6", "n_test_videos=2", "frames=20")
    run("sample", data, *(word for size in sizes for word in ("--set", size)))
    frames = data / "cropped_aligned"
    run("extract", frames, "--backbone", "thumbnail", "--weights", "none", "-q", *cache)
    run("labels", data / "annotations", "--frames", frames, *cache)
    data.rename(folder / "renamed-away")
    return folder


def test_stage_2_needs_no_frame_from_the_first_run_to_the_last_table(project: Path):
    cache = ("--cache", project / "features")
    alone, swept, mixed = project / "alone", project / "sweep", project / "mix"
    listed = project / "renamed-away" / "annotations" / "MTL_Challenge_test_set_release.txt"
    asked = [line.split(",")[0] for line in listed.read_text().splitlines()[1:]]

    run("temporal-train", "thumbnail", *SMALL, "--run", alone, "-q", *cache)
    two = ("--seed", "0-1", "--out", swept)
    text = run("temporal-sweep", "--features", "thumbnail", *two, *SMALL, "-q", *cache).stdout
    assert "2 runs done, 0 failed" in text
    text = run("temporal-ensemble", swept, "--best", "1", "--out", mixed, *cache).stdout
    assert "best 1 of 2 members" in text

    for model in (alone, mixed):
        name = model.name
        table, handed_in = project / f"{name}.csv", project / f"{name}.txt"
        run("temporal-predict", model, "--split", "test", "--out", table, *cache)
        with table.open() as stream:
            rows = list(csv.DictReader(stream))
        assert {f"{row['video']}/{int(row['frame']):05d}.jpg" for row in rows} == set(asked)
        form = ("--format", "submission", "--out", handed_in)
        run("temporal-predict", model, "--split", "test", *form, *cache)
        lines = handed_in.read_text().splitlines()
        assert [line.split(",")[0] for line in lines[1:]] == asked
        val = project / f"{name}-val.csv"
        run("temporal-predict", model, "--split", "val", "--out", val, *cache)
        scored = json.loads(run("score", val, "--json", *cache).stdout)
        facts = json.loads(
            (model / ("run.json" if model == alone else "ensemble.json")).read_text()
        )
        told = facts["postprocess" if model == alone else "scores"]["in_sample"]
        assert scored == told

    runs = sorted(path.parent for path in swept.glob("*/run.json"))
    text = run("report", alone, *runs, *cache).stdout
    assert "constant" in text
    assert "thumbnail" in text
    assert not (project / "data").exists()
