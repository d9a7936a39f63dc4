"""Cuts sequences into windows."""


def windows(
    length: int, segment_length: int, stride: int, offset: int = 0
) -> list[tuple[int, int]]:
    """Return half-open windows [start, stop) that cover every frame of a sequence.

    Windows begin every `stride` frames until one ends with the sequence; that last one may be
    shorter. With `stride == segment_length` every frame is in exactly one window.

    Args:
        length: frames of the sequence, at least 1.
        segment_length: frames of a window, at least 1.
        stride: frames from one start to the next, from 1 to `segment_length`.
        offset: frames by which all windows begin earlier, from 0 to `stride` - 1; what lies
            before the sequence is cut off.

    Raises:
        ValueError: a number is out of range.

    >>> windows(10, 4, 4)
    [(0, 4), (4, 8), (8, 10)]
    >>> windows(10, 4, 3)
    [(0, 4), (3, 7), (6, 10)]
    >>> windows(10, 4, 4, offset=1)
    [(0, 3), (3, 7), (7, 10)]
    """
    if length < 1 or not 1 <= stride <= segment_length or not 0 <= offset < stride:
        message = (
            f"length must be at least 1, stride from 1 to segment_length and offset below it, but "
            f"got length {length}, segment_length {segment_length}, stride {stride}, offset "
            f"{offset}"
        )
        raise ValueError(message)
    starts = range(-offset, length - segment_length + stride, stride) or range(-offset, 1 - offset)
    return [(max(0, start), min(start + segment_length, length)) for start in starts]
