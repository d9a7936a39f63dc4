"""What a user can get wrong: one clear line on stderr, the right exit code, no traceback."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.torch import save_file

from abaw.cli import main

HEADER = "image,valence,arousal,expression,aus"
ROW = "v{video}/{frame:05d}.jpg,0.1,0.2,4,0,0,0,1,1,0,1,0,0,0,1,0"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def assert_fails(result: Result, code: int, *words: str) -> None:
    """The command ended with `code` and one line that holds all `words`."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("Error: ")
    assert "Traceback" not in result.output
    missing = [word for word in words if word not in line]
    assert not missing, f"{missing} not in: {line}"


def write_frames(tree: Path, videos: dict[str, list[int]], size: int = 24, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    for video, numbers in videos.items():
        (tree / video).mkdir(parents=True)
        for number in numbers:
            pixels = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tree / video / f"{number:05d}.jpg")
    return tree


def write_annotations(folder: Path, train: list[str], val: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("training", train), ("validation", val)):
        path = folder / f"{name}_set_annotations.txt"
        path.write_text("\n".join([HEADER, *rows]) + "\n")
    return folder


def rows(video: int, n_frames: int) -> list[str]:
    return [ROW.format(video=video, frame=frame) for frame in range(1, n_frames + 1)]


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    return write_frames(tmp_path / "frames", {"v1": [1, 2, 3], "v2": [1, 2]})


def extract(frames: Path, cache: Path, *more: object) -> Result:
    backbone = () if "--backbone" in more else ("--backbone", "thumbnail")
    weights = () if "--weights" in more else ("--weights", "none")
    return run("extract", frames, "--cache", cache, "-q", *backbone, *weights, *more)


def test_a_frames_folder_that_does_not_exist(tmp_path: Path):
    assert_fails(extract(tmp_path / "nowhere", tmp_path / "c"), 1, "nowhere")


def test_an_empty_frames_folder(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    assert_fails(extract(tmp_path / "empty", tmp_path / "c"), 1, "empty")


def test_an_unknown_backbone_lists_the_nearest_names(frames: Path, tmp_path: Path):
    result = extract(frames, tmp_path / "c", "--backbone", "iresnet1", "--weights", "random:0")
    assert_fails(result, 2, "'iresnet1'", "iresnet18")


def test_weights_have_no_default_and_the_error_names_the_kinds(frames: Path, tmp_path: Path):
    result = run("extract", frames, "--cache", tmp_path / "c", "--backbone", "densenet121")
    assert_fails(result, 2, "random:", "pretrained", "FILE")


def test_weights_of_another_architecture_are_refused_with_their_keys(frames: Path, tmp_path: Path):
    save_file({"stem.weight": torch.zeros(3, 3)}, tmp_path / "other.safetensors")
    result = extract(
        frames,
        tmp_path / "c",
        "--backbone",
        "iresnet18",
        "--weights",
        tmp_path / "other.safetensors",
    )
    assert_fails(result, 1, "conv1.weight", "stem.weight", "iresnet18")


class _Trap:
    """Makes a file if anybody unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_pickle_with_code_is_refused_and_not_run(frames: Path, tmp_path: Path):
    sprung = tmp_path / "sprung"
    trap = tmp_path / "trap.pth"
    torch.save({"model": _Trap(sprung)}, trap)
    result = extract(frames, tmp_path / "c", "--backbone", "iresnet18", "--weights", trap)
    assert_fails(result, 1, "trap.pth")
    assert not sprung.exists()
    pickle.loads(pickle.dumps(_Trap(sprung)))  # the trap itself works
    assert sprung.exists()


def test_a_store_made_with_other_weights_is_not_continued(frames: Path, tmp_path: Path):
    cache = tmp_path / "c"
    face = ("--backbone", "denseface", "--name", "face")
    assert extract(frames, cache, *face, "--weights", "random:0").exit_code == 0
    result = extract(frames, cache, *face, "--weights", "random:1")
    assert_fails(result, 1, "weights", "sha256:", "face")
    line = result.stderr.strip().splitlines()[-1]
    assert len({word for word in line.replace(",", " ").split() if "sha256:" in word}) == 2


@pytest.mark.parametrize("name", ["a+b", "a/b", "../a", "labels", "a.b"])
def test_an_embedding_name_that_cannot_be(frames: Path, tmp_path: Path, name: str):
    assert_fails(extract(frames, tmp_path / "c", "--name", name), 2, repr(name))
    assert not list(tmp_path.glob("c/*"))


def test_a_truncated_jpeg_is_a_recorded_gap(frames: Path, tmp_path: Path):
    path = frames / "v1" / "00002.jpg"
    path.write_bytes(path.read_bytes()[:200])
    result = extract(frames, tmp_path / "c")
    assert result.exit_code == 0, result.output
    assert "1" in result.stdout
    info = run("cache", "info", "thumbnail", "--cache", tmp_path / "c", "--json")
    assert '"v1"' in info.stdout
    assert "00002" in info.stdout or '"frame": 2' in info.stdout


def test_a_video_without_a_readable_frame_is_named(frames: Path, tmp_path: Path):
    for path in (frames / "v2").iterdir():
        path.write_bytes(b"not an image")
    assert_fails(extract(frames, tmp_path / "c"), 1, "v2")


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        pytest.param("v1/00002.jpg,0.1,0.2,4,0,0,0,1,1,0,1,0,0,0,1", ("15",), id="15-fields"),
        pytest.param("v1/00002.jpg,0.1,0.2,8,0,0,0,1,1,0,1,0,0,0,1,0", ("8",), id="expression-8"),
        pytest.param("v1/00002.jpg,1.7,0.2,4,0,0,0,1,1,0,1,0,0,0,1,0", ("1.7",), id="valence-1.7"),
        pytest.param("../x/00002.jpg,0,0,4,0,0,0,1,1,0,1,0,0,0,1,0", ("../x",), id="unsafe-id"),
    ],
)
def test_a_bad_annotation_line_is_named_by_file_and_line(
    tmp_path: Path, bad: str, words: tuple[str, ...]
):
    folder = write_annotations(tmp_path / "annotations", [rows(1, 1)[0], bad], rows(2, 1))
    result = run("labels", folder, "--cache", tmp_path / "c")
    assert_fails(result, 1, "training_set_annotations.txt", "3", *words)
    assert not (tmp_path / "c" / "labels.h5").exists()


def test_an_annotation_folder_without_annotations(tmp_path: Path):
    (tmp_path / "a").mkdir()
    result = run("labels", tmp_path / "a", "--cache", tmp_path / "c")
    assert_fails(result, 1, "training_set_annotations.txt")


def test_features_and_labels_without_a_common_video(frames: Path, tmp_path: Path):
    cache = tmp_path / "c"
    assert extract(frames, cache).exit_code == 0
    folder = write_annotations(tmp_path / "a", rows(8, 3), rows(9, 3))
    assert run("labels", folder, "--cache", cache).exit_code == 0
    result = run("temporal-train", "thumbnail", "--cache", cache, "--out", tmp_path / "r", "-q")
    assert_fails(result, 1, "v8", "v1", "thumbnail")


def test_two_stores_with_different_frames_are_reported(frames: Path, tmp_path: Path):
    cache = tmp_path / "c"
    more = write_frames(tmp_path / "more", {"v1": list(range(1, 31)), "v2": list(range(1, 31))})
    fewer = tmp_path / "fewer"
    shutil.copytree(more, fewer)
    (fewer / "v1" / "00030.jpg").unlink()
    assert extract(more, cache).exit_code == 0
    assert extract(fewer, cache, "--name", "fewer").exit_code == 0
    folder = write_annotations(tmp_path / "a", rows(1, 30), rows(2, 30))
    assert run("labels", folder, "--cache", cache).exit_code == 0
    result = run(
        *("temporal-train", "thumbnail+fewer", "--cache", cache, "--out", tmp_path / "r", "-q"),
        *("--set", "epochs=1"),
    )
    assert result.exit_code == 0, result.output
    assert "fewer" in result.stderr + result.stdout
    assert "1 " in result.stderr + result.stdout


def test_an_embedding_that_is_not_in_the_cache(frames: Path, tmp_path: Path):
    cache = tmp_path / "c"
    assert extract(frames, cache).exit_code == 0
    folder = write_annotations(tmp_path / "a", rows(1, 3), rows(2, 2))
    assert run("labels", folder, "--cache", cache).exit_code == 0
    result = run("temporal-train", "thumbnial", "--cache", cache, "--out", tmp_path / "r", "-q")
    assert_fails(result, 1, "thumbnial", "thumbnail")


def test_backbone_and_config_contradict(frames: Path, tmp_path: Path):
    config = tmp_path / "e.yaml"
    config.write_text("embeddings:\n  t: {backbone: thumbnail, weights: none}\n")
    result = run("extract", frames, "--backbone", "thumbnail", "--config", config)
    assert_fails(result, 2, "--backbone", "--config")
