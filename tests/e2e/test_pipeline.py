"""The whole road on a small drawn data set, by the commands a user types."""

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from abaw.cli import main

pytestmark = pytest.mark.heavy

EMBEDDINGS = """
embeddings:
  thumbnail: {backbone: thumbnail, weights: none}
  face_a: {backbone: denseface, weights: "random:0"}
  face_b: {backbone: denseface, weights: "random:1"}
"""


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every stage up to two finished runs has been gone through."""
    folder = tmp_path_factory.mktemp("project")
    run("sample", folder / "data", "--preset", "demo")
    (folder / "embeddings.yaml").write_text(EMBEDDINGS)
    frames, cache = folder / "data" / "cropped_aligned", folder / "features"
    run("extract", frames, "--config", folder / "embeddings.yaml", "--cache", cache, "-q")
    run("labels", folder / "data" / "annotations", "--frames", frames, "--cache", cache)
    frames.rename(folder / "frames-renamed-away")
    for features in ("thumbnail", "face_a+face_b"):
        train = ("temporal-train", features, "--cache", cache, "-q", "--set", "epochs=8")
        run(*train, "--run", folder / "runs" / features)
    return folder


def test_two_sets_of_weights_of_one_architecture_train_as_one_run(project: Path):
    stores = {path.name for path in (project / "features").iterdir()}
    assert {"face_a.h5", "face_b.h5", "thumbnail.h5", "labels.h5"} <= stores
    facts = json.loads((project / "runs" / "face_a+face_b" / "run.json").read_text())
    assert set(facts["stores"]) >= {"face_a", "face_b"}
    fingerprints = {facts["stores"][name]["fingerprint"] for name in ("face_a", "face_b")}
    assert len(fingerprints) == 2


@pytest.mark.parametrize("features", ["thumbnail", "face_a+face_b"])
def test_the_trainers_table_equals_score_on_its_predictions(project: Path, features: str):
    folder = project / "runs" / features
    result = run(
        *("score", folder / "val_predictions.csv", "--cache", project / "features", "--json")
    )
    scored = json.loads(result.stdout)
    trained = json.loads((folder / "run.json").read_text())["scores"]
    for key in ("CCC_V", "CCC_A", "F1_EXPR", "F1_AU", "P_MTL", "N"):
        assert scored[key] == trained[key], key


def test_score_reads_the_annotation_file_as_it_reads_the_store(project: Path):
    predictions = project / "runs" / "thumbnail" / "val_predictions.csv"
    annotations = project / "data" / "annotations" / "validation_set_annotations.txt"
    from_file = run("score", predictions, annotations, "--json")
    from_store = run("score", predictions, "--cache", project / "features", "--json")
    assert json.loads(from_file.stdout) == json.loads(from_store.stdout)


def test_every_row_of_the_test_list_gets_a_prediction(project: Path):
    out = project / "test.csv"
    run(
        *("temporal-predict", project / "runs" / "thumbnail", "--split", "test"),
        *("--out", out, "--cache", project / "features"),
    )
    listed = (project / "data" / "annotations" / "MTL_Challenge_test_set_release.txt").read_text()
    asked = {line.split(",")[0] for line in listed.splitlines()[1:]}
    with out.open() as stream:
        rows = list(csv.DictReader(stream))
    assert {f"{row['video']}/{int(row['frame']):05d}.jpg" for row in rows} == asked


def test_the_report_begins_with_the_constant_and_names_random_weights(project: Path):
    folders = sorted((project / "runs").iterdir())
    text = run("report", *folders, "--cache", project / "features").stdout
    names = [line.split()[0] for line in text.splitlines() if line.strip()]
    assert names.index("constant") < names.index("thumbnail")
    assert "random" in text.lower()


def test_a_second_extraction_does_nothing(project: Path):
    frames = project / "frames-renamed-away"
    before = (project / "features" / "face_a.h5").read_bytes()
    result = run(
        *("extract", frames, "--config", project / "embeddings.yaml"),
        *("--cache", project / "features", "-q"),
    )
    assert "current" in result.stdout
    assert (project / "features" / "face_a.h5").read_bytes() == before
