"""Tables, one file a video, one row a frame: which columns are features, which rows are frames."""

from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UsageError
from ..core.names import near_misses
from .errors import InteropError
from .interop_files import find_files, hash_file
from .interop_source import (
    ImportedVideo,
    ImportOptions,
    Layout,
    check_rising,
    finite_video,
    first_readable,
    refuse_frame_0,
    short_list,
)
from .schema import Array
from .spec import Option

BLOCK_ROWS: Final = 4_096

BOOKKEEPING: Final = frozenset(
    {"frame", "face_id", "timestamp", "confidence", "success"}  # OpenFace
    | {"input", "approx_time", "Identity", "FaceScore"}  # py-feat
    | {"", "Unnamed: 0", "__index_level_0__"}  # pandas: the number of the row
)
"""Columns that tell of the frame, not of the face: features only if they are named."""

ALWAYS_READ: Final = ("frame", "face_id", "success", "timestamp")
"""Bookkeeping that is understood, wherever there is a column of the name."""


def remedy(column: str) -> str:
    """Return what to do about a column that does not hold the numbers it should."""
    return "give the column another name" if column in ALWAYS_READ else "leave it out by --columns"


class Block(NamedTuple):
    """Some rows of some columns."""

    place: NDArray[np.int64]
    """(n,) line or row numbers in the file, from 1."""
    values: NDArray[np.float64]
    """(n, k), NaN where a field is empty."""


class TableFile(Protocol):
    """One file, whatever it is written in."""

    path: Path
    place_word: str
    """`line` or `row`: what `Block.place` counts."""
    names: list[str]
    """Of the columns, in order, without spaces around them."""

    def numeric(self) -> set[str]:
        """Return the names of the columns that hold numbers.

        Raises:
            InteropError: there is no row to tell by.
        """

    def blocks(self, columns: Sequence[str]) -> Iterator[Block]:
        """Yield the rows of some columns.

        Raises:
            InteropError: a field is no number; names file, place and column.
        """


class TableSource:
    """Tables with a column `frame`; see `ImportSource`.

    A row whose `success` is 0, or with a number that is not finite, has no features; `timestamp`
    is its time in seconds.

    Args:
        layout: what the files are written in.
        suffix: of their names.
        open_file: opens one.
        source: the folder, or one file.
        options: which columns and which face.
    """

    def __init__(
        self,
        layout: Layout,
        suffix: str,
        open_file: Callable[[Path], TableFile],
        source: Path,
        options: ImportOptions,
    ) -> None:
        self.layout = layout
        self._open_file = open_file
        self._files = find_files(source, (suffix,))
        self._face_id, self._offset = options.face_id, options.frame_offset
        self._is_chosen = bool(options.columns)
        self._names, self.columns, left_out = first_readable(
            self._files, lambda video: self._look(self._files[video], options.columns)
        )
        self.dim = len(self.columns)
        self.options: dict[str, Option] = {"columns": ",".join(self.columns)}
        if options.face_id is not None:
            self.options["face_id"] = options.face_id
        if options.frame_offset is not None:
            self.options["frame_offset"] = options.frame_offset
        self.notes: list[str] = [f"columns: {self.dim}, {short_list(self.columns, 8)}"]
        if left_out:
            named = [name or "(no name)" for name in left_out]
            self.notes.append(f"left out: {short_list(named, 12)}")

    @property
    def videos(self) -> tuple[str, ...]:
        """Ids of the videos, sorted."""
        return tuple(self._files)

    def content_hash(self, video: str) -> int:
        """Return the hash of the file."""
        return hash_file(self._files[video]).intdigest()

    def read(self, video: str) -> ImportedVideo:
        """Return the rows of a video, sorted by frame."""
        file = self._open(self._files[video])
        self._check_columns(file)
        kept = [name for name in ALWAYS_READ if name in file.names]
        blocks: list[Array] = []
        told: list[NDArray[np.float64]] = []
        places: list[NDArray[np.int64]] = []
        for place, values in file.blocks([*kept, *self.columns]):
            is_ours = np.ones(len(place), np.bool_)
            if self._face_id is not None:
                is_ours = values[:, kept.index("face_id")] == self._face_id
            with np.errstate(over="ignore"):  # what float32 cannot hold is a gap, told below
                blocks.append(values[is_ours, len(kept) :].astype(np.float32))
            told.append(values[is_ours, : len(kept)])
            places.append(place[is_ours])
        if not sum(map(len, places)):
            raise no_rows(file.path, "" if self._face_id is None else f" of face {self._face_id}")
        facts = dict(zip(kept, np.concatenate(told).T, strict=True))
        return self._video(file, np.concatenate(places), facts, np.concatenate(blocks))

    def _look(self, path: Path, patterns: Sequence[str]) -> tuple[set[str], list[str], list[str]]:
        """Return the names of a file's columns, those that are features, and those that are not."""
        file = self._open(path)
        return set(file.names), *_choose(file, patterns)

    def _open(self, path: Path) -> TableFile:
        file = self._open_file(path)
        twice = sorted({name for name in file.names if file.names.count(name) > 1})
        if twice:
            message = (
                f"the columns of {path} must have names of their own, but {twice[0]!r} is there "
                f"{file.names.count(twice[0])} times; rename one"
            )
            raise InteropError(message)
        for name in ["frame", *([] if self._face_id is None else ["face_id"])]:
            if name not in file.names:
                message = (
                    f"{path} must have a column {name!r}, but has {short_list(file.names, 8)}; add "
                    f"it" + ("" if name == "frame" else ", or leave out --face-id")
                )
                raise InteropError(message)
        return file

    def _check_columns(self, file: TableFile) -> None:
        lacking = [name for name in self.columns if name not in file.names]
        own = set(file.names) - self._names - BOOKKEEPING
        besides = [] if self._is_chosen else sorted(own)
        if lacking or besides:
            message = (
                f"all files must have the columns of the first, but {file.path} lacks "
                f"[{short_list(lacking)}] and has besides [{short_list(besides)}]; choose by "
                f"--columns those that all have"
            )
            raise InteropError(message)

    def _video(
        self,
        file: TableFile,
        place: NDArray[np.int64],
        facts: dict[str, NDArray[np.float64]],
        rows: Array,
    ) -> ImportedVideo:
        """Return rows that were read, with what the file tells of each, as a video."""
        word = file.place_word
        frame = self._numbers(file, place, facts["frame"])
        order = np.argsort(frame, kind="stable")
        frame, place, rows = frame[order], place[order], rows[order]
        facts = {name: values[order] for name, values in facts.items()}
        self._check_once(file, place, frame, facts.get("face_id"))
        check_rising(frame, str(file.path))
        success = facts.get("success", np.ones(len(frame)))
        is_failed = ~(success != 0) | np.isnan(success)
        rows[is_failed] = np.nan

        def say(row: int, column: int, value: object) -> str:
            at = f"{word} {place[row]} of {file.path.name}"
            if is_failed[row]:
                return f"{at}: success is {success[row]:g}"
            return f"{at}: {self.columns[column]} is {value}"

        return finite_video(frame, rows, facts.get("timestamp"), say)

    def _numbers(
        self, file: TableFile, place: NDArray[np.int64], frame: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Return whole frame numbers that count from 1."""
        moved = frame + (self._offset or 0)
        wrong = np.flatnonzero(~((moved >= 0) & (moved < 2**31) & (moved == np.floor(moved))))
        if len(wrong):
            row = int(wrong[0])
            message = (
                f"frame numbers must be whole and in [0, 2**31), but column 'frame' in "
                f"{file.place_word} {place[row]} of {file.path} is {frame[row]:g}; mend it"
            )
            raise InteropError(message)
        if self._offset is None and not moved.all():
            row = int(np.flatnonzero(moved == 0)[0])
            refuse_frame_0(f"{file.place_word} {place[row]} of {file.path} is")
        return moved.astype(np.int64)

    def _check_once(
        self,
        file: TableFile,
        place: NDArray[np.int64],
        frame: NDArray[np.int64],
        face: NDArray[np.float64] | None,
    ) -> None:
        twice = np.flatnonzero(np.diff(frame) == 0)
        if not len(twice):
            return
        row, word = int(twice[0]), file.place_word
        do = "keep the rows of one face in the file"
        if face is not None and self._face_id is None:
            ids = ", ".join(f"{value:g}" for value in np.unique(face))
            do = f"choose a face by --face-id (the file has {ids})"
        message = (
            f"a video must have one row a frame, but frame {frame[row]} of {file.path} is in "
            f"{word} {place[row]} and in {word} {place[row + 1]}; {do}"
        )
        raise InteropError(message)


def no_rows(path: Path, which: str = "") -> InteropError:
    """Return what is told of a table that has no rows of a kind."""
    return InteropError(f"{path} must hold rows{which}, but holds none; leave the file out")


def column_name(text: str) -> str:
    """Return a column's name without the spaces that some programs write around it."""
    return text.strip()


def _choose(file: TableFile, patterns: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the columns that are features, in the order of the file, and the others."""
    if patterns:
        chosen: set[str] = set()
        for pattern in patterns:
            fits = {n for n in file.names if n not in BOOKKEEPING and fnmatchcase(n, pattern)}
            fits |= {pattern} & set(file.names)
            if not fits:
                near = get_close_matches(pattern, file.names) or file.names[:8]
                message = (
                    f"every pattern of --columns must fit a column, but {pattern!r} fits none of "
                    f"{file.path}; {near_misses(pattern, near)}"
                )
                raise UsageError(message)
            chosen |= fits
    else:
        chosen = file.numeric() - BOOKKEEPING
    if not chosen:
        message = (
            f"{file.path} must have a column of numbers besides frame and the like, but has only "
            f"{short_list(file.names, 8)}; check --layout"
        )
        raise InteropError(message)
    columns = [name for name in file.names if name in chosen]
    return columns, [name for name in file.names if name not in chosen]
