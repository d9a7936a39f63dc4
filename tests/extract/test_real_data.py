"""Really filmed faces, in the challenge's layout; at `ABAW_REAL_DATA`, else skipped."""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from abaw.cache import open_store
from abaw.extract import EmbeddingRequest, RunOptions, run

pytestmark = pytest.mark.heavy

NAMES = ("iresnet18", "densenet121")
REQUESTS = [EmbeddingRequest(name=name, backbone=name, weights="random:0") for name in NAMES]


def extract(tree: Path, cache: Path):
    return run([tree], REQUESTS, cache, RunOptions(device="cpu"), progress=False)


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A copy of the frames, and a cache with both embeddings of all of them."""
    value = os.environ.get("ABAW_REAL_DATA")
    if not value or not (Path(value) / "cropped_aligned").is_dir():
        pytest.skip("ABAW_REAL_DATA names no folder that holds cropped_aligned/")
    folder = tmp_path_factory.mktemp("real")
    shutil.copytree(Path(value) / "cropped_aligned", folder / "frames")
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    extract(folder / "frames", folder / "c")
    return folder / "frames", folder / "c"


@pytest.mark.parametrize("name", NAMES)
def test_all_ten_videos_are_stored(extracted, name: str):
    frames, cache = extracted
    store = open_store(cache / name)
    assert len(store) == 10
    for video in store:
        numbers = sorted(int(path.stem) for path in (frames / video).glob("*.jpg"))
        np.testing.assert_array_equal(store[video].frame, numbers)
        assert len(np.unique(store[video].embedding, axis=0)) > 1
    rows = np.concatenate([store[video].embedding for video in store]).astype(np.float64)
    assert np.isfinite(rows).all()
    assert (rows.std(axis=0) > 0).mean() > 0.8  # 9 % of this DenseNet's dimensions are dead


def test_the_frames_without_a_face_are_a_gap(extracted):
    frame = open_store(extracted[1] / "iresnet18")["pan_exit_return"].frame
    assert frame[0] == 1
    assert not set(range(32, 121)) & set(frame.tolist())
    assert {31, 121} <= set(frame.tolist())


def test_a_second_run_runs_no_forward_pass_and_ends_in_seconds(extracted):
    start = time.monotonic()
    summary = extract(*extracted)
    assert [item.n_forward for item in summary.embeddings] == [0, 0]
    assert time.monotonic() - start < 60  # loading the networks; all frames would take minutes


def test_one_changed_image_makes_exactly_its_video_recompute(extracted, tmp_path: Path):
    frames, cache = extracted
    shutil.copytree(cache, tmp_path / "c")
    shutil.copytree(frames, tmp_path / "frames")
    touched = tmp_path / "frames" / "asl_book" / "00001.jpg"
    os.utime(touched)
    changed = tmp_path / "frames" / "headpose_female" / "00003.jpg"
    Image.open(changed).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(changed)
    summary = extract(tmp_path / "frames", tmp_path / "c")
    for item in summary.embeddings:
        assert [work.video for work in item.works if work.ranges] == ["headpose_female"]
        assert item.n_frames == 23
        old, new = open_store(cache / item.name), open_store(tmp_path / "c" / item.name)
        before = old["headpose_female"].embedding
        after = new["headpose_female"].embedding
        differs = (before != after).any(axis=1)
        np.testing.assert_array_equal(new["headpose_female"].frame[differs], [3])
        np.testing.assert_array_equal(old["asl_book"].embedding, new["asl_book"].embedding)
