"""Convert, merge, rm and du: what goes in comes out, and what is not right is refused."""

import os
from pathlib import Path

import numpy as np
import pytest
from zarr.storage import MemoryStore

from abaw.cache import (
    CacheError,
    FingerprintError,
    ObjectPath,
    StoreExistsError,
    StoreMissingError,
    VideoMissingError,
    convert_store,
    disk_usage,
    list_stores,
    merge_stores,
    open_store,
    remove_named,
    usage_text,
    verify_store,
    write_labels,
)
from abaw.cache import convert as convert_module
from abaw.core.errors import UsageError

OTHER = {".h5": ("zarr", ".zarr"), ".zarr": ("hdf5", ".h5")}


def write(kit, path: Path, sources: list, *, compacted: bool = True, **spec) -> list:
    with kit.open_writer(path, kit.make_spec(**spec)) as writer:
        for source in sources:
            kit.add_whole(writer, source)
            writer.flush()
        if compacted:
            writer.compact()
    return sources


def some(kit, *names: str, seed: int = 0) -> list:
    return [kit.make_source(name, 5 + n, seed, unreadable=[1]) for n, name in enumerate(names)]


@pytest.mark.parametrize("compacted", [True, False], ids=["compacted", "parts"])
def test_the_other_form_holds_the_same_and_takes_the_old_ones_place(kit, path, compacted: bool):
    sources = write(kit, path, some(kit, "a", "b/c"), compacted=compacted)
    longer = kit.make_source("long", 9)
    with kit.open_writer(path) as writer:  # of a video that was broken off, nothing is lost
        writer.add("long", **longer.piece(0, 4))
    before = open_store(path)
    expected = kit.snapshot(convert_store(path, name="copy", dtype="float32", backend="hdf5"))
    backend, suffix = OTHER[path.suffix]
    new = convert_store(path, backend=backend)
    assert new == path.with_suffix(suffix)
    assert list_stores(path.parent) == ["copy", "mae"]
    assert not path.exists()
    with open_store(path.with_suffix("")) as store:
        assert store.backend == backend
        assert (store.spec, store.provenance) == (before.spec, before.provenance)
        assert store.failures == before.failures
        for source in sources:
            kit.assert_holds(store, source)
    with kit.open_writer(new) as writer:
        assert writer.state("long").missing == [(4, 9)]
    back = convert_store(new, backend=OTHER[suffix][0])
    assert back == path
    assert kit.snapshot(convert_store(path, name="copy2", dtype="float32", backend="hdf5")) == (
        expected
    )


def test_a_conversion_ended_before_the_old_form_was_removed_is_the_new_one(
    kit, path, monkeypatch: pytest.MonkeyPatch
):
    write(kit, path, some(kit, "a"))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(convert_module, "remove_store", killed)
        with pytest.raises(KeyboardInterrupt):
            convert_store(path, backend=OTHER[path.suffix][0])
    new = path.with_suffix(OTHER[path.suffix][1])
    assert path.exists()
    assert new.exists()
    assert open_store(path.with_suffix("")).path == new
    assert list_stores(path.parent) == ["mae"]
    with kit.open_writer(new) as writer:
        kit.add_whole(writer, kit.make_source("b", 3))
        writer.compact()
    assert list(open_store(path.with_suffix(""))) == ["a", "b"]


def test_two_forms_that_do_not_know_each_other_are_refused(kit, path):
    write(kit, path, some(kit, "a"))
    other = path.with_suffix(OTHER[path.suffix][1])
    write(kit, path.parent / "x" / other.name, some(kit, "a"))
    os.rename(path.parent / "x" / other.name, other)  # noqa: PTH104 - a file or a folder
    with pytest.raises(StoreExistsError, match="both"):
        open_store(path.with_suffix(""))


def test_float32_becomes_what_float16_would_have_been_at_once(kit, path):
    sources = write(kit, path, some(kit, "a", "b"), dtype="float32")
    assert convert_store(path, dtype="float16") == path
    once = path.parent / "once" / path.name
    write(kit, once, sources, dtype="float16")
    with open_store(path) as store, open_store(once) as direct:
        assert store.spec == direct.spec
        assert store.loss == direct.loss
        for source in sources:
            kit.assert_holds(store, source)
    assert verify_store(path).problems == []


def test_float16_made_wide_is_another_embedding_that_says_so(kit, path):
    sources = write(kit, path, some(kit, "a"))
    convert_store(path, dtype="float32")
    with open_store(path) as store:
        assert store.spec != kit.make_spec(dtype="float32")
        assert store.spec.options == {"converted_from": "float16"}
        np.testing.assert_array_equal(
            store["a"].embedding, sources[0].rows.astype("f2").astype("f4"), strict=True
        )
    convert_store(path, dtype="float16")
    assert open_store(path).spec == kit.make_spec()


def test_a_number_beyond_float16_is_named_and_nothing_is_changed(kit, path):
    source = kit.make_source("a", 5)
    source.embedding[3, 2] = 1e6
    write(kit, path, [source], dtype="float32")
    with pytest.raises(CacheError, match=rf"dimension 2 of frame {source.number[3]} .* 1e\+06"):
        convert_store(path, dtype="float16")
    with open_store(path) as store:
        kit.assert_holds(store, source)
    assert verify_store(path).problems == []


def test_a_conversion_to_what_it_is_already_is_refused(kit, path):
    write(kit, path, some(kit, "a"))
    with pytest.raises(UsageError, match="of float16 already"):
        convert_store(path, dtype="float16")


def test_merged_stores_are_one_made_in_one_go(kit, path):
    sources = some(kit, "a", "b", "c")
    one, two = path.parent / "1" / path.name, path.parent / "2" / path.name
    write(kit, one, sources[:2])
    write(kit, two, sources[1:], compacted=False)
    assert merge_stores([one, two], path) == 3
    whole = path.parent / "whole" / path.name
    write(kit, whole, sources)
    mine, theirs = kit.snapshot(path), kit.snapshot(whole)
    for attribute in ("@provenance", "@checksum"):  # it tells what it was merged from
        del mine[attribute], theirs[attribute]
    assert mine == theirs
    assert open_store(path).provenance["merged"] == [path.name, path.name]
    assert len(open_store(one)) == 2  # the sources stay as they were


def test_a_store_that_is_there_takes_in_others(kit, path):
    sources = some(kit, "a", "b", "c")
    write(kit, path, sources[:1], compacted=False)
    two = path.parent / "2" / f"other{OTHER[path.suffix][1]}"
    write(kit, two, sources[1:])
    assert merge_stores([two], path) == 3
    with open_store(path) as store:
        assert store.n_parts == 0
        for source in sources:
            kit.assert_holds(store, source)


def test_stores_of_other_embeddings_or_of_other_frames_are_not_merged(kit, path):
    one, two = path.parent / "1" / path.name, path.parent / "2" / path.name
    write(kit, one, some(kit, "a"))
    write(kit, two, some(kit, "a"), pool="mean")
    with pytest.raises(FingerprintError, match=r"pool is 'cls' in mae.* and 'mean' in mae"):
        merge_stores([one, two], path)
    three = path.parent / "3" / path.name
    write(kit, three, some(kit, "a", seed=1))
    with pytest.raises(CacheError, match=r"same frames, but 'a' in .* was not"):
        merge_stores([one, three], path)
    assert not path.exists()


def test_removed_is_removed_and_nothing_else(kit, path):
    sources = write(kit, path, some(kit, "a", "b"), compacted=False)
    write(kit, path.with_stem("other"), some(kit, "a"))
    with pytest.raises(VideoMissingError, match="no video 'x'"):
        remove_named(path.parent, ["mae"], ["a", "x"])
    assert remove_named(path.parent, ["mae"], ["a"]) == "removed 1 videos, 5 frames are left in mae"
    with open_store(path) as store:
        assert list(store) == ["b"]
        kit.assert_holds(store, sources[1])
        with pytest.raises(StoreMissingError):
            remove_named(path.parent, ["mae", "nowhere"])
        assert remove_named(path.parent, ["mae"]) == f"removed {path}"
        kit.assert_holds(store, sources[1])  # what was open stays readable
    assert list_stores(path.parent) == ["other"]
    assert not [item for item in path.parent.iterdir() if item.name.startswith("mae")]
    with pytest.raises(UsageError, match="of one store, but got 2"):
        remove_named(path.parent, ["other", "mae"], ["a"])


def test_what_stores_take_is_what_their_files_take(kit, path):
    write(kit, path, some(kit, "a", "b"), compacted=False)
    write(kit, path.with_stem("whole"), some(kit, "a", "b"))
    found = {usage.name: usage for usage in disk_usage(path.parent)}
    assert (found["mae"].n_parts, found["mae"].files) == (3, 0)
    assert found["mae"].parts > 0
    assert (found["whole"].n_parts, found["whole"].parts, found["whole"].leftovers) == (0, 0, 0)
    whole = path.with_stem("whole")
    if whole.is_file():
        assert found["whole"].files == whole.stat().st_size
    assert [line.split()[0] for line in usage_text(path.parent).splitlines()] == [
        *("store", "mae", "whole", "all"),
    ]


def test_labels_change_their_form_too(kit, path):
    from .test_labels import make_table

    labels = write_labels(path.with_stem("labels"), make_table())
    fingerprint = open_store(labels).fingerprint
    new = convert_store(labels, backend=OTHER[path.suffix][0])
    assert not labels.exists()
    store = open_store(path.parent / "labels")
    assert (store.path, store.fingerprint) == (new, fingerprint)
    np.testing.assert_array_equal(store.table.valence, make_table().valence)
    with pytest.raises(UsageError, match="whose types are fixed"):
        convert_store(new, dtype="float32")


def test_tools_that_need_files_say_so_of_objects(kit):
    place = ObjectPath(MemoryStore(), "features/mae.zarr")
    write(kit, place, some(kit, "a"))
    for tool in (verify_store, lambda path: convert_store(path, name="x")):
        with pytest.raises(CacheError, match="is on object storage; copy it to a folder"):
            tool(place)
