"""A tool after one that was ended, or is done: it brings that to its end and loses nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from abaw.cache import (
    StoreExistsError,
    StoreMissingError,
    VideoMissingError,
    convert_store,
    list_stores,
    merge_stores,
    open_store,
    remove_named,
    write_labels,
)
from abaw.cache import convert as convert_module
from abaw.cache.backend import read_trees, temporary_path
from abaw.cache.catalog import Catalog
from abaw.cache.copying import write_merged
from abaw.cache.index import StoreHead
from abaw.cache.locate import backend_of
from abaw.core.errors import UsageError

from .stores import BACKEND, OTHER, Sources
from .test_labels import make_table


@pytest.fixture
def sources(kit):
    return Sources(kit)


def convert_and_end_before_the_removal(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Convert a store to its other form as a process does that ends before the old one is gone."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    suffix = OTHER[path.suffix]
    with monkeypatch.context() as patch:
        patch.setattr(convert_module, "remove_store", killed)
        with pytest.raises(KeyboardInterrupt):
            convert_store(path, backend=BACKEND[suffix])
    return path.with_suffix(suffix)


@pytest.mark.parametrize("kind", ["embeddings", "labels"])
def test_of_a_store_converted_back_the_newer_form_counts(sources, path, monkeypatch, kind):
    """Each form says that it took the place of the other one; only one does so of what is there."""
    if kind == "labels":
        path = write_labels(path.with_stem("labels"), make_table())
    else:
        sources.write(path, ["a", "b"])
    other = convert_store(path, backend=BACKEND[OTHER[path.suffix]])
    convert_and_end_before_the_removal(other, monkeypatch)
    assert path.exists()
    assert other.exists()
    with open_store(path.with_suffix("")) as store:
        assert store.path == path
    assert convert_store(path, backend=BACKEND[path.suffix]) == path
    assert not other.exists()


def test_a_conversion_that_was_ended_is_brought_to_its_end_by_the_same_call(
    sources, path, monkeypatch
):
    sources.write(path, ["a", "b"])
    new = convert_and_end_before_the_removal(path, monkeypatch)
    assert convert_store(path.with_suffix(""), backend=BACKEND[new.suffix]) == new
    assert not path.exists()
    assert list(open_store(new)) == ["a", "b"]
    assert convert_store(new, backend=BACKEND[new.suffix]) == new  # it is done
    assert convert_store(new, dtype="float32") == convert_store(new, dtype="float32")
    with pytest.raises(UsageError, match="already"):
        convert_store(new)


def test_a_store_in_two_forms_is_removed_in_both(sources, path, monkeypatch):
    sources.write(path, ["a"])
    convert_and_end_before_the_removal(path, monkeypatch)
    remove_named(path.parent, ["mae"])
    assert list_stores(path.parent) == []
    assert list(path.parent.iterdir()) == []


def test_a_store_in_two_forms_takes_in_others(sources, path, monkeypatch):
    sources.write(path, ["a"])
    new = convert_and_end_before_the_removal(path, monkeypatch)
    sources.write(path.parent / "two" / path.name, ["b"])
    assert merge_stores([path.parent / "two" / path.name], new) == 2
    assert list(open_store(path.with_suffix(""))) == ["a", "b"]
    assert not path.exists()


def test_a_merge_keeps_attributes_that_it_does_not_know(sources, path):
    sources.write(path, ["a"])
    backend = backend_of(path)
    trees = read_trees(backend, path, map_rows=True)
    head = StoreHead.of_tree(trees[0], sources.kit.make_spec())
    head = StoreHead(head.spec, head.provenance, head.run_settings, {"later": "kept"})
    with backend.write_base(path) as writer:
        write_merged(writer, Catalog(trees), head)
    sources.write(path.parent / "two" / path.name, ["b"])
    merge_stores([path.parent / "two" / path.name], path)
    assert read_trees(backend, path, map_rows=False)[0].attributes["later"] == "kept"


@pytest.mark.parametrize("kind", ["embeddings", "labels"])
def test_a_copy_takes_no_other_stores_name(sources, path, kind):
    if kind == "labels":
        one = write_labels(path.with_stem("labels"), make_table())
        two = write_labels(
            path.with_stem("labels_b"),
            make_table(meta={"sources": [{"split": "val", "sha256": "cd"}]}),
        )
    else:
        one, two = path, path.with_stem("two")
        sources.write(one, ["a"])
        sources.write(two, ["x", "y"], pool="mean")
    before = list(open_store(two))
    with pytest.raises(StoreExistsError, match=r"does not hold what .* does; choose another"):
        convert_store(one, name=two.stem)
    assert list(open_store(two)) == before
    copy = convert_store(one, name=f"{one.stem}_c")
    stamp = copy.stat().st_mtime_ns
    assert convert_store(one, name=f"{one.stem}_c") == copy  # it is there already
    assert copy.stat().st_mtime_ns == stamp
    if kind == "embeddings":
        sources.write(one, [], [("b", 1)])
        with pytest.raises(StoreExistsError):
            convert_store(one, name=f"{one.stem}_c")


def dead(path: Path) -> Path:
    """Return the temporary name that a process which has ended gave to `path`."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return path.with_name(temporary_path(path).name.replace(f"-{os.getpid()}-", f"-{child.pid}-"))


def test_what_a_removal_left_is_removed_by_the_next(sources, path):
    sources.write(path, ["a"])
    doomed = dead(path)
    path.rename(doomed)
    with pytest.raises(StoreMissingError):
        remove_named(path.parent, ["mae"])
    assert not doomed.exists()
    sources.write(path, ["a"])
    path.rename(doomed)
    with sources.kit.open_writer(path):  # a new store of the name does so too
        assert not doomed.exists()


def test_a_zarr_root_that_is_gone_takes_no_group_with_it(sources, tmp_path):
    """A group without a name can be all there is of a store whose root was lost."""
    path = tmp_path / "mae.zarr"
    sources.write(path, ["a"], [("b", 1)])
    (group,) = path.glob("rows-*")
    root = (path / "zarr.json").read_bytes()
    (path / "zarr.json").unlink()
    with pytest.raises(VideoMissingError, match="no video 'a'"):
        remove_named(tmp_path, ["mae"], ["a"])
    assert group.exists()
    (path / "zarr.json").write_bytes(root)
    assert json.loads(root)["attributes"]["current"] == group.name
    assert list(open_store(path)) == ["a", "b"]
