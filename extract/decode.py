"""From a frame's file to its pixels, in one read: the bytes hashed are the bytes decoded."""

import io
from typing import Final, NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from .frames import SourceVideo, input_hash

_FORMATS: Final = ("JPEG", "PNG", "WEBP")
"""No others, whatever a file is called: Pillow would start an interpreter for some."""
_MAX_PIXELS: Final = 1 << 26
"""More than any camera's frame has; a file of a few bytes can claim any number."""
_EIGHT_BIT: Final = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
_REASON_LENGTH: Final = 200
_JPEG_START: Final = b"\xff\xd8\xff"
_JPEG_COLOURS: Final = frozenset({"YCbCr", "RGB", "Gray"})
"""Of the JPEG images that libjpeg-turbo makes red, green and blue of; Pillow does the others."""
_JPEG_QUIRKS: Final = ("Warning: unknown JFIF revision", "Invalid SOS parameters for sequential")
"""Complaints about numbers that change nothing; some cameras write them into every image."""


class DecodedFrame(NamedTuple):
    """A frame image that was read: its pixels, or why there are none."""

    pixels: NDArray[np.uint8] | None
    """(H, W, 3), red first."""
    reason: str
    """Why there are no pixels; empty if there are."""
    input_hash: int
    """Hash of number and bytes, 128 bits; of no bytes if the system did not give any."""
    is_absent: bool = False
    """The system did not give the bytes: another run may have more luck."""


def read_frame(source: SourceVideo, position: int) -> DecodedFrame:
    """Return one frame image, read once; from any thread.

    Whatever is wrong with the frame is told in the result; nothing is raised for it.

    Args:
        source: its video.
        position: its place in the video, from 0.
    """
    number = int(source.numbers[position])
    data, problem = source.read(position)
    if problem:
        return DecodedFrame(None, problem, input_hash(number, data), is_absent=True)
    pixels, reason = decode(data)
    return DecodedFrame(pixels, reason, input_hash(number, data))


def decode(data: bytes) -> tuple[NDArray[np.uint8] | None, str]:
    """Return the pixels of an image file, (H, W, 3), red first; or None and why.

    JPEG images go to libjpeg-turbo without Pillow, and become the same pixels: in half the time,
    and a picture that is cut off or whose codes fall out of step is told, where Pillow fills it up
    without a word (`bench/decode.py`).
    """
    if not data:
        return None, "the file is empty"
    if data.startswith(_JPEG_START):
        try:
            height, width, colours, _ = simplejpeg.decode_jpeg_header(data, strict=False)
        except (ValueError, KeyError):  # a kind of JPEG that it has no name for
            return _by_pillow(data)
        if colours in _JPEG_COLOURS:
            return _jpeg(data, height, width)
    return _by_pillow(data)


def _jpeg(data: bytes, height: int, width: int) -> tuple[NDArray[np.uint8] | None, str]:
    if height * width > _MAX_PIXELS:
        return None, _too_many(height, width)
    try:
        return simplejpeg.decode_jpeg(data, "RGB", fastdct=False, fastupsample=False), ""
    except ValueError as error:
        if str(error).startswith(_JPEG_QUIRKS):
            return _by_pillow(data)
        return None, _damaged(error)


def _by_pillow(data: bytes) -> tuple[NDArray[np.uint8] | None, str]:
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > _MAX_PIXELS:
                return None, _too_many(image.height, image.width)
            if image.mode not in _EIGHT_BIT:
                return None, f"pixels must have 8 bits a colour, but are {image.mode}"
            if "transparency" in image.info:
                return np.asarray(image.convert("RGBA").convert("RGB")), ""
            return np.asarray(image.convert("RGB")), ""
    except UnidentifiedImageError:
        return None, "not a JPEG, PNG or WebP image"
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None, "too many pixels for a frame"
    except Exception as error:  # damaged data makes Pillow's decoders raise almost anything
        return None, _damaged(error)


def _too_many(height: int, width: int) -> str:
    return f"{width} x {height} pixels are too many for a frame"


def _damaged(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return f"damaged image: {text}"[:_REASON_LENGTH]
