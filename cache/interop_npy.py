"""A folder of `.npy` or `.npz` files, one a video: read and written. No pickle is ever loaded."""

import errno
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .errors import InteropError
from .interop_files import find_files, hash_file, new_file, unreadable
from .interop_source import (
    FrameNumbers,
    ImportedVideo,
    ImportOptions,
    Layout,
    check_dim,
    check_rising,
    check_rows,
    finite_video,
    first_readable,
    refuse_frame_0,
)
from .schema import Array
from .spec import Option
from .store import EmbeddingStore, VideoRecord

_NPY_MAGIC: Final = b"\x93NUMPY"
_ZIP_MAGIC: Final = b"PK"
_PICKLE_MAGIC: Final = b"\x80"

KEY: Final = "embedding"
"""Name of the features in a .npz file; of one without it, the only 2-D array is taken."""


class NpySource:
    """Arrays (n, D) in files; see `ImportSource`.

    A .npz file may have `frame` (n,), whole and rising, and `time` (n,), seconds. With a frame
    offset all files must have `frame`.
    """

    layout: Layout = "npy"

    def __init__(self, source: Path, options: ImportOptions, numbers: FrameNumbers) -> None:
        self._files = find_files(source, (".npy", ".npz"))
        self._numbers = numbers
        self._offset = options.frame_offset
        self._key, self.dim = first_readable(self._files, lambda v: _key_and_dim(self._files[v]))
        self.options: dict[str, Option] = {} if self._key == KEY else {"array": self._key}
        if self._offset is not None:
            self.options["frame_offset"] = self._offset
        self.notes: list[str] = []

    @property
    def videos(self) -> tuple[str, ...]:
        """Ids of the videos, sorted."""
        return tuple(self._files)

    def content_hash(self, video: str) -> int:
        """Return the hash of the file, and of the frame numbers if it has none."""
        path = self._files[video]
        digest = hash_file(path)
        with _Arrays(path) as arrays:
            if "frame" not in arrays:
                key = arrays.features_key()
                n, _ = check_rows(arrays[key], arrays.where(key))
                digest.update(self._numbers.of(video, n).astype("<i8").tobytes())
        return digest.intdigest()

    def read(self, video: str) -> ImportedVideo:
        """Return the rows of a video; those that are not finite have no features."""
        path = self._files[video]
        with _Arrays(path) as arrays:
            key = arrays.features_key()
            if key != self._key:
                message = (
                    f"the features of all files must have one name, but those of {path} are "
                    f"{key!r} and those before it {self._key!r}; import them under two names"
                )
                raise InteropError(message)
            rows = arrays[key]
            n, dim = check_rows(rows, arrays.where(key))
            check_dim(dim, self.dim, str(path))
            frame = self._frame(arrays, path, video, n)
            time = arrays.column("time", n, "fiu").astype(np.float64) if "time" in arrays else None

        def say(row: int, column: int, value: object) -> str:
            return f"row {row + 1} of {path.name}: dimension {column} is {value}"

        return finite_video(frame, rows, time, say)

    def _frame(self, arrays: "_Arrays", path: Path, video: str, n: int) -> NDArray[np.int64]:
        """Return the frame numbers (n,) of a file, which count from 1."""
        if "frame" not in arrays:
            if self._offset is not None:
                message = (
                    f"{path} must have an array 'frame' for --frame-offset to be added to, but has "
                    f"none; leave the option out, or add the array"
                )
                raise InteropError(message)
            return self._numbers.of(video, n)
        given = arrays.column("frame", n, "iu")
        offset = self._offset or 0
        low, high = int(given.min()), int(given.max())  # before int64, which wraps around
        if low + offset < 0 or high + offset >= 2**31:
            added = f" and --frame-offset adds {offset}" if offset else ""
            message = (
                f"frame numbers of {path} must be in [0, 2**31), but are {low}..{high}{added}; "
                f"mend them"
            )
            raise InteropError(message)
        frame = given.astype(np.int64) + offset
        check_rising(frame, str(path))
        if self._offset is None and frame[0] == 0:
            refuse_frame_0(f"{path} has")
        return frame


def write_npy(folder: Path, store: EmbeddingStore) -> None:
    """Write `<video>.npz` with embedding, frame and, where there is one, time, of each video."""
    for video in store:
        record: VideoRecord = store[video]
        arrays: dict[str, Array] = {KEY: record.embedding, "frame": record.frame}
        if record.time is not None:
            arrays["time"] = record.time
        with new_file(folder, video, ".npz") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]


class _Arrays:
    """The arrays of one file by name; the one of a .npy file is called `embedding`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Opened here: np.load leaves a file open that proves to be no whole archive.
        try:
            self._stream = path.open("rb")
        except OSError as error:
            raise unreadable(path, error) from error
        try:
            begins = self._stream.read(len(_NPY_MAGIC))
            self._stream.seek(0)
            # NumPy takes for a pickle whatever begins in another way.
            if begins and not begins.startswith((_NPY_MAGIC, _ZIP_MAGIC, _PICKLE_MAGIC)):
                message = f"it begins with {begins!r}"
                raise ValueError(message)
            # mmap_mode is for .npy only: nothing of a long video is read to learn its shape.
            loaded = (
                np.load(self._stream, allow_pickle=False)
                if begins.startswith(_ZIP_MAGIC)
                else np.load(path, mmap_mode="r", allow_pickle=False)
            )
        except _DAMAGES as error:
            self._stream.close()
            raise self._damaged(error) from error
        self._npz = loaded if isinstance(loaded, np.lib.npyio.NpzFile) else None
        self._arrays: Mapping[str, Any] = {KEY: loaded} if self._npz is None else self._npz

    def __enter__(self) -> "_Arrays":
        return self

    def __exit__(self, *_: object) -> None:
        if self._npz is not None:
            self._npz.close()
        self._stream.close()

    def __contains__(self, key: str) -> bool:
        return key in self._arrays

    def __getitem__(self, key: str) -> NDArray[Any]:
        try:
            return np.asarray(self._arrays[key])
        except _DAMAGES as error:
            raise self._damaged(error) from error

    def where(self, key: str) -> str:
        """Return the place of an array, for an error."""
        return f"array {key!r} of {self._path}" if self._npz is not None else str(self._path)

    def features_key(self) -> str:
        """Return the name of the features."""
        if KEY in self._arrays:
            return KEY
        found = [key for key in self._arrays if key != "frame" and self[key].ndim == 2]
        if len(found) != 1:
            message = (
                f"{self._path} must hold an array {KEY!r}, or one array of two axes, but holds "
                f"{sorted(self._arrays)}, {len(found)} of them with two axes; rename the features "
                f"to {KEY!r}"
            )
            raise InteropError(message)
        return found[0]

    def column(self, key: str, n: int, kinds: str) -> NDArray[Any]:
        """Return an array of one number a row."""
        array = self[key]
        if array.shape != (n,) or array.dtype.kind not in kinds:
            kind = "whole numbers" if "f" not in kinds else "real numbers"
            message = (
                f"{self.where(key)} must be {n} {kind}, one a row, but is {array.dtype} of shape "
                f"{array.shape}; write it again"
            )
            raise InteropError(message)
        return array

    def _damaged(self, error: Exception) -> InteropError:
        # Of an archive that is cut off, places before its begin are sought, which is EINVAL.
        if isinstance(error, OSError) and error.errno not in {None, errno.EINVAL}:
            return unreadable(self._path, error)
        if "pickle" in str(error).lower() or "Python objects" in str(error):
            return InteropError(
                f"{self._path} holds Python objects, which are never loaded because they can run "
                f"code; save it as an array of numbers"
            )
        return InteropError(
            f"{self._path} must be a whole .npy or .npz file, but is not: {error}; copy it again"
        )


_DAMAGES: Final = (
    *(ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error),
    # Of a head that is Python no more, of a shape beyond memory, of locked or odd archives.
    *(tokenize.TokenError, SyntaxError, TypeError, MemoryError, OverflowError, RuntimeError),
)
"""What NumPy raises for damaged files."""


def _key_and_dim(path: Path) -> tuple[str, int]:
    with _Arrays(path) as arrays:
        key = arrays.features_key()
        return key, check_rows(arrays[key], arrays.where(key))[1]
