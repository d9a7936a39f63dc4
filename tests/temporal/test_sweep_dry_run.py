"""A dry run tells the runs, what differs between them, and about how long they take."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from abaw.cli import main

from .made import write_cache
from .sweep_process import settings

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cache(tmp_path_factory.mktemp("cache"))


def dry_run(cache: Path, out: Path, *arguments: str) -> str:
    command = ["temporal-sweep", "--features", "face_a", *settings(), *arguments]
    found = CliRunner().invoke(
        main, [*command, "--dry-run", "--out", str(out), "--cache", str(cache)]
    )
    assert found.exit_code == 0, found.output
    return found.stdout


def test_it_tells_the_runs_and_what_differs_and_trains_none(cache: Path, tmp_path: Path):
    text = dry_run(cache, tmp_path / "s", "--seed", "0-2", "--encoder", "gru,lstm")
    lines = [line.split() for line in text.splitlines()]
    assert lines[0] == ["run", "encoder", "seed"]
    assert {tuple(line[1:3]) for line in lines[1:-1]} == {
        (encoder, seed) for encoder in ("gru", "lstm") for seed in "012"
    }
    assert all(line[-2:] == ["to", "do"] for line in lines[1:-1])
    assert text.splitlines()[-1].startswith("6 runs, 6 to do, 1 at a time, about 00:")
    assert text.endswith("(from a probe of 2 kinds)\n")
    assert not (tmp_path / "s").exists()


def test_a_run_alone_differs_in_nothing(cache: Path, tmp_path: Path):
    lines = dry_run(cache, tmp_path / "s").splitlines()
    assert lines[0].split() == ["run"]
    assert len(lines) == 3


def test_finished_runs_tell_how_long_others_like_them_take(cache: Path, tmp_path: Path):
    command = ["temporal-sweep", "--features", "face_a", *settings(), "--out", str(tmp_path)]
    found = CliRunner().invoke(main, [*command, "--cache", str(cache), "-q"])
    assert found.exit_code == 0, found.output
    (path,) = tmp_path.rglob("run.json")
    facts = json.loads(path.read_text())
    facts["cost"]["seconds"] = 600.0
    path.write_text(json.dumps(facts))
    text = dry_run(cache, tmp_path, "--seed", "0-3", "--jobs", "2")
    assert "4 runs, 3 to do, 2 at a time, about 15:00 (from 1 finished run like these)" in text
    text = dry_run(cache, tmp_path, "--seed", "0-3", "--encoder", "gru,lstm")
    assert "1 finished run like these, a probe of 1 kind" in text


def test_how_many_side_by_side_is_left_to_the_trial(cache: Path, tmp_path: Path):
    text = dry_run(cache, tmp_path / "s", "--jobs", "auto", "--seed", "0-2")
    assert "3 runs, 3 to do, at most " in text
    assert "which a trial would decide" in text


def test_failed_runs_are_told_and_a_kind_that_cannot_begin_has_no_estimate(
    cache: Path, tmp_path: Path
):
    strict = ["--set", "max_missing=0.0001", "--features", "face_b"]
    text = dry_run(cache, tmp_path, *strict)
    assert "1 runs, 1 to do, 1 at a time, and no time estimate" in text
    command = ["temporal-sweep", *settings(), *strict, "--out", str(tmp_path)]
    assert CliRunner().invoke(main, [*command, "--cache", str(cache), "-q"]).exit_code == 1
    text = dry_run(cache, tmp_path, *strict)
    assert "failed before" in text
    assert "1 runs, 0 to do, 1 at a time" in text
