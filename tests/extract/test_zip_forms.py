"""Zips as programs really write them: large ones, and names in other encodings."""

import zipfile
from pathlib import Path

import pytest

from abaw.core.names import VideoIdError
from abaw.extract.frames import find_videos

FLAG_AT = {b"PK\x03\x04": 6, b"PK\x01\x02": 8}
"""Where the flags are in a member's own header and in the index."""
UTF8_FLAG_BYTE = 0x08  # of the second byte


def without_utf8_flag(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    n_cleared = 0
    for mark, offset in FLAG_AT.items():
        place = data.find(mark)
        while place >= 0:
            n_cleared += bool(data[place + offset + 1] & UTF8_FLAG_BYTE)
            data[place + offset + 1] &= ~UTF8_FLAG_BYTE
            place = data.find(mark, place + 4)
    assert n_cleared == 2
    path.write_bytes(data)
    return path


def test_utf8_names_that_are_not_said_to_be_utf8_are_read(tmp_path: Path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("übung/00001.jpg", b"one")
    (source,) = find_videos([without_utf8_flag(path)]).videos.values()
    assert source.video == "übung"
    assert source.read(0) == (b"one", "")


def test_names_in_another_encoding_are_refused_by_name(tmp_path: Path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("übung/00001.jpg", b"one")
    latin = without_utf8_flag(path).read_bytes().replace("ü".encode(), b"\xfcx")
    path.write_bytes(latin)
    with pytest.raises(VideoIdError, match=r"must be UTF-8, but .*x\.zip is not"):
        find_videos([path])


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_beyond_4_gb_and_with_64_bit_headers_are_read(tmp_path: Path, method: int):
    path = tmp_path / "x.zip"
    with path.open("wb") as stream:
        stream.seek(5 << 30)  # a hole: it takes no room on the disk
        with zipfile.ZipFile(stream, "w", method) as archive:
            for number in (1, 2):
                info = zipfile.ZipInfo(f"a/{number:05d}.jpg")
                info.compress_type = method
                with archive.open(info, "w", force_zip64=True) as member:
                    member.write(b"frame %d" % number)
            assert all(info.header_offset > 1 << 32 for info in archive.infolist())
    (source,) = find_videos([path]).videos.values()
    assert [source.read(position) for position in (0, 1)] == [(b"frame 1", ""), (b"frame 2", "")]
