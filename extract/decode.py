"""From a frame's file to its pixels, in one read: the bytes hashed are the bytes decoded."""

import io
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from .source import SourceVideo, input_hash

_FORMATS: Final = ("JPEG", "PNG", "WEBP")
"""No others, whatever a file is called: Pillow would start an interpreter for some."""
_MAX_PIXELS: Final = 1 << 26
"""More than any camera's frame has; a file of a few bytes can claim any number."""
_EIGHT_BIT: Final = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
_REASON_LENGTH: Final = 200


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
    """Return the pixels of an image file, (H, W, 3), red first; or None and why."""
    if not data:
        return None, "the file is empty"
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > _MAX_PIXELS:
                return None, f"{image.width} x {image.height} pixels are too many for a frame"
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
        text = " ".join(str(error).split()) or type(error).__name__
        return None, f"damaged image: {text}"[:_REASON_LENGTH]
