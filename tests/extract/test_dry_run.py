"""What `--dry-run` says: per video what would be done and why, how much, and how long."""

import re
from pathlib import Path

import pytest
from PIL import Image

from abaw.cache import open_store
from abaw.extract import probe

from .made import THUMBNAIL, extract, request, write_tree

pytestmark = [pytest.mark.heavy, pytest.mark.usefixtures("one_thread")]


def dry(tree: Path | list[Path], cache: Path, *requests, **options) -> list[str]:
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    text = extract(tree, cache, *requests, dry_run=True, **options).text()
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == before
    return text.splitlines()


def test_every_video_is_said_to_be_current_or_why_it_is_not(tree: Path, tmp_path: Path):
    extract(tree, tmp_path / "c")
    Image.new("RGB", (24, 24), "red").save(tree / "c" / "00003.png")
    (tree / "b/left" / "00001.png").unlink()
    more = write_tree(tmp_path / "more", {"d": 3})
    lines = dry([tree, more], tmp_path / "c")
    assert "  a: current" in lines
    assert "  b/right: current" in lines
    assert "  b/left: 4 frames, input: has 4 frames, was extracted with 5" in lines
    assert "  c: 18 frames, input: frames changed" in lines
    assert "  d: 3 frames, new" in lines


@pytest.mark.parametrize(
    ("other", "part"),
    [
        (request("x", weights="random:1"), "weights"),
        (request("x", mean="0.5"), "preprocessing"),
        (request("x", dtype="float32"), "stored type"),
    ],
)
def test_the_part_of_the_identity_that_differs_is_named(tmp_path: Path, other, part: str):
    tree = write_tree(tmp_path / "frames", {"a": 2})
    extract(tree, tmp_path / "c", request("x"))
    lines = dry(tree, tmp_path / "c", other)
    assert f"  a: stale: {part}" in lines
    differing = [line for line in lines if " differs: " in line]
    assert len(differing) == 1
    assert differing[0].startswith(f"  {part} differs: ")
    assert any("a run would be refused" in line for line in lines)
    provenance = [line for line in lines if "provenance (never compared)" in line]
    assert bool(provenance) == (part == "weights")


def test_another_precision_is_told_beside_current(tmp_path: Path):
    tree = write_tree(tmp_path / "frames", {"a": 2})
    extract(tree, tmp_path / "c")
    lines = dry(tree, tmp_path / "c", precision="bf16")
    assert "  a: current, computed in fp32 (this run: bf16)" in lines


def test_frames_bytes_and_time_are_told(tree: Path, tmp_path: Path):
    lines = dry(tree, tmp_path / "c", THUMBNAIL)
    assert lines[1].split()[:5] == ["embedding", "current", "to", "compute", "frames"]
    assert lines[2].split()[:6] == ["thumbnail", "0", "4", "61", "0", "17.6kB"]  # 61 x 144 x 2 B
    found = re.match(r"61 frames to go at [\d,]+ frames/s .* about \d\d:\d\d$", lines[-1])
    assert found, lines[-1]
    assert not (tmp_path / "c").exists()


def test_the_probe_ends_after_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(probe, "PROBE_SECONDS", 0.0)
    tree = write_tree(tmp_path / "frames", {"a": 400})
    text = extract(tree, tmp_path / "c", dry_run=True).text()
    assert "400 frames to go" in text


def test_a_current_store_needs_no_time(tree: Path, tmp_path: Path):
    extract(tree, tmp_path / "c")
    assert not any("frames to go" in line for line in dry(tree, tmp_path / "c"))
    assert open_store(tmp_path / "c" / "thumbnail").n_frames == 61
