"""Reads a store of embeddings."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .backend import Backend, Tree, read_trees
from .catalog import Catalog, tree_precisions, tree_spec
from .errors import CacheError, StoreMissingError, VideoMissingError
from .labels import LabelStore
from .locate import find_store
from .object_path import AnyPath, as_path
from .schema import HASH_MODULUS, LABELS, Array, join_hash
from .versions import Failure


@dataclass(frozen=True, eq=False)
class VideoRecord:
    """The embeddings of one video."""

    video: str
    embedding: Array
    """(n, D) float16 or float32, one row a readable frame; read-only, mapped if it is in files."""
    frame: NDArray[np.int32]
    """(n,) frame numbers, strictly rising, with the gaps of the source; read-only."""
    version: int
    """How often the video was replaced, plus 1."""
    input_hash: int
    """Sum of the source frames' content hashes, modulo 2**128."""
    precision: str
    """What it was computed in: `fp32`, `bf16` or `fp16`, or `unknown` of an import; several joined
    by `+`."""
    source_total: int
    """Number of source frames, readable or not."""
    time: NDArray[np.float64] | None = None
    """(n,) presentation times in seconds, NaN where the source had none; None if it had none at
    all. Read-only."""

    def __len__(self) -> int:
        return len(self.frame)


class EmbeddingStore(Mapping[str, VideoRecord]):
    """The embeddings of all videos that are complete: video id -> `VideoRecord`.

    What was visible when the store was opened stays so, whatever is written or compacted
    meanwhile; open it again to see what came later. Pickled by its path (each process maps for
    itself, and all share one copy in memory).
    """

    def __init__(self, backend: Backend[Any], path: AnyPath, trees: list[Tree]) -> None:
        self.path = path
        self.name = path.stem
        self.backend = backend.name
        """`hdf5` or `zarr`."""
        self.n_parts = sum(tree.path.parent == backend.parts_folder(path) for tree in trees)
        """Parts that are not compacted."""
        self.spec = tree_spec(trees[0])
        self.fingerprint = self.spec.fingerprint
        self.dim = self.spec.dim
        self.dtype = np.dtype(self.spec.dtype)
        self.provenance: dict[str, Any] = json.loads(trees[0].attributes["provenance"])
        self.run_settings: dict[str, Any] = json.loads(trees[0].attributes["run_settings"])
        catalog = Catalog(trees)
        self._trees: list[Tree] | None = trees
        self._precisions = [tree_precisions(tree) for tree in trees]
        self._has_time = any("time" in tree.rows for tree in trees)
        self.loss: dict[str, Any] | None = json.loads(trees[0].attributes.get("loss", "null"))
        """What the stored type can have lost, see `DtypeLoss`; None if nothing, or not compacted.
        """
        self._rows = catalog.sorted_rows
        self._places: dict[str, list[tuple[int, int]]] = {}
        if self._rows is not None:
            videos, lengths = tuple(self._rows), trees[0].arrays["index/length"]
            self._starts: list[int] = trees[0].arrays["index/start"].tolist()
            self._lengths: list[int] = lengths.tolist()
            versions = dict(
                zip(videos, zip(trees[0].arrays["index/version"].tolist()), strict=True)
            )
        else:
            complete = catalog.complete()
            n_rows = {
                video: sum(catalog.n_rows(tree, row) for tree, row in places)
                for video, places in complete.items()
            }
            self._places = {video: complete[video] for video in sorted(complete) if n_rows[video]}
            videos = tuple(self._places)
            lengths = np.array([n_rows[video] for video in videos], np.int64)
            versions = {video: (catalog.version(*at[0]),) for video, at in complete.items()}
        self.videos: tuple[str, ...] = videos
        """Ids of the visible videos, sorted."""
        self.lengths: NDArray[np.int64] = lengths
        """Rows of each video, in the order of `videos`."""
        self.n_frames = int(self.lengths.sum())
        self.failures: list[Failure] = [
            Failure(video, frame, reason) for video, _, frame, reason in catalog.report(versions)
        ]
        """Source frames that could not be read, also of videos without any readable frame."""

    def __getitem__(self, video: str) -> VideoRecord:
        if self._trees is None:
            message = f"{self.path} is closed; open it again with open_store"
            raise CacheError(message)
        try:
            places = [(0, self._rows[video])] if self._rows is not None else self._places[video]
        except KeyError:
            message = (
                f"{self.path} holds no video {video!r} (it holds {len(self.videos)}); run "
                f"`abaw extract` for it, or leave it out"
            )
            raise VideoMissingError(message) from None
        embeddings, frames, times, precisions = [], [], [], set()
        input_hash = 0
        for number, row in places:
            tree = self._trees[number]
            first = int(tree.arrays["index/start"][row])
            stop = first + int(tree.arrays["index/length"][row])
            embeddings.append(tree.rows["embedding"][first:stop])
            frames.append(tree.rows["frame"][first:stop])
            times.append(tree.rows["time"][first:stop] if "time" in tree.rows else None)
            input_hash += join_hash(tree.arrays["index/input_hash"][row])
            code = int(tree.arrays["index/precision"][row])
            precisions.update(self._precisions[number][code].split("+"))
        last = self._trees[places[-1][0]].arrays, places[-1][1]
        return VideoRecord(
            video=video,
            embedding=_joined(embeddings),
            frame=_joined(frames),
            time=_times(times, embeddings) if self._has_time else None,
            version=int(last[0]["index/version"][last[1]]),
            input_hash=input_hash % HASH_MODULUS,
            precision="+".join(sorted(precisions)),
            source_total=int(last[0]["index/source_total"][last[1]]),
        )

    def read(
        self, videos: Iterable[str], frames: Iterable[slice] | None = None
    ) -> list[tuple[Array, NDArray[np.int32]]]:
        """Return (embedding, frame) of videos or of segments of them, in the order asked for.

        The quickest way to many segments: the arrays are views of the mapped file wherever the
        segment lies in one piece.

        Args:
            videos: their ids; one may be there many times.
            frames: for each of them a cut by position, half-open, counted among the frames that
                have an embedding; cuts are bounded by the video as Python's slices are. None
                reads whole videos.

        Returns:
            Of each: embeddings (n, D), read-only, and frame numbers (n,), int32, read-only.

        Raises:
            VideoMissingError: there is no such video.
            ValueError: videos and frames are not of one length, or a cut has a step.
        """
        if frames is None:
            records = [self[video] for video in videos]
            return [(record.embedding, record.frame) for record in records]
        return [self._segment(video, cut) for video, cut in zip(videos, frames, strict=True)]

    def _segment(self, video: str, cut: slice) -> tuple[Array, NDArray[np.int32]]:
        if cut.step not in (None, 1):
            message = f"a cut of {video!r} must have no step, but got {cut}"
            raise ValueError(message)
        row = None if self._rows is None else self._rows.get(video)
        if row is None or self._trees is None:
            record = self[video]
            return record.embedding[cut], record.frame[cut]
        first, length = self._starts[row], self._lengths[row]
        begin, end, _ = cut.indices(length)
        rows = self._trees[0].rows
        at = slice(first + begin, first + max(begin, end))
        return rows["embedding"][at], rows["frame"][at]

    def __contains__(self, video: object) -> bool:
        return video in (self._places if self._rows is None else self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self.videos)

    def __len__(self) -> int:
        return len(self.videos)

    def close(self) -> None:
        """Let go of the files; records already handed out stay valid."""
        self._trees = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return open_store, (self.path,)

    def __eq__(self, other: object) -> bool:
        return self is other  # a Mapping would compare every array

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        weights = ", RANDOM WEIGHTS" if self.provenance.get("objective") == "random" else ""
        parts = f", {self.n_parts} parts not compacted" if self.n_parts else ""
        return (
            f"EmbeddingStore({self.name!r}, {len(self):,} videos, {self.n_frames:,} frames x "
            f"{self.dim} {self.dtype}, {self.backend}{parts}{weights})"
        )


def open_store(path: AnyPath | str) -> EmbeddingStore | LabelStore:
    """Return the store of embeddings or of labels at `path`.

    Args:
        path: `features/mae.h5`, `features/mae.zarr`, or `features/mae` for either; on object
            storage `ObjectPath(store, "features/mae.zarr")`. A store that is being written, and is
            still parts only, opens like any other.

    Raises:
        StoreMissingError: there is none; the message lists what is near.
        StoreExistsError: there is one of each backend.
        CorruptStoreError: it is not what the format says.
        FormatVersionError: a newer version of this package wrote it.
    """
    backend, store = find_store(as_path(path))
    trees = read_trees(backend, store, map_rows=True)
    if not trees:
        message = f"there is no store {path} any more: it was removed while it was being opened"
        raise StoreMissingError(message)
    if trees[0].attributes["format"] == LABELS:
        return LabelStore(store, backend.name, trees[0])
    return EmbeddingStore(backend, store, trees)


def _times(found: list[Array | None], embeddings: list[Array]) -> NDArray[np.float64] | None:
    """Return the times of a video, if any of its frames has one."""
    pairs = zip(found, embeddings, strict=True)
    times = _joined([np.full(len(rows), np.nan) if one is None else one for one, rows in pairs])
    return None if np.isnan(times).all() else times


def _joined(arrays: list[Array]) -> Array:
    """Return one array; only pieces that were not compacted are copied."""
    if len(arrays) == 1:
        return arrays[0]
    joined = np.concatenate(arrays)
    joined.flags.writeable = False
    return joined
