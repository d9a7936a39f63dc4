"""What a writer lets in: the same embedding, finite numbers, ranges that make sense."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .errors import CacheError, FingerprintError, StoredTypeError
from .object_path import AnyPath
from .schema import HASH_MODULUS, Array
from .spec import EmbeddingSpec
from .versions import Failure

_HALF_BYTES: Final = 2
_WITHOUT_SIGN: Final = 0x7FFF
_INFINITE_HALF: Final = 0x7C00
_CHECKED_NUMBERS: Final = 1 << 16
"""Halves looked at together: their copy stays in the processor's cache and costs no new pages."""


def check_same_spec(
    path: AnyPath, stored: EmbeddingSpec, asked: EmbeddingSpec, other: AnyPath | None = None
) -> None:
    """Raise FingerprintError, naming fields and both values, unless the specs are the same.

    Args:
        path: of the store.
        stored: its spec.
        asked: the spec that it must have.
        other: the store that `asked` comes from, if it is one.
    """
    if stored.fingerprint == asked.fingerprint:
        return
    if other is not None:
        fields = "; ".join(
            f"{name} is {mine!r} in {path.name} and {theirs!r} in {other.name}"
            for name, mine, theirs in stored.differences(asked)
        )
        message = (
            f"stores must hold one embedding to be merged, but {path} and {other} do not: {fields}"
        )
        raise FingerprintError(message)
    differing = "; ".join(
        f"{name} is {mine!r} in the store and {theirs!r} asked for"
        for name, mine, theirs in stored.differences(asked)
    )
    message = (
        f"{path} holds another embedding: {differing}; give the new one another --name, or remove "
        f"{path} to replace it"
    )
    raise FingerprintError(message)


def to_stored(
    video: str, frame: NDArray[np.integer[Any]], embedding: NDArray[Any], stored: Array
) -> Array:
    """Return the embeddings in the stored type.

    Args:
        video: for the error.
        frame: numbers of the frames, for the error.
        embedding: (n, D) as computed.
        stored: (n, D) of the stored type; written to and returned.

    Raises:
        CacheError: a number is not finite; the message names video, frame, dimension and value.
        StoredTypeError: it is beyond the stored type.
    """
    with np.errstate(over="ignore"):
        stored[...] = embedding
    if _is_finite(stored):  # so what it was made of is finite, too
        return stored
    if not np.isfinite(embedding).all():
        row, column = map(int, np.argwhere(~np.isfinite(embedding))[0])
        message = (
            f"embeddings must be finite, but dimension {column} of frame {int(frame[row])} of "
            f"video {video!r} is {embedding[row, column]}; check the weights and --precision"
        )
        raise CacheError(message)
    row, column = map(int, np.argwhere(~np.isfinite(stored))[0])
    dtype = stored.dtype.name
    do = "use --set dtype=float32 (of an import: --dtype float32)"
    message = (
        f"embeddings stored as {dtype} must be within +-{np.finfo(dtype).max:g}, but dimension "
        f"{column} of frame {int(frame[row])} of video {video!r} is "
        f"{embedding[row, column]:g}; {do if dtype == 'float16' else 'scale them down'}"
    )
    raise StoredTypeError(message)


def _is_finite(stored: Array) -> bool:
    """Return whether all numbers are finite; of halves by their bits, which is far quicker."""
    if stored.dtype.itemsize == _HALF_BYTES:
        bits = stored.reshape(-1).view(np.uint16)
        return all(
            int((bits[n : n + _CHECKED_NUMBERS] & _WITHOUT_SIGN).max()) < _INFINITE_HALF
            for n in range(0, bits.size, _CHECKED_NUMBERS)
        )
    return bool(np.isfinite(stored).all())


def check_range(
    video: str, version: int, start: int, length: int, total: int, n_frames: int
) -> None:
    """Raise ValueError unless a piece lies in its video and has as many frames as it says."""
    is_range = start >= 0 and start + length <= total and (length >= 1 or total == 0)
    if not is_range or version < 1:
        message = (
            f"a piece of {video!r} must lie in its {total} source frames and have a version of at "
            f"least 1, but is {start}+{length} of version {version}"
        )
        raise ValueError(message)
    if n_frames != length:
        message = (
            f"the readable and the failed frames of a piece of {video!r} must be its {length} "
            f"source frames, but are {n_frames}"
        )
        raise ValueError(message)


def check_frames(video: str, frame: NDArray[np.integer[Any]], failures: Sequence[Failure]) -> None:
    """Raise ValueError unless frame numbers rise and fit int32, and failures are others."""
    numbers = frame.astype(np.int64)
    if frame.ndim != 1 or np.any(np.diff(numbers) <= 0):
        message = f"frame numbers of {video!r} must be 1-D and strictly rising, but are {frame}"
        raise ValueError(message)
    if len(numbers) and not (numbers[0] >= -(2**31) and numbers[-1] < 2**31):
        message = f"frame numbers of {video!r} must fit int32, but are {numbers[0]}..{numbers[-1]}"
        raise ValueError(message)
    for failure in failures:
        if failure.video != video or failure.frame in numbers:
            message = f"{failure} must be a frame of {video!r} that has no embedding"
            raise ValueError(message)


def check_shape(video: str, embedding: Array, n: int, dim: int) -> None:
    """Raise ValueError unless there is one row of `dim` numbers for each of `n` frames."""
    if embedding.shape != (n, dim):
        message = (
            f"embedding of {video!r} must be {(n, dim)}, one row a frame, but is {embedding.shape}"
        )
        raise ValueError(message)


def check_hashes(video: str, input_hash: int, stat_hash: int) -> None:
    """Raise ValueError unless the sums of hashes have at most 128 bits."""
    for name, value in (("input_hash", input_hash), ("stat_hash", stat_hash)):
        if not 0 <= value < HASH_MODULUS:
            message = f"{name} of {video!r} must be in [0, 2**128), but is {value}"
            raise ValueError(message)


def check_time(video: str, time: NDArray[np.float64] | None, n: int) -> None:
    """Raise ValueError unless each of `n` frames has a finite time, or none has one."""
    if time is not None and (len(time) != n or not np.isfinite(time).all()):
        message = f"times of {video!r} must be {n} finite numbers, but are {time}"
        raise ValueError(message)
