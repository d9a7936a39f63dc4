"""Frames that are wrong in every way: each recorded with its reason, or refused by name."""

import json
import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from abaw.cache import open_store
from abaw.cli import main
from abaw.tests.unprivileged import obey_permissions, permissions_hold


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def extract(tree: Path, cache: Path) -> Result:
    return run(
        *("extract", tree, "--cache", cache, "-q", "--backbone", "thumbnail", "--weights", "none")
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A video of three good frames; tests add a bad one as number 9."""
    folder = tmp_path / "frames" / "v"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in (1, 2, 3):
        pixels = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:05d}.jpg")
    return tmp_path / "frames"


def recorded(tree: Path, cache: Path) -> dict[int, str]:
    """Extract; return frame -> reason of what the store says could not be read."""
    result = extract(tree, cache)
    assert result.exit_code == 0, result.output
    facts = json.loads(run("cache", "info", "--cache", cache, "--json").stdout)
    text = json.dumps(facts)
    found = {}
    for item in _failures(facts):
        found[int(item["frame"])] = item["reason"]
    assert ("frames could not be read" in result.stdout) == bool(found), text
    return found


def _failures(value: object) -> list[dict[str, str]]:
    if isinstance(value, dict):
        if {"frame", "reason"} <= value.keys():
            return [value]
        return [item for part in value.values() for item in _failures(part)]
    if isinstance(value, list):
        return [item for part in value for item in _failures(part)]
    return []


def bomb(side: int) -> bytes:
    """Return a PNG of a few KB that claims side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(100_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def test_an_empty_file(tree: Path, tmp_path: Path):
    (tree / "v" / "00009.jpg").touch()
    assert recorded(tree, tmp_path / "c") == {9: "the file is empty"}


def test_a_truncated_jpeg(tree: Path, tmp_path: Path):
    whole = (tree / "v" / "00001.jpg").read_bytes()
    (tree / "v" / "00009.jpg").write_bytes(whole[: len(whole) // 2])
    assert recorded(tree, tmp_path / "c")[9].startswith("damaged image: ")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "1", "P", "RGBA"])
def test_images_of_8_bits_are_read_whatever_they_are_called(tree: Path, tmp_path: Path, mode: str):
    form = "JPEG" if mode in {"RGB", "L", "CMYK"} else "PNG"
    Image.new("RGB", (24, 24), "red").convert(mode).save(tree / "v" / "00009.jpg", form)
    assert recorded(tree, tmp_path / "c") == {}


def test_a_png_called_jpg_is_read(tree: Path, tmp_path: Path):
    Image.new("RGB", (24, 24), "red").save(tree / "v" / "00009.jpg", "PNG")
    assert recorded(tree, tmp_path / "c") == {}


def test_16_bits_a_colour(tree: Path, tmp_path: Path):
    Image.fromarray(np.full((24, 24), 40_000, np.uint16)).save(tree / "v" / "00009.png")
    assert "8 bits a colour" in recorded(tree, tmp_path / "c")[9]


def test_an_animated_gif_is_no_frame_and_one_called_jpg_is_refused(tree: Path, tmp_path: Path):
    pages = [Image.new("P", (24, 24), colour) for colour in (1, 2)]
    for name in ("00008.gif", "00009.jpg"):
        pages[0].save(tree / "v" / name, "GIF", save_all=True, append_images=pages[1:])
    assert recorded(tree, tmp_path / "c") == {9: "not a JPEG, PNG or WebP image"}


def test_a_bomb_of_30_000_pixels_a_side(tree: Path, tmp_path: Path):
    (tree / "v" / "00009.png").write_bytes(bomb(30_000))
    assert "too many" in recorded(tree, tmp_path / "c")[9]


@permissions_hold
@pytest.mark.heavy
def test_a_file_and_a_folder_that_may_not_be_read(tree: Path, tmp_path: Path):
    path = tree / "v" / "00009.jpg"
    path.write_bytes((tree / "v" / "00001.jpg").read_bytes())
    path.chmod(0)

    def child() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "abaw", "extract", tree, "--cache", tmp_path / "c", "-q"]
        return subprocess.run(
            [str(word) for word in (*command, "--backbone", "thumbnail", "--weights", "none")],
            preexec_fn=obey_permissions,
            capture_output=True,
            text=True,
            check=False,
        )

    result = child()
    assert result.returncode == 0, result.stderr
    (failure,) = open_store(tmp_path / "c" / "thumbnail").failures
    assert (failure.frame, failure.reason) == (9, "cannot be read: Permission denied")
    path.chmod(0o600)  # now it can: the frame is taken up without being asked
    assert recorded(tree, tmp_path / "c") == {}
    (tree / "w").mkdir()
    (tree / "w").chmod(0)
    result = child()
    (tree / "w").chmod(0o700)
    assert result.returncode == 1
    assert re.search(r"w .*Permission denied", result.stderr), result.stderr


def test_a_link_that_leads_nowhere_and_one_to_itself(tree: Path, tmp_path: Path):
    (tree / "v" / "00008.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tree / "v" / "00009.jpg").symlink_to(tree / "v" / "00009.jpg")
    reasons = recorded(tree, tmp_path / "c")
    assert "No such file" in reasons[8]
    assert "symbolic links" in reasons[9]


def assert_refused(result: Result, *words: str) -> None:
    assert result.exit_code == 1, result.output
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("Error: ")
    missing = [word for word in words if word not in line]
    assert not missing, f"{missing} not in: {line}"


def test_a_folder_that_leads_to_itself(tree: Path, tmp_path: Path):
    (tree / "v" / "loop").symlink_to(tree / "v")
    assert_refused(extract(tree, tmp_path / "c"), "loop", "remove it")


def test_a_folder_whose_name_is_not_utf_8(tree: Path, tmp_path: Path):
    (tree / "v").rename(os.fsdecode(os.fsencode(tree) + b"/caf\xe9"))
    assert_refused(extract(tree, tmp_path / "c"), "UTF-8", "caf", "rename it")


def test_a_file_whose_name_is_not_utf_8_is_left_alone(tree: Path, tmp_path: Path):
    Path(os.fsdecode(os.fsencode(tree / "v") + b"/caf\xe9.jpg")).write_bytes(b"x")
    assert recorded(tree, tmp_path / "c") == {}


def test_a_folder_called_like_an_escape_stays_in_its_place(tree: Path, tmp_path: Path):
    (tree / "v").rename(tree / "..%2f")
    result = extract(tree, tmp_path / "c")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "frames"]


def test_a_number_that_is_there_twice(tree: Path, tmp_path: Path):
    Image.new("RGB", (24, 24)).save(tree / "v" / "1.png")
    assert_refused(extract(tree, tmp_path / "c"), "00001.jpg and 1.png", "remove one")
