"""Which rows of which tree are a video: the newest complete version wins.

A store's trees (the compacted one and its parts) hold *entries*: a range of a video's source
frames, in one version.
"""

import json
import operator
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property

import numpy as np

from .backend import Tree
from .errors import CacheError, CorruptStoreError
from .object_path import AnyPath
from .schema import Array, check_video_ids, join_hash, unpack
from .spec import EmbeddingSpec
from .versions import Entry, Piece, newest_complete


class Catalog:
    """The entries of all trees of a store.

    Args:
        trees: the compacted tree first, then the parts by name.
        damaged: (path of a tree, video) of entries that are taken for not there.

    Raises:
        CorruptStoreError: an index contradicts itself or its rows, or trees are of two specs.
    """

    def __init__(
        self, trees: Sequence[Tree], damaged: Collection[tuple[AnyPath, str]] = ()
    ) -> None:
        self.trees = trees
        self._damaged = frozenset(damaged)
        self._videos: list[list[str]] = []
        self._precisions: list[list[str]] = []
        for tree in trees:
            check_tree(tree)
            self._precisions.append(tree_precisions(tree))
            if tree.attributes["fingerprint"] != trees[0].attributes["fingerprint"]:
                message = (
                    f"{trees[0].path} and {tree.path} must hold the same embedding, but their "
                    f"fingerprints are {trees[0].attributes['fingerprint']} and "
                    f"{tree.attributes['fingerprint']}; remove the one that is wrong"
                )
                raise CorruptStoreError(message)
            videos = unpack(tree.arrays, "index/id", tree.path)
            check_video_ids(videos, tree.path)
            self._videos.append(videos)

    @cached_property
    def by_video(self) -> dict[str, list[tuple[int, int]]]:
        """Id -> (tree, row of its index) of every entry, unsorted ids."""
        found: dict[str, list[tuple[int, int]]] = {}
        for number, videos in enumerate(self._videos):
            for row, video in enumerate(videos):
                if not self._damaged or (self.trees[number].path, video) not in self._damaged:
                    found.setdefault(video, []).append((number, row))
        return found

    @cached_property
    def _cells(self) -> list[tuple[list[int], ...]]:
        columns = ("version", "source_total", "source_start", "source_length", "length")
        return [
            tuple(tree.arrays[f"index/{name}"].tolist() for name in columns) for tree in self.trees
        ]

    @cached_property
    def sorted_rows(self) -> dict[str, int] | None:
        """Id -> row of the only tree if each of its entries is a whole video, in order of id.

        None if there is more to decide. It spares a compacted store of 100,000 videos a second.
        """
        if len(self.trees) != 1:
            return None
        (tree,), (videos,) = self.trees, self._videos
        arrays = tree.arrays
        is_whole = (arrays["index/length"] > 0) & (
            arrays["index/source_length"] == arrays["index/source_total"]
        )
        if not is_whole.all() or not all(map(operator.lt, videos, videos[1:])):
            return None
        return dict(zip(videos, range(len(videos)), strict=True))

    def entries(self, video: str) -> list[Entry]:
        """Return all entries of a video, of any version."""
        found = []
        for tree, row in self.by_video.get(video, ()):
            version, total, start, length, _ = self._cells[tree]
            found.append(Entry(version[row], total[row], start[row], length[row], tree, row))
        return found

    def n_rows(self, tree: int, row: int) -> int:
        """Return the number of embeddings of one entry."""
        return self._cells[tree][4][row]

    def piece(self, entry: Entry) -> Piece:
        """Return what a writer needs to know of an entry."""
        tree = self.trees[entry.tree]
        names = self._precisions[entry.tree]
        return Piece(
            entry.source_start,
            entry.source_length,
            join_hash(tree.arrays["index/input_hash"][entry.row]),
            join_hash(tree.arrays["index/stat_hash"][entry.row]),
            names[int(tree.arrays["index/precision"][entry.row])],
        )

    def complete(self) -> dict[str, list[tuple[int, int]]]:
        """Return id -> (tree, row) of the newest complete version's entries, in source order.

        Videos without any readable frame are among them.
        """
        found = {}
        for video, places in self.by_video.items():
            if len(places) == 1:
                tree, row = places[0]
                _, total, start, length, _ = self._cells[tree]
                if start[row] == 0 and length[row] == total[row]:
                    found[video] = places
            else:
                chain = newest_complete(self.entries(video))
                if chain is not None:
                    found[video] = [(entry.tree, entry.row) for entry in chain]
        return found

    def report(self, versions: Mapping[str, Collection[int]]) -> list[tuple[str, int, int, str]]:
        """Return (video, version, frame, reason) of these versions' failures, in that order.

        A frame that two trees report is there once.
        """
        found: dict[tuple[str, int, int], str] = {}
        for tree in self.trees:
            arrays = tree.arrays
            rows = zip(
                unpack(arrays, "report/video", tree.path),
                arrays["report/version"].tolist(),
                arrays["report/frame"].tolist(),
                unpack(arrays, "report/reason", tree.path),
                strict=True,
            )
            for video, version, frame, reason in rows:
                if version in versions.get(video, ()):
                    found.setdefault((video, version, frame), reason)
        return [(*key, found[key]) for key in sorted(found)]

    def version(self, tree: int, row: int) -> int:
        """Return the version of one entry."""
        return self._cells[tree][0][row]


def check_tree(tree: Tree) -> None:
    """Raise CorruptStoreError unless the index of a tree fits itself and its rows."""
    arrays, where = tree.arrays, tree.path
    spec = tree_spec(tree)
    embedding, frame = tree.rows["embedding"], tree.rows["frame"]
    n_rows = frame.shape[0]
    if embedding.shape != (n_rows, spec.dim) or embedding.dtype != np.dtype(spec.dtype):
        message = (
            f"{where} must hold embedding of shape ({n_rows}, {spec.dim}) {spec.dtype}, one row a "
            f"frame number, but it is {embedding.shape} {embedding.dtype}; restore it from a copy"
        )
        raise CorruptStoreError(message)
    if "time" in tree.rows and tree.rows["time"].shape[0] != n_rows:
        message = f"{where} must hold {n_rows} of time, but holds {tree.rows['time'].shape[0]}"
        raise CorruptStoreError(message)
    _check_lengths(arrays, "index/id", "index/", where)
    _check_lengths(arrays, "report/video", "report/", where)
    start, length = arrays["index/start"], arrays["index/length"]
    source_start = arrays["index/source_start"]
    source_length, total = arrays["index/source_length"], arrays["index/source_total"]
    # Compared without adding, which a huge number could overflow.
    sound = (
        (length >= 0) & (start >= 0) & (start <= n_rows) & (length <= n_rows - start)
        & (source_start >= 0) & (source_length >= length) & (source_length <= total)
        & (source_start <= total - source_length)
        & ((source_length >= 1) | (total == 0))
        & (arrays["index/version"] >= 1)
    )  # fmt: skip
    if not sound.all():
        row = int(np.flatnonzero(~sound)[0])
        message = (
            f"entry {row} of the index of {where} must lie within {n_rows} rows and its source "
            f"frames, but has start {start[row]}, length {length[row]}, source range "
            f"{source_start[row]}+{source_length[row]} of {total[row]}, version "
            f"{arrays['index/version'][row]}; restore it from a copy"
        )
        raise CorruptStoreError(message)
    codes = arrays["index/precision"]
    names = tree_precisions(tree)
    if len(codes) and int(codes.max()) >= len(names):
        message = f"{where} must name the precision of every entry, but names only {names}"
        raise CorruptStoreError(message)


def tree_spec(tree: Tree) -> EmbeddingSpec:
    """Return the spec of a tree, checked against its fingerprint.

    Raises:
        CorruptStoreError: there is no sound spec, or its fingerprint is not the stored one.
    """
    where = f"the embedding_spec of {tree.path}"
    try:
        spec = EmbeddingSpec.from_json(str(tree.attributes.get("embedding_spec")), where)
    except CacheError as error:
        raise CorruptStoreError(str(error)) from error
    if spec.fingerprint != tree.attributes.get("fingerprint"):
        message = (
            f"{tree.path} must have the fingerprint {spec.fingerprint} of its embedding_spec, but "
            f"has {tree.attributes.get('fingerprint')}; restore it from a copy"
        )
        raise CorruptStoreError(message)
    return spec


def tree_precisions(tree: Tree) -> list[str]:
    """Return the names that the codes in index/precision stand for."""
    try:
        names = json.loads(str(tree.attributes.get("precisions")))
    except json.JSONDecodeError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        message = (
            f"{tree.path} must have a JSON list of texts as its attribute precisions, but has "
            f"{tree.attributes.get('precisions')!r}; restore it from a copy"
        )
        raise CorruptStoreError(message)
    return names


def _check_lengths(arrays: Mapping[str, Array], pool: str, group: str, where: AnyPath) -> None:
    """Raise CorruptStoreError unless every array of a group has one row a text of its pool."""
    n = len(arrays[f"{pool}_offset"]) - 1
    for name, array in arrays.items():
        if not name.startswith(group) or name.endswith("_bytes"):
            continue
        needed = n + 1 if name.endswith("_offset") else n
        if len(array) != needed:
            message = f"{where} must hold {needed} of {name}, but holds {len(array)}"
            raise CorruptStoreError(message)
