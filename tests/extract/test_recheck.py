"""Frames computed again: equal where they are, named where they are not."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from abaw.cache import FingerprintError, open_store
from abaw.cli import main
from abaw.core.errors import UsageError
from abaw.extract import FramesError, recheck

from .made import extract, request, write_tree

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.heavy]


@pytest.fixture
def made(tree: Path, tmp_path: Path) -> Path:
    extract(tree, tmp_path / "c", request("face"))
    return tmp_path / "c" / "face"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.heavy
def test_what_was_stored_is_what_the_images_give(tree: Path, tmp_path: Path, precision: str):
    extract(tree, tmp_path / "c", request("face", flip="mean", mean=0.4), precision=precision)
    found = recheck(tmp_path / "c" / "face", [tree], "random:0", 20, device="cpu")
    assert (found.n_frames, found.n_absent, found.apart) == (20, 0, ())
    assert found.largest < 0.01  # the same machine, batch size and precision: only float16
    assert found.n_videos >= 2
    found.raise_for_frames()


def test_a_frame_that_was_changed_is_named(tree: Path, made: Path):
    Image.new("RGB", (24, 24), "red").save(tree / "c" / "00003.png")
    found = recheck(made, [tree], "random:0", 61, device="cpu")
    assert [(video, frame) for video, frame, _ in found.apart] == [("c", 3)]
    with pytest.raises(FramesError, match="1 of 61 do not, frame 3 of 'c' the first"):
        found.raise_for_frames()


def test_images_that_are_gone_are_counted_and_none_at_all_is_refused(
    tree: Path, made: Path, tmp_path: Path
):
    for path in (tree / "a").iterdir():
        path.unlink()
    found = recheck(made, [tree], "random:0", 61, device="cpu")
    assert (found.n_frames, found.n_absent) == (24, 37)
    other = write_tree(tmp_path / "other", {"x": 2})
    with pytest.raises(FramesError, match="none of 61 that were looked for is"):
        recheck(made, [other], "random:0", 61, device="cpu")


def test_other_weights_are_refused_with_the_field_that_differs(tree: Path, made: Path):
    with pytest.raises(FingerprintError, match="weights is 'sha256:"):
        recheck(made, [tree], "random:1", 4, device="cpu")


def test_labels_have_no_images(tmp_path: Path, tree: Path):
    from abaw.temporal.data.annotations import import_annotations

    rows = "image,valence,arousal,expression,aus\n" + "a/00001.jpg,0.1,0.2,1" + ",0" * 12 + "\n"
    (tmp_path / "train.txt").write_text(rows)
    import_annotations(tmp_path / "c", "labels", None, tmp_path / "train.txt", None, None, ())
    with pytest.raises(UsageError, match="holds labels, which have no images"):
        recheck(tmp_path / "c" / "labels", [tree], "random:0", 2)


def test_deep_needs_to_know_what_to_compute(tmp_path: Path):
    result = CliRunner().invoke(main, ["cache", "verify", "--cache", str(tmp_path), "--deep", "3"])
    assert result.exit_code == 2
    assert "--deep needs one store by name, --frames TREE and --weights W" in result.output


def test_the_command_computes_again_and_fails_on_a_difference(tree: Path, made: Path):
    words = ["cache", "verify", "face", "--cache", str(made.parent), "--deep", "61", "-q"]
    words += ["--frames", str(tree), "--weights", "random:0"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert "61 frames of 4 videos computed again" in result.output
    Image.new("RGB", (24, 24), "red").save(tree / "c" / "00003.png")
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert "c frame 3: " in result.output
    assert len(open_store(made)) == 4
