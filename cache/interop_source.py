"""What an import reads from, whatever the layout: videos, their content, their rows."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UsageError
from ..core.names import labels_store_name
from .errors import InteropError, StoreMissingError
from .labels import LabelStore
from .schema import Array
from .spec import EmbeddingSpec, Option, StoredDtype
from .store import open_store

Layout = Literal["abaw4", "npy", "csv", "parquet"]
LAYOUTS: Final[tuple[Layout, ...]] = get_args(Layout)

Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What may be asked of an import; what a layout has no use for is refused."""

    labels: LabelStore | None = None
    """Where frame numbers are taken from if the source has none."""
    columns: tuple[str, ...] = ()
    """Patterns of the columns that are features; by default all that hold numbers."""
    face_id: int | None = None
    """The face whose rows are taken."""
    frame_offset: int | None = None
    """Added to frame numbers, for sources that count from 0."""
    license: str | None = None
    """Licence of the features, recorded in the store."""
    dtype: StoredDtype = "float16"
    """Type of the stored numbers."""


@dataclass(frozen=True, eq=False)
class ImportedVideo:
    """The n rows of one video as the source has them, m of them with features."""

    frame: NDArray[np.int64]
    """(n,) frame numbers, strictly rising."""
    is_readable: NDArray[np.bool_]
    """(n,) True = has features."""
    embedding: Array
    """(m, D) finite."""
    reasons: list[str]
    """(n - m,) why the others have none."""
    time: NDArray[np.float64] | None = None
    """(n,) seconds, NaN where the source has none; None if it has none at all."""


class ImportSource(Protocol):
    """Features in another layout."""

    layout: Layout
    options: dict[str, Option]
    """What makes the features what they are besides layout, width and type: part of identity."""
    dim: int
    """D, of the first video that can be read; `read` refuses others."""
    notes: list[str]
    """What a user should know of how the source is read, a sentence each."""

    @property
    def videos(self) -> tuple[str, ...]:
        """Ids of the videos, sorted."""

    def content_hash(self, video: str) -> int:
        """Return 128 bits that change with anything that `read` would return.

        Raises:
            InteropError: the video cannot be read; the message names file and place.
        """

    def read(self, video: str) -> ImportedVideo:
        """Return the rows of a video.

        Raises:
            InteropError: they are not of the layout; the message names file and place.
            UsageError: they can be read in two ways, and nobody said which.
        """


def import_spec(source: ImportSource, dtype: StoredDtype) -> EmbeddingSpec:
    """Return the identity of imported features: how they are read; nothing else is known."""
    return EmbeddingSpec(
        backbone=f"import:{source.layout}",
        weights="unknown",
        input_size=0,
        position_table="unknown",
        crop="unknown",
        interpolation="unknown",
        mean=(),
        std=(),
        channels="unknown",
        layer="unknown",
        pool="unknown",
        flip="unknown",
        options=source.options,
        dim=source.dim,
        dtype=dtype,
    )


@dataclass
class FrameNumbers:
    """Frame numbers of sources that have none: the labels' where lengths agree, else 1 to n."""

    labels: LabelStore | None
    from_labels: set[str] = field(default_factory=set)
    """Videos that got the numbers of the labels store."""
    disagreeing: dict[str, str] = field(default_factory=dict)
    """Video -> why it is counted from 1 although labels were given."""

    def of(self, video: str, n: int) -> NDArray[np.int64]:
        """Return the frame numbers (n,) of a video's n rows, and note whose they are."""
        if self.labels is None:
            return np.arange(1, n + 1)
        if video not in self.labels:
            self.disagreeing[video] = "not in the labels"
            return np.arange(1, n + 1)
        frame = self.labels[video].frame
        if len(frame) != n:
            self.disagreeing[video] = f"{n} rows, {len(frame)} labelled frames"
            return np.arange(1, n + 1)
        self.from_labels.add(video)
        return frame.astype(np.int64)


def open_labels(cache: Path, name: str) -> LabelStore:
    """Return the labels store that a user calls `name`: `labels`, `labels-va6` or `va6`.

    Raises:
        StoreMissingError: there is none.
        UsageError: the store of this name holds embeddings.
    """
    try:
        found = open_store(cache / name)
    except StoreMissingError:
        full = labels_store_name(name)
        if full == name:
            raise
        found = open_store(cache / full)
    if not isinstance(found, LabelStore):
        message = f"--labels must name a labels store, but {found.path} holds embeddings"
        raise UsageError(message)
    return found


def first_readable(videos: Collection[str], look: Callable[[str], Found]) -> Found:
    """Return what `look` finds in the first video that can be read.

    Raises:
        UsageError: no video can be read, and for one of them it is what was asked for that is
            wrong.
        InteropError: no video can be read.
    """
    unfit: dict[str, InteropError] = {}
    wrong: UsageError | None = None
    for video in videos:
        try:
            return look(video)
        except InteropError as error:
            unfit[video] = error
        except UsageError as error:
            wrong = wrong or error
    if wrong is not None:
        raise wrong
    video, why = next(iter(unfit.items()))
    if len(unfit) == 1:
        raise why
    message = f"none of the {len(unfit)} videos can be read, first {video!r}: {why}"
    raise InteropError(message) from why


def check_rows(array: Any, where: str) -> tuple[int, int]:  # noqa: ANN401 - of any library
    """Return the shape (n, D) of features, n and D at least 1.

    Raises:
        InteropError: `array` is no such table of real numbers.
    """
    dtype, shape = np.dtype(array.dtype), tuple(array.shape or ())  # HDF5 has arrays of no shape
    if dtype.kind not in "fiu" or len(shape) != 2 or 0 in shape:
        message = (
            f"{where} must hold real numbers of shape (n, D), but is {dtype} of shape {shape}; "
            f"write one row a frame"
        )
        raise InteropError(message)
    return int(shape[0]), int(shape[1])


def check_dim(found: int, dim: int, where: str) -> None:
    """Raise InteropError unless a video is as wide as the first."""
    if found != dim:
        message = (
            f"all videos must have features of one width, but {where} has {found} and those before "
            f"it {dim}; import them under two names"
        )
        raise InteropError(message)


def finite_video(
    frame: NDArray[np.int64],
    rows: Array,
    time: NDArray[np.float64] | None,
    say: Callable[[int, int, object], str],
) -> ImportedVideo:
    """Return a video whose rows with numbers that are not finite have no features.

    Args:
        frame: (n,) frame numbers, strictly rising.
        rows: (n, D) real numbers.
        time: (n,) seconds, or None.
        say: the reason, of row, column and value.
    """
    is_finite = np.isfinite(rows)
    is_readable: NDArray[np.bool_] = np.all(is_finite, axis=1)
    reasons = []
    for row in np.flatnonzero(~is_readable).tolist():
        column = int(np.argmin(is_finite[row]))
        reasons.append(say(row, column, rows[row, column]))
    kept = rows if is_readable.all() else rows[is_readable]
    return ImportedVideo(frame, is_readable, kept, reasons, time)


def check_rising(frame: NDArray[np.int64], where: str) -> None:
    """Raise InteropError unless frame numbers rise."""
    wrong = np.flatnonzero(np.diff(frame) <= 0)
    if len(wrong):
        row = int(wrong[0])
        message = (
            f"frame numbers of {where} must rise, but {frame[row + 1]} of row {row + 2} follows "
            f"{frame[row]}; sort the rows and keep one a frame"
        )
        raise InteropError(message)


def refuse_frame_0(where: str) -> None:
    """Raise UsageError for a frame 0 of a source of which nobody said where it counts from.

    Args:
        where: the place and a verb, such as `a.npz has`.
    """
    message = (
        f"frame numbers count from 1, as labels do, but {where} frame 0; give --frame-offset 1 if "
        f"the source counts from 0, or --frame-offset 0 to take its numbers as they are"
    )
    raise UsageError(message)


def short_list(items: Iterable[str] | Mapping[str, str], most: int = 5) -> str:
    """Return the first few items, and how many more there are."""
    texts = [f"{k} ({v})" for k, v in items.items()] if isinstance(items, Mapping) else list(items)
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more
