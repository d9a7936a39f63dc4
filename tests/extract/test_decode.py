"""Decoding: from a frame's bytes to its pixels, or to the reason why there are none."""

import io
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from PIL import Image, ImageFile

from abaw.extract.decode import DecodedFrame, decode, read_frame
from abaw.extract.frames import find_videos

EXIF = Image.Exif()
EXIF[0x0112] = 6  # to be turned by a quarter when shown


def folder(tree: Path) -> Path:
    (tree / "v").mkdir()
    return tree / "v"


def read_one(path: Path) -> DecodedFrame:
    """The one frame of the folder of `path`, as a run reads it."""
    (video,) = find_videos([path.parent.parent]).videos.values()
    return read_frame(video, 0)


def face(width: int = 112, height: int = 112) -> Image.Image:
    """Something smooth with edges, as a JPEG is made for."""
    low = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return Image.fromarray(low).resize((width, height))


def image(path: Path, size: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    face(size, size).save(path)
    return path


def jpeg(picture: Image.Image | None = None, **settings) -> bytes:
    buffer = io.BytesIO()
    (picture or face()).save(buffer, "JPEG", **settings)
    return buffer.getvalue()


def by_pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(jpeg(), id="baseline"),
        pytest.param(jpeg(subsampling=0), id="4:4:4"),
        pytest.param(jpeg(subsampling=1), id="4:2:2"),
        pytest.param(jpeg(face(113, 77)), id="odd-size"),
        pytest.param(jpeg(face(113, 77), subsampling=1), id="odd-size-4:2:2"),
        pytest.param(jpeg(face(1, 1)), id="one-pixel"),
        pytest.param(jpeg(progressive=True), id="progressive"),
        pytest.param(jpeg(optimize=True, quality=30), id="own-tables"),
        pytest.param(jpeg(restart_marker_rows=1), id="restart-markers"),
        pytest.param(jpeg(face().convert("L")), id="grey"),
        pytest.param(jpeg(face().convert("CMYK")), id="cmyk"),
        pytest.param(jpeg(keep_rgb=True), id="stored-as-rgb"),
        pytest.param(jpeg(exif=EXIF), id="exif-orientation"),
        pytest.param(jpeg(icc_profile=b"x" * 3000), id="colour-profile"),
        pytest.param(jpeg() + b"more" * 9, id="bytes-after-it"),
        pytest.param(jpeg() + jpeg(face(8, 8)), id="preview-after-it"),
        *(
            pytest.param(
                simplejpeg.encode_jpeg(np.asarray(face(113, 77)), colorsubsampling=kind), id=kind
            )
            for kind in ("440", "411")
        ),
    ],
)
def test_a_jpeg_has_the_pixels_that_pillow_gives_it(data: bytes):
    pixels, reason = decode(data)
    assert reason == ""
    np.testing.assert_array_equal(pixels, by_pillow(data), strict=True)


@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_whose_half_is_missing_is_told_even_if_it_has_its_end_mark(mode: str, progressive):
    data = jpeg(face().convert(mode), progressive=progressive)
    cut = data[: len(data) // 2] + data[-2:]
    pixels, reason = decode(cut)
    assert pixels is None
    assert reason.startswith("damaged image: ")


def test_flipped_bits_in_a_jpegs_picture_are_told_where_pillow_fills_it_in():
    """Not all: one that leaves the codes in step gives a picture that no decoder can doubt."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (112, 112, 3), dtype=np.uint8)
    data = jpeg(Image.fromarray(noise))
    true = by_pillow(data).astype(int)
    start = data.index(b"\xff\xda")  # what is coded begins here
    n_told = n_unseen_by_pillow = 0
    for place in rng.integers(start, len(data), 300):
        spoilt = bytearray(data)
        spoilt[place] ^= 1 << rng.integers(8)
        pixels, reason = decode(bytes(spoilt))
        if pixels is not None:
            continue
        assert reason.startswith("damaged image: ")
        n_told += 1
        try:
            n_unseen_by_pillow += abs(by_pillow(bytes(spoilt)) - true).max() > 8
        except (OSError, SyntaxError):
            continue
    assert n_told > 100
    assert n_unseen_by_pillow > 100


@pytest.mark.parametrize("quirk", ["jfif-version", "scan-parameters"])
def test_a_quirk_of_the_encoder_that_leaves_the_picture_whole_is_no_damage(quirk: str):
    data = bytearray(jpeg())
    if quirk == "jfif-version":
        data[data.index(b"JFIF") + 5] = 9
    else:
        data[data.index(b"\xff\xda") + 12] = 5  # the last frequency, which baseline ignores
    pixels, reason = decode(bytes(data))
    assert reason == ""
    np.testing.assert_array_equal(pixels, by_pillow(jpeg()), strict=True)


def test_a_readable_frame_is_rgb(tmp_path: Path):
    Image.new("L", (5, 4), 7).save(folder(tmp_path) / "1.png")
    frame = read_one(tmp_path / "v" / "1.png")
    assert frame.reason == ""
    np.testing.assert_array_equal(frame.pixels, np.full((4, 5, 3), 7, np.uint8), strict=True)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(lambda data: data[: len(data) // 2], "damaged image: ", id="half"),
        pytest.param(lambda data: data[:-100], "damaged image: ", id="last-bytes-missing"),
        pytest.param(lambda data: data[:30], "", id="header-only"),
        pytest.param(lambda data: b"", "the file is empty", id="empty"),
        pytest.param(lambda data: b"<html>", "not a JPEG, PNG or WebP image", id="not-an-image"),
    ],
)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_an_unreadable_frame_is_told_and_not_raised(tmp_path: Path, spoil, reason: str, suffix):
    path = image(tmp_path / "v" / f"1.{suffix}", size=64)
    path.write_bytes(spoil(path.read_bytes()))
    frame = read_one(path)
    assert frame.pixels is None
    assert frame.reason
    if suffix != "webp":  # its decoder tells a short file apart from damage in its own way
        assert frame.reason.startswith(reason)
    assert frame.reason == read_one(path).reason  # nothing in it that changes, as an address
    assert not frame.is_absent
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_damaged_bytes_anywhere_are_told_or_decoded_but_never_raised(tmp_path: Path):
    rng = np.random.default_rng(0)
    for suffix in ("jpg", "png", "webp"):
        path = image(tmp_path / suffix / "v" / f"1.{suffix}", size=32)
        data = path.read_bytes()
        for _ in range(150):
            spoilt = bytearray(data)
            for place in rng.integers(0, len(data), 3):
                spoilt[place] = rng.integers(256)
            path.write_bytes(spoilt)
            frame = read_one(path)
            assert (frame.pixels is None) == bool(frame.reason)


def test_an_image_of_another_kind_is_told_whatever_it_is_called(tmp_path: Path):
    Image.new("RGB", (4, 4)).save(folder(tmp_path) / "1.bmp")
    (tmp_path / "v" / "1.bmp").rename(tmp_path / "v" / "1.jpg")
    assert read_one(tmp_path / "v" / "1.jpg").reason == "not a JPEG, PNG or WebP image"


def test_sixteen_bit_pixels_are_told_and_not_clipped(tmp_path: Path):
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(folder(tmp_path) / "1.png")
    assert read_one(tmp_path / "v" / "1.png").reason.startswith("pixels must have 8 bits a colour")


@pytest.mark.parametrize("side", [9_000, 14_000])
def test_a_decompression_bomb_is_told_and_not_raised(tmp_path: Path, side: int):
    with_limit = Image.MAX_IMAGE_PIXELS
    Image.new("1", (side, side)).save(folder(tmp_path) / "1.png")
    assert "too many" in read_one(tmp_path / "v" / "1.png").reason
    assert with_limit == Image.MAX_IMAGE_PIXELS
