"""Whether a store is sound: every byte of it against its checksums, every number against sense."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import numpy as np
import xxhash
from tqdm import tqdm

from .backend import Tree
from .catalog import Catalog
from .errors import CorruptStoreError
from .label_files import read_table
from .locate import LocalBackend, find_local_store
from .object_path import AnyPath
from .schema import LABELS
from .versions import newest

_BLOCK_BYTES: Final = 16 << 20
_LEAST_CONSTANT: Final = 2
"""Rows that must be equal for a video's embeddings to be called constant."""

Kind = Literal["corrupt", "incomplete", "suspicious"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a store, or looks so."""

    kind: Kind
    """`corrupt`: not what was written. `incomplete`: an extraction was broken off.
    `suspicious`: sound as a file, but no network that works gives this."""
    place: AnyPath
    """The file or group."""
    video: str
    """Empty if it is all of the place."""
    what: str

    def text(self) -> str:
        """Return it in one line."""
        video = f" video {self.video!r}:" if self.video else ""
        return f"{self.kind}: {self.place}:{video} {self.what}"


@dataclass
class Verification:
    """What was found in one store."""

    store: Path
    n_videos: int = 0
    n_frames: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is corrupt or incomplete."""
        return all(problem.kind == "suspicious" for problem in self.problems)

    def text(self) -> str:
        """Return the result for people to read."""
        state = "sound" if self.is_sound else "NOT SOUND"
        head = f"{self.store}: {state}, {self.n_videos:,} videos, {self.n_frames:,} frames checked"
        return "\n".join([head, *(f"  {problem.text()}" for problem in self.problems)])

    def raise_for_problems(self) -> None:
        """Raise CorruptStoreError unless the store is sound.

        Raises:
            CorruptStoreError: says how many problems there are and what to do.
        """
        if self.is_sound:
            return
        bad = [problem for problem in self.problems if problem.kind != "suspicious"]
        message = (
            f"{self.store} must be sound, but has {len(bad)} problems, listed above; "
            f"`abaw cache verify --repair` drops what is corrupt, then run `abaw extract` again"
        )
        raise CorruptStoreError(message)


def verify_store(path: Path, *, workers: int | None = None, progress: bool = False) -> Verification:
    """Read all of a store and return what is wrong with it.

    Args:
        path: of the store, with or without its suffix.
        workers: threads; by default one a core.
        progress: show a bar on stderr.

    Raises:
        StoreMissingError, StoreExistsError: see `open_store`.
        FormatVersionError: a newer version of this package wrote it.
    """
    backend, store = find_local_store(path)
    found = Verification(store)
    trees = readable_trees(backend, store, found)
    found.problems += tree_problems(trees, workers=workers, title=store.stem if progress else "")
    if trees and trees[0].attributes["format"] == LABELS:
        table = trees[0].arrays["frame"]
        found.n_videos, found.n_frames = len(trees[0].arrays["index/length"]), len(table)
    elif trees:
        _check_complete(trees, found)
    return found


def tree_problems(
    trees: Sequence[Tree], *, workers: int | None = None, title: str = ""
) -> list[Problem]:
    """Read all of trees whose index is sound, and return what is wrong with them.

    Args:
        trees: of one store.
        workers: threads; by default one a core.
        title: of a bar on stderr; empty for none.
    """
    if trees and trees[0].attributes["format"] == LABELS:
        return list(_check_labels(trees[0]))
    found: list[Problem] = []
    entries = [(tree, row) for tree in trees for row in range(len(tree.arrays["index/length"]))]
    with (
        ThreadPoolExecutor(workers or os.cpu_count() or 1, "verify") as pool,
        tqdm(total=len(entries), unit="video", desc=title, disable=not title) as bar,
    ):
        for problems in pool.map(lambda entry: list(_check_rows(*entry)), entries):
            found += problems
            bar.update()
    for tree in trees:
        found += _check_tiling(tree)
    return found


def readable_trees(backend: LocalBackend, store: Path, found: Verification) -> list[Tree]:
    """Return the trees whose index is sound, one spec in all of them; the others are problems."""
    places = backend.list_parts(store)
    try:
        base = backend.find_base(store)
    except CorruptStoreError as error:
        root = store / "zarr.json" if store.is_dir() else store
        found.problems.append(Problem("corrupt", root, "", str(error)))
        base = None
    trees: list[Tree] = []
    for place in ([base] if base else []) + places:
        try:
            tree = backend.read(place, map_rows=True)
            if tree.attributes["format"] != LABELS:
                Catalog([*trees[:1], tree])
        except CorruptStoreError as error:
            found.problems.append(Problem("corrupt", place, "", str(error)))
        except FileNotFoundError:
            found.problems.append(Problem("corrupt", place, "", "it is named, but is not there"))
        else:
            trees.append(tree)
    return trees


def _check_labels(tree: Tree) -> Iterator[Problem]:
    try:
        read_table(tree)
    except CorruptStoreError as error:
        yield Problem("corrupt", tree.path, "", str(error))


def _check_rows(tree: Tree, row: int) -> Iterator[Problem]:
    """Yield what is wrong with the rows of one entry."""
    start = int(tree.arrays["index/start"][row])
    stop = start + int(tree.arrays["index/length"][row])
    video = _video(tree, row)
    rows = tree.rows["embedding"]
    step = max(1, _BLOCK_BYTES // (rows.shape[1] * rows.dtype.itemsize))
    digest = xxhash.xxh3_64()
    not_finite, is_constant, first = 0, stop - start >= _LEAST_CONSTANT, None
    try:
        for begin in range(start, stop, step):
            block = rows[begin : min(begin + step, stop)]
            digest.update(np.ascontiguousarray(block).view(np.uint8).data)
            not_finite += int((~np.isfinite(block)).any(axis=1).sum())
            first = block[0] if first is None else first
            is_constant = is_constant and bool((block == first).all())
        frame = tree.rows["frame"][start:stop]
        digest.update(frame.tobytes())
        if "time" in tree.rows:
            digest.update(tree.rows["time"][start:stop].tobytes())
    except CorruptStoreError as error:
        yield Problem("corrupt", tree.path, video, str(error))
        return
    expected = int(tree.arrays["index/checksum"][row])
    if digest.intdigest() != expected:
        what = f"its rows have the checksum {digest.hexdigest()} instead of {expected:016x}"
        yield Problem("corrupt", tree.path, video, what)
        return
    if not_finite:
        yield Problem("corrupt", tree.path, video, f"{not_finite} embeddings are not finite")
    if len(frame) > 1 and np.any(np.diff(frame) <= 0):
        yield Problem("corrupt", tree.path, video, "its frame numbers do not rise")
    if is_constant:
        yield Problem("suspicious", tree.path, video, f"all {len(frame)} embeddings are equal")


def _check_tiling(tree: Tree) -> Iterator[Problem]:
    """Yield rows that belong to no entry of a tree, or to several."""
    start, length = tree.arrays["index/start"], tree.arrays["index/length"]
    order = np.argsort(start, kind="stable")
    reached = 0
    for row in order[length[order] > 0].tolist():
        if int(start[row]) != reached:
            what = f"begins at row {int(start[row])}, but the rows before end at {reached}"
            yield Problem("corrupt", tree.path, _video(tree, row), what)
        reached = int(start[row] + length[row])
    n_rows = tree.rows["frame"].shape[0]
    if reached != n_rows:
        what = f"rows {reached} to {n_rows} belong to no video"
        yield Problem("corrupt", tree.path, "", what)


def _check_complete(trees: Sequence[Tree], found: Verification) -> None:
    catalog = Catalog(trees)
    complete = catalog.complete()
    found.n_videos = len(complete)
    found.n_frames = sum(
        catalog.n_rows(tree, row) for places in complete.values() for tree, row in places
    )
    for video in sorted(catalog.by_video):
        is_complete, chain = newest(catalog.entries(video))
        if not is_complete:
            n_there = sum(entry.source_length for entry in chain)
            what = (
                f"{n_there} of {chain[0].source_total} source frames are stored of version "
                f"{chain[0].version}; run `abaw extract` again"
            )
            found.problems.append(Problem("incomplete", trees[chain[0].tree].path, video, what))


def _video(tree: Tree, row: int) -> str:
    offset = tree.arrays["index/id_offset"]
    data = tree.arrays["index/id_bytes"][int(offset[row]) : int(offset[row + 1])]
    return data.tobytes().decode()
