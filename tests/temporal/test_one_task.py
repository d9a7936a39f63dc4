"""A labels store of one task: all that reads it works, and other tasks have no part in it."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from abaw.cache import open_store
from abaw.cli import main
from abaw.core.tasks import AUS, EXPRESSIONS
from abaw.temporal.predictions import read_predictions

from .made import annotate, latent_path, write_store

HEADER = {"va": "valence,arousal", "expr": ",".join(EXPRESSIONS), "au": ",".join(AUS)}
COLUMNS = {"va": slice(0, 2), "expr": slice(2, 3), "au": slice(3, 15)}
NAME = {"va": "VA_Set", "expr": "EXPR_Recognition_Challenge", "au": "AU_Detection_Challenge"}
FIGURES = {"va": {"CCC_V", "CCC_A"}, "expr": {"F1_EXPR"}, "au": {"F1_AU"}}
LOSSES = {"va": {"valence", "arousal"}, "expr": {"expression"}, "au": {"au"}}
SETTINGS = ["projection=8", "hidden_size=8", "head_hidden=4", "epochs=2", "device=cpu"]


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


def text_of(value: float) -> str:
    return f"{value:g}"


@pytest.fixture(scope="module", params=["va", "expr", "au"])
def project(request, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A task and a folder with its annotations, embeddings, labels store and a finished run.

    Every video has frames without a crop and crops behind the last label, as the challenge's have.
    """
    task: str = request.param
    folder = tmp_path_factory.mktemp(task)
    rng = np.random.default_rng(0)
    to_face = rng.normal(size=(6, 9))
    faces, listed = {}, []
    for number in range(8):
        video = f"{number}_left" if number == 3 else f"{number}-30-640x480"
        n = int(rng.integers(40, 60))
        latent = latent_path(rng, n)
        crops = np.flatnonzero(rng.random(n) > 0.03) + 1
        faces[video] = crops, latent[crops - 1] @ to_face
        if number == 7:
            listed = [f"{video}/{frame:05d}.jpg," for frame in range(1, n + 3)]
            continue
        values = annotate(latent)[: n - 2, COLUMNS[task]]
        values[rng.random(len(values)) < 0.2] = -5 if task == "va" else -1
        lines = [HEADER[task], *(",".join(map(text_of, row)) for row in values)]
        split = "Train_Set" if number < 5 else "Validation_Set"
        path = folder / NAME[task] / split / f"{video}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
    (folder / "sample.txt").write_text("\n".join([f"image_location,{HEADER[task]}", *listed]))
    write_store(folder / "c" / "face.h5", faces)
    cache = ("--cache", folder / "c")
    run("labels", folder / NAME[task], "--name", "one", "--test", folder / "sample.txt", *cache)
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    train = ("temporal-train", "face", "--labels", "one", *settings, "-q", *cache)
    run(*train, "--run", folder / "run")
    return task, folder


def test_only_the_labelled_task_is_learnt_and_scored(project: tuple[str, Path]):
    task, folder = project
    facts = json.loads((folder / "run" / "run.json").read_text())
    assert facts["config"]["labels"] == "labels-one"
    scored = {key for key in ("CCC_V", "CCC_A", "F1_EXPR", "F1_AU") if facts["scores"][key]}
    assert scored == FIGURES[task]
    assert facts["scores"]["P_MTL"] is None
    for line in (folder / "run" / "metrics.jsonl").read_text().splitlines():
        losses = json.loads(line)["loss"]
        assert {name for name, loss in losses.items() if loss != 0} == LOSSES[task]


def test_score_prints_n_a_for_the_others_and_for_p_mtl(project: tuple[str, Path]):
    task, folder = project
    predictions, store = folder / "run" / "val_predictions.csv", folder / "c" / "labels-one"
    text = run("score", predictions, store).stdout
    figures = dict(line.split()[:2] for line in text.splitlines()[:5])
    assert {key for key, value in figures.items() if value != "n/a"} == FIGURES[task]
    facts = json.loads((folder / "run" / "run.json").read_text())
    found = json.loads(run("score", predictions, store, "--json").stdout)
    from_folder = run("score", predictions, folder / NAME[task], "--json").stdout
    assert json.loads(from_folder) == found
    assert {key: found[key] for key in figures} == {key: facts["scores"][key] for key in figures}


def test_every_row_of_the_sample_file_is_predicted(project: tuple[str, Path]):
    _, folder = project
    predict = ("temporal-predict", folder / "run", "--split", "test", "--cache", folder / "c")
    run(*predict, "--out", folder / "test.csv")
    table = read_predictions(folder / "test.csv")
    paths = [f"{v}/{f:05d}.jpg" for v, f in zip(table.video, table.frame, strict=True)]
    sample = (folder / "sample.txt").read_text().splitlines()[1:]
    assert paths == [line.rstrip(",") for line in sample]


def test_the_table_of_runs_and_the_cache_show_it(project: tuple[str, Path]):
    task, folder = project
    header, constant, row = run("report", folder / "run", "--cache", folder / "c").stdout.split(
        "\n"
    )[:3]
    for line in (constant, row):
        cells = dict(zip(header.split(), line.split()[1:], strict=True))
        assert {key for key, value in cells.items() if value != "n/a"} == FIGURES[task]
    assert "labels-one" in run("cache", "info", "--cache", folder / "c").stdout


def test_frames_of_the_other_tasks_have_no_label(project: tuple[str, Path]):
    task, folder = project
    store = open_store(folder / "c" / "labels-one")
    for name in ("valence", "arousal", "expression", "au"):
        assert getattr(store, f"{name}_is_labelled").any() == (name in LOSSES[task])


def test_the_sample_file_is_handed_in_row_for_row(project: tuple[str, Path], tmp_path: Path):
    task, folder = project
    predict = ("temporal-predict", folder / "run", "--cache", folder / "c", "--split", "test")
    run(*predict, "--out", tmp_path / "table.csv")
    listed = (), ("--list", folder / "sample.txt")
    for number, more in enumerate(listed):
        out = tmp_path / f"{number}.txt"
        run(*predict, "--format", "submission", "--out", out, *more)
        lines, sample = out.read_text().splitlines(), (folder / "sample.txt").read_text()
        assert lines[0] == f"image_location,{HEADER[task]}"
        assert [line.split(",")[0] for line in lines[1:]] == [
            line.rstrip(",") for line in sample.splitlines()[1:]
        ]
        back, table = read_predictions(out), read_predictions(tmp_path / "table.csv")
        assert back.tasks == LOSSES[task]
        for name in LOSSES[task]:
            np.testing.assert_array_equal(getattr(back, name), getattr(table, name))


def test_a_file_for_each_video_is_scored_like_the_table(project: tuple[str, Path], tmp_path: Path):
    task, folder = project
    store = folder / "c" / "labels-one"
    predict = ("temporal-predict", folder / "run", "--cache", folder / "c", "--split", "val")
    run(*predict, "--format", "submission", "--out", tmp_path / "files")
    annotated = sorted((folder / NAME[task] / "Validation_Set").iterdir())
    files = sorted((tmp_path / "files").iterdir())
    assert [path.name for path in files] == [path.name for path in annotated]
    for mine, theirs in zip(files, annotated, strict=True):
        lines, truth = mine.read_text().splitlines(), theirs.read_text().splitlines()
        assert lines[0] == truth[0]
        assert len(lines) == len(truth)
    run(*predict, "--out", tmp_path / "table.csv")
    scored = [
        json.loads(run("score", tmp_path / name, store, "--json").stdout)
        for name in ("files", "table.csv")
    ]
    for key in (*(f for found in FIGURES.values() for f in found), "P_MTL", "N", "per_au"):
        assert scored[0][key] == scored[1][key]
    others = {name for found in LOSSES.values() for name in found} - LOSSES[task]
    assert set(scored[0]["not_predicted"]) == others


def test_a_list_of_videos_is_handed_in_as_a_file_for_each(project: tuple[str, Path], tmp_path):
    task, folder = project
    (tmp_path / "videos.txt").write_text("7-30-640x480,\n0-30-640x480,3\nfaceless,2\n")
    words = ("--split", "test", "--format", "submission", "--list", tmp_path / "videos.txt")
    predict = ("temporal-predict", folder / "run", "--cache", folder / "c", *words)
    text = run(*predict, "--out", tmp_path / "files").stdout
    assert "WARNING: 1 listed videos have no embedding (faceless); their 2 rows" in text
    sample = (folder / "sample.txt").read_text().splitlines()
    lengths = {"7-30-640x480": len(sample) - 1, "0-30-640x480": 3, "faceless": 2}
    for video, length in lengths.items():
        lines = (tmp_path / "files" / f"{video}.txt").read_text().splitlines()
        assert lines[0] == HEADER[task]
        assert len(lines) == 1 + length
