"""What the tools do to caches, for tests that end them half-way: before, the job, and the law."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from abaw.cache import (
    CorruptStoreError,
    StoreMissingError,
    VideoMissingError,
    convert_store,
    list_stores,
    merge_stores,
    open_store,
    remove_named,
    repair_store,
    verify_store,
    write_labels,
)

from .power import found_under
from .stores import BACKEND, GONE, OTHER, copy, damage_index, damage_rows, visible
from .test_labels import make_table


@dataclass(frozen=True)
class Tool:
    """One tool on one cache."""

    name: str
    prepare: Callable
    """Called with (sources, folder, suffix)."""
    run: Callable
    """Called with (folder, suffix); a second run must be able to end what a first one began."""
    law: Callable
    """Called with (sources, folder, suffix) after a crash: asserts what must hold."""
    is_one_tree: bool = True
    """Whether a second run leaves one tree too, and not parts that the tree holds already."""


# --- merge ----------------------------------------------------------------------------------------


def _merge_sources(sources, folder, suffix):
    sources.write(folder / "one" / f"mae{suffix}", ["a", "b"])
    sources.write(folder / "two" / f"mae{suffix}", [], [("b", 1), ("c", 1)])


def _target(sources, folder, suffix):
    _merge_sources(sources, folder, suffix)
    sources.write(folder / "f" / f"mae{suffix}", ["d", "e"], [("d", 2), ("f", 1)])


def _merge(folder, suffix):
    both = [folder / "one" / "mae", folder / "two" / "mae"]
    merge_stores(both, folder / "f" / f"mae{suffix}")


def _merge_law(before, after):
    def law(sources, folder, suffix):
        assert visible(sources, folder / "f" / "mae") in (before, after)
        for source in ("one", "two"):
            now, then = (
                found_under(folder / source),
                found_under(folder.with_name("start") / source),
            )
            assert now == then, "a source was touched"

    return law


MERGED = dict.fromkeys("abc", 1)
INTO = {"d": 2, "e": 1, "f": 1}


# --- rm -------------------------------------------------------------------------------------------


def _store(sources, folder, suffix):
    sources.write(folder / "f" / f"mae{suffix}", ["a", "b"], [("a", 2), ("c", 1)])


def _remove_video(folder, suffix):
    try:
        remove_named(folder / "f", ["mae"], ["a"])
    except VideoMissingError:  # it was ended after the last of it was gone
        assert "a" not in open_store(folder / "f" / "mae")


def _remove_video_law(sources, folder, suffix):
    found = visible(sources, folder / "f" / "mae")
    assert found in ({"a": 2, "b": 1, "c": 1}, {"b": 1, "c": 1})


def _remove(folder, suffix):
    try:
        remove_named(folder / "f", ["mae"])
    except StoreMissingError:  # ended after the last name was gone
        assert list_stores(folder / "f") == []


def _remove_law(sources, folder, suffix):
    found = visible(sources, folder / "f" / "mae")
    less = [{"a": 1, "b": 1}] if suffix == ".h5" else []  # the parts are gone, the file is not
    assert found in ({"a": 2, "b": 1, "c": 1}, *less, GONE)


def _both_forms(sources, folder, suffix):
    """Leave a store in two forms, as a conversion does that ended before it removed the old one."""
    old = folder / "f" / f"mae{OTHER[suffix]}"
    sources.write(old, ["a", "b"])
    kept = folder / "kept"
    kept.mkdir()
    copy(old, kept / old.name)
    convert_store(old, backend=BACKEND[suffix])
    with sources.kit.open_writer(old.with_suffix(suffix)) as writer:
        sources.kit.add_whole(writer, sources("c"))
        writer.compact()
    (kept / old.name).rename(old)
    kept.rmdir()


def _remove_both_law(sources, folder, suffix):
    assert visible(sources, folder / "f" / "mae") in ({"a": 1, "b": 1, "c": 1}, GONE)


# --- verify --repair ------------------------------------------------------------------------------


def _damaged(sources, folder, suffix):
    path = folder / "f" / f"mae{suffix}"
    sources.write(path, ["a", "b", "c"], [("c", 2), ("d", 1), ("e", 1), ("f", 1)])
    damage_rows(sources, path, "b")
    damage_rows(sources, path, "c")  # of the version that nobody reads any more
    damage_rows(sources, path, "d")
    damage_index(sources, path, "e")


def _repair(folder, suffix):
    found = verify_store(folder / "f" / "mae", workers=1)
    repair_store(folder / "f" / "mae", found)


REPAIRED = {"a": 1, "c": 2, "f": 1}


def _repair_law(sources, folder, suffix):
    found = verify_store(folder / "f" / "mae", workers=1)
    broken = {problem.video for problem in found.problems}
    try:
        store = open_store(folder / "f" / "mae")
    except CorruptStoreError:
        assert "" in broken  # the tree with a broken index is not yet set aside
        return
    with store:
        assert store.keys() - {"b", "d"} == REPAIRED.keys()
        assert store.keys() & {"b", "d"} <= broken
        for video, version in REPAIRED.items():
            sources.kit.assert_holds(store, sources(video, version))


def _damaged_root(sources, folder, suffix):
    path = folder / "f" / f"mae{suffix}"
    sources.write(path, ["a", "b"], [("c", 1)])
    damage_rows(sources, path, "c")
    (path / "zarr.json").write_bytes((path / "zarr.json").read_bytes()[:60])


def _root_law(sources, folder, suffix):
    found = verify_store(folder / "f" / "mae", workers=1)
    try:
        store = open_store(folder / "f" / "mae")
    except CorruptStoreError:
        assert found.problems[0].place.name == "zarr.json"
        return
    with store:
        assert {"a", "b"} <= store.keys()
        for video in "ab":
            sources.kit.assert_holds(store, sources(video))


# --- convert --------------------------------------------------------------------------------------


def _convert(folder, suffix):
    convert_store(folder / "f" / "mae", backend=BACKEND[OTHER[suffix]])


def _convert_law(sources, folder, suffix):
    assert visible(sources, folder / "f" / "mae") == {"a": 2, "b": 1, "c": 1}


def _converted(sources, folder, suffix):
    sources.write(folder / "f" / f"mae{OTHER[suffix]}", ["a", "b"], [("a", 2), ("c", 1)])
    convert_store(folder / "f" / "mae", backend=BACKEND[suffix])


def _convert_copy(folder, suffix):
    backend = BACKEND[OTHER[suffix]]
    convert_store(folder / "f" / "mae", backend=backend, dtype="float32", name="wide")


def _copy_law(sources, folder, suffix):
    _convert_law(sources, folder, suffix)
    if "wide" in list_stores(folder / "f"):
        _wide_law(sources, folder / "f" / "wide")


def _wide_law(sources, path):
    with open_store(path) as store:
        assert {video: store[video].version for video in store} == {"a": 2, "b": 1, "c": 1}
        for video, record in store.items():
            expected = sources(video, record.version).rows.astype("f2").astype(store.dtype)
            np.testing.assert_array_equal(record.embedding, expected, strict=True)


def _convert_dtype(folder, suffix):
    convert_store(folder / "f" / "mae", dtype="float32")


def _dtype_law(sources, folder, suffix):
    _wide_law(sources, folder / "f" / "mae")


def _labels(sources, folder, suffix):
    write_labels(folder / "f" / f"labels{suffix}", make_table())


def _convert_labels(folder, suffix):
    convert_store(folder / "f" / "labels", backend=BACKEND[OTHER[suffix]])


def _labels_law(sources, folder, suffix):
    table = open_store(folder / "f" / "labels").table
    np.testing.assert_array_equal(table.valence, make_table().valence)


TOOLS = [
    Tool("merge into a new store", _merge_sources, _merge, _merge_law(GONE, MERGED)),
    Tool("merge into a store that is there", _target, _merge, _merge_law(INTO, INTO | MERGED)),
    Tool("rm a video", _store, _remove_video, _remove_video_law, is_one_tree=False),
    Tool("rm a store", _store, _remove, _remove_law),
    Tool("rm a store of two forms", _both_forms, _remove, _remove_both_law),
    Tool("repair", _damaged, _repair, _repair_law, is_one_tree=False),
    Tool("repair of a root", _damaged_root, _repair, _root_law, is_one_tree=False),
    Tool("convert", _store, _convert, _convert_law),
    Tool("convert back", _converted, _convert, _convert_law),
    Tool("convert to a new name and type", _store, _convert_copy, _copy_law),
    Tool("convert the type", _store, _convert_dtype, _dtype_law),
    Tool("convert labels", _labels, _convert_labels, _labels_law),
]
