"""Features that another program wrote are trained on, by the commands a user types."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from abaw.cli import main
from abaw.temporal.data.annotations import write_annotations

pytestmark = pytest.mark.heavy

HEAD = "frame, face_id, timestamp, confidence, success, AU01_r, AU12_r, gaze_0_x"


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


def write_video(folder: Path, video: str, rng: np.random.Generator) -> tuple[list[str], np.ndarray]:
    """Write a table as OpenFace does, some frames failed; return annotated names and values."""
    n = 40
    latent = np.cumsum(rng.normal(size=n)) / 4
    lines = [HEAD]
    for row in range(n):
        is_seen = int(row % 13 != 6)
        au = max(0.0, latent[row]) * is_seen
        lines.append(
            f"{row + 1}, 0, {row / 30:.3f}, 0.98, {is_seen}, {au:.2f}, {2 * au:.2f}, "
            f"{rng.normal():.4f}"
        )
    path = folder / f"{video}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    values = np.zeros((n, 15))
    values[:, 0] = np.tanh(latent)
    values[:, 1] = -values[:, 0]
    values[:, 2] = rng.integers(0, 8, n)
    values[:, 3:] = (latent > 0)[:, None]
    return [f"{video}/{row + 1:05d}.jpg" for row in range(n)], values


def test_a_run_trains_on_openface_tables_and_predicts_every_row(tmp_path: Path):
    rng = np.random.default_rng(0)
    names = {"training": "training_set_annotations.txt", "val": "validation_set_annotations.txt"}
    for split, n_videos in (("training", 4), ("val", 2)):
        found = [write_video(tmp_path / "openface", f"{split}{n}", rng) for n in range(n_videos)]
        rows = [row for video, _ in found for row in video]
        (tmp_path / "annotations").mkdir(exist_ok=True)
        values = np.concatenate([values for _, values in found])
        write_annotations(tmp_path / "annotations" / names[split], rows, values)
    cache = ("--cache", tmp_path / "features")
    run("labels", tmp_path / "annotations", *cache)
    source = ("cache", "import", tmp_path / "openface", "--layout", "csv", "--name", "openface")
    text = run(*source, *cache).stdout
    assert "6 new" in text
    assert "gaps: 18" in text
    train = ("temporal-train", "openface", "-q", "--set", "epochs=1", *cache, "--set", "device=cpu")
    # Three of forty frames are gaps, which is more than a run takes without being told so.
    run(*train, "--run", tmp_path / "run", "--set", "max_missing=0.1")
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["stores"]["openface"]["objective"] == "unknown"
    assert facts["random_weights"] is False
    assert np.isfinite(facts["scores"]["P_MTL"])
    lines = (tmp_path / "run" / "val_predictions.csv").read_text().splitlines()
    assert len(lines) == 1 + 80
