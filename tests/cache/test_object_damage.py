"""Stores on object storage refuse damage, and one writer at a time compacts them."""

import json

import pytest
from zarr.storage import MemoryStore, WrapperStore

from abaw.cache import (
    CacheError,
    CorruptStoreError,
    LockedError,
    ObjectPath,
    object_lock,
    object_store,
    objects,
    open_store,
)

from .objects_made import KEY, LooksThenWrites, is_locked, write

pytestmark = pytest.mark.heavy


@pytest.fixture
def place():
    return ObjectPath(MemoryStore(), KEY)


# --- damage ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["embedding/c/0/0", "frame/c/0", "index/start/c/0"])
def test_a_missing_chunk_is_an_error_and_never_the_fill_value(kit, place, name):
    write(kit, place, [kit.make_source("a", 9)])
    (key,) = [key for key in place.store._store_dict if key.endswith(name)]
    with open_store(place) as store:
        del place.store._store_dict[key]
        if name.startswith("embedding"):
            with pytest.raises(CorruptStoreError, match=f"{key} must be there, but is missing"):
                store["a"]
    with pytest.raises(CorruptStoreError, match=f"{key} must be there, but is missing"):
        open_store(place)


def test_a_short_chunk_is_refused_when_its_rows_are_read(kit, place):
    write(kit, place, [kit.make_source("a", 9)])
    (key,) = [key for key in place.store._store_dict if key.endswith("embedding/c/0/0")]
    place.store._store_dict[key] = place.store._store_dict[key][:-1]
    with (
        open_store(place) as store,
        pytest.raises(CorruptStoreError, match=r"embedding/c/0/0 must have 90 bytes, but has 89"),
    ):
        store["a"]


def test_rows_that_were_compacted_away_tell_the_reader_to_open_again(kit, place):
    source = kit.make_source("a", 3)
    write(kit, place, [source], compact=False)
    with open_store(place) as store:
        write(kit, place, [kit.make_source("b", 2)])
        with pytest.raises(CacheError, match=r"parts/00000002-.* was compacted .* open the store"):
            store["a"]
    with open_store(place) as store:
        kit.assert_holds(store, source)


# --- the lock ----------------------------------------------------------------------------------


def test_a_held_lock_is_refused_with_its_holder_and_can_be_broken(kit, place):
    write(kit, place, [kit.make_source("a", 2)], compact=False)
    owner = {"host": "node7", "pid": 4321, "since": "2026-01-02T03:04:05+00:00", "token": "0"}
    objects.write(place / "parts" / "lock", json.dumps(owner).encode())
    with kit.open_writer(place) as writer:
        pattern = r"process 4321 of node7 \(since 2026-01-02.*parts/lock.*--break-lock"
        with pytest.raises(LockedError, match=pattern):
            writer.compact()
        assert open_store(place).n_parts == 2
        writer.compact(break_lock=True)
    assert open_store(place).n_parts == 0
    assert not is_locked(place)


def test_a_compaction_whose_lock_was_broken_changes_nothing(kit, place, monkeypatch):
    write(kit, place, [kit.make_source("a", 2)])
    root = objects.read(place / "zarr.json")
    publish = object_store.ZarrTreeWriter.publish

    def break_then_publish(self):
        owner = {"host": "node7", "pid": 4321, "since": "now"}
        objects.write(place / "parts" / "lock", json.dumps(owner).encode())
        publish(self)

    with kit.open_writer(place) as writer:
        kit.add_whole(writer, kit.make_source("b", 2))
        writer.flush()
        monkeypatch.setattr(object_store.ZarrTreeWriter, "publish", break_then_publish)
        with pytest.raises(LockedError, match=r"process 4321 of node7 .* has broken it"):
            writer.compact()
        monkeypatch.undo()
    assert objects.read(place / "zarr.json") == root
    assert is_locked(place), "it is the other's"
    assert list(open_store(place)) == ["a", "b"]


def test_one_of_two_that_want_the_lock_gets_it(place):
    path = place / "parts" / "lock"
    with object_lock.object_lock(path, wait=True, break_lock=False) as first:
        first.check()
        with object_lock.object_lock(path, wait=False, break_lock=False) as second:
            assert second is None
    assert not is_locked(place)


def test_a_store_that_cannot_create_for_one_writer_is_not_compacted_unasked(kit):
    place = ObjectPath(WrapperStore(LooksThenWrites()), KEY)
    with kit.open_writer(place) as writer:
        kit.add_whole(writer, kit.make_source("a", 2))
        with pytest.raises(LockedError, match=r"looks first and then writes .*--break-lock"):
            writer.compact()
        assert list(open_store(place)) == ["a"]
        writer.compact(break_lock=True)
    assert open_store(place).n_parts == 0
