"""Cuts sequences into windows."""


def windows(length: int, segment_length: int, stride: int) -> list[tuple[int, int]]:
    """Return half-open windows [start, stop) that cover every frame of a sequence.

    All have `segment_length` frames but for a sequence that is shorter; the last one is moved
    back so that it ends with the sequence.

    Args:
        length: frames of the sequence, at least 1.
        segment_length: frames of a window, at least 1.
        stride: frames from one start to the next, from 1 to `segment_length`.

    Raises:
        ValueError: a number is out of range.

    >>> windows(10, 4, 4)
    [(0, 4), (4, 8), (6, 10)]
    >>> windows(3, 4, 2)
    [(0, 3)]
    """
    if length < 1 or not 1 <= stride <= segment_length:
        message = (
            f"length must be at least 1 and stride from 1 to segment_length, but got length "
            f"{length}, segment_length {segment_length}, stride {stride}"
        )
        raise ValueError(message)
    if length <= segment_length:
        return [(0, length)]
    starts = [*range(0, length - segment_length, stride), length - segment_length]
    return [(start, start + segment_length) for start in starts]
