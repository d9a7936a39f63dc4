"""Stores on object storage, where nothing can be renamed.

A writer dies, or has one failed request, before and after each of its sets and deletes in turn.
After each: the store opens, every visible video is right, every committed video is there, and the
resumed store is bit-identical to the uninterrupted one.
"""

import json
import pickle
import threading
from datetime import timedelta

import numpy as np
import pytest
import zarr
from zarr.abc.store import Store
from zarr.storage import FsspecStore, LocalStore, MemoryStore, WrapperStore

from abaw.cache import (
    CacheError,
    CorruptStoreError,
    LockedError,
    ObjectPath,
    StoreExistsError,
    StoreMissingError,
    list_stores,
    object_lock,
    object_store,
    objects,
    open_store,
)

KEY = "features/mae.zarr"


class DeathError(Exception):
    """The writer is dead: nothing that it asks of the store is done any more."""


class Mortal(WrapperStore):
    """Ends its user at the k-th set or delete, before it is done or after.

    One that only `stumbles` has an error there and goes on, as when a connection breaks.
    """

    def __init__(self, store, at=None, *, is_done=False, stumbles=False):
        super().__init__(store)
        self.at, self.is_done, self.stumbles = at, is_done, stumbles
        self.n_steps, self.is_dead = 0, False

    def _check(self):
        if self.is_dead:
            raise DeathError

    async def _step(self, function, *args):
        self._check()
        self.n_steps += 1
        if self.n_steps != self.at:
            return await function(*args)
        self.is_dead = not self.stumbles
        if self.is_done:
            await function(*args)
        raise ConnectionError if self.stumbles else DeathError

    async def set(self, key, value):
        await self._step(self._store.set, key, value)

    async def set_if_not_exists(self, key, value):
        await self._step(self._store.set_if_not_exists, key, value)

    async def delete(self, key):
        await self._step(self._store.delete, key)

    async def get(self, key, prototype, byte_range=None):
        self._check()
        return await self._store.get(key, prototype, byte_range)

    async def exists(self, key):
        self._check()
        return await self._store.exists(key)

    def list_dir(self, prefix):
        self._check()
        return self._store.list_dir(prefix)

    def list_prefix(self, prefix):
        self._check()
        return self._store.list_prefix(prefix)


class Listening(WrapperStore):
    """Remembers how many bytes of which object were fetched."""

    def __init__(self, store):
        super().__init__(store)
        self.fetched = []

    async def get(self, key, prototype, byte_range=None):
        found = await self._store.get(key, prototype, byte_range)
        self.fetched.append((key.rpartition("mae.zarr/")[2], None if found is None else len(found)))
        return found


class LooksThenWrites(MemoryStore):
    """A store that has nothing better than what zarr gives to every store."""

    set_if_not_exists = Store.set_if_not_exists


def memory_store(path):
    return MemoryStore()


def folder_store(path):
    return LocalStore(path / "bucket")


def fsspec_store(path):
    return FsspecStore.from_url(f"memory://{path.name}")


@pytest.fixture
def place():
    return ObjectPath(MemoryStore(), KEY)


def copy_of(path):
    """Return the same path in a copy of its store."""
    return ObjectPath(MemoryStore(dict(path.store._store_dict)), path.key)


def keys_of(path):
    return sorted(objects.keys_under(path))


def write(kit, path, sources, *, version=1, compact=True):
    with kit.open_writer(path) as writer:
        for source in sources:
            kit.add_whole(writer, source, version)
            writer.flush()
        if compact:
            writer.compact()


# --- contents ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("make", [memory_store, folder_store, fsspec_store])
def test_a_store_in_objects_is_bit_identical_to_one_in_files(
    kit, tmp_path, monkeypatch, make, dtype
):
    monkeypatch.setattr("abaw.cache.zarr_tree.CHUNK_BYTES", 4 * kit.DIM * 2)  # several chunks
    spec = kit.make_spec(dtype=dtype)
    sources = [kit.make_source(f"v/{n}", 5 + n, unreadable=[1]) for n in range(3)]
    place = ObjectPath(make(tmp_path), KEY)
    snapshots = []
    for name in ("h5", "zarr"):
        (tmp_path / name).mkdir()
    for path in (tmp_path / "h5" / "mae.h5", tmp_path / "zarr" / "mae.zarr", place):
        with kit.open_writer(path, spec) as writer:
            for source in sources:
                kit.add_whole(writer, source)
                writer.flush()
            with open_store(path) as store:
                assert store.n_parts == 4
                for source in sources:
                    kit.assert_holds(store, source)
            writer.compact(break_lock=make is fsspec_store)
        with open_store(path) as store:
            for source in sources:
                kit.assert_holds(store, source)
            cut = store.read(["v/2"], [slice(1, 5)])[0][0]
            np.testing.assert_array_equal(cut, sources[2].rows[1:5].astype(dtype))
            assert not cut.flags.writeable
        snapshots.append(kit.snapshot(path))
    assert snapshots[0] == snapshots[1] == snapshots[2]
    assert not [key for key in keys_of(place) if key.startswith("parts/")]


def test_objects_that_are_copied_to_a_folder_are_a_store_in_files(kit, place, tmp_path):
    sources = [kit.make_source("a", 3), kit.make_source("b", 2)]
    write(kit, place, sources[:1])
    write(kit, place, sources[1:], compact=False)
    for key in keys_of(place):
        file = tmp_path / "mae.zarr" / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(objects.read(place / key))
    with kit.open_writer(tmp_path / "mae.zarr") as writer:
        writer.compact()
    with open_store(tmp_path / "mae.zarr") as store:
        for source in sources:
            kit.assert_holds(store, source)


def test_zarr_itself_reads_what_is_in_objects(kit, place):
    source = kit.make_source("a", 9, unreadable=[3])
    write(kit, place, [source])
    root = zarr.open_group(place.store, path=KEY, mode="r")
    group = root[root.attrs["current"]]
    np.testing.assert_array_equal(group["embedding"][...], source.rows.astype("f2"), strict=True)
    np.testing.assert_array_equal(group["index/length"][...], [8])
    assert sorted(name for name, _ in group.groups()) == ["index", "report"]


def test_a_segment_fetches_its_own_bytes_only(kit, place, monkeypatch):
    monkeypatch.setattr("abaw.cache.zarr_tree.CHUNK_BYTES", 10 * kit.DIM * 2)
    source = kit.make_source("a", 20)
    write(kit, place, [source])
    listening = Listening(place.store)
    with open_store(ObjectPath(listening, KEY)) as store:
        assert not [key for key, _ in listening.fetched if "/embedding/c/" in key]
        listening.fetched.clear()
        rows = store.read(["a"], [slice(8, 13)])[0][0]
        empty = store.read(["a"], [slice(20, 30)])[0][0]
    np.testing.assert_array_equal(rows, source.rows[8:13].astype("f2"))
    assert empty.shape == (0, kit.DIM)
    row = kit.DIM * 2
    assert [(key.split("/", 1)[1], size) for key, size in listening.fetched] == [
        ("embedding/c/0/0", 2 * row),
        ("embedding/c/1/0", 3 * row),
    ]


# --- crashes -----------------------------------------------------------------------------------


def job(kit, path, sources, tell=lambda videos: None, *, is_compacted=True, break_lock=False):
    """Bring the store to `sources`, whatever is there: only what is missing is added."""
    done = []
    with kit.open_writer(path) as writer:
        for source in sources:
            state, version, gaps = writer.state(source.video), 1, [(0, source.total)]
            if state is not None:
                is_current = all(
                    piece.input_hash
                    == source.hash(piece.source_start, piece.source_start + piece.source_length)
                    for piece in state.pieces
                )
                version = state.version + (0 if is_current else 1)
                gaps = state.missing if is_current else gaps
            for first, last in gaps:
                for start in range(first, last, 3):
                    stop = min(start + 3, last)
                    writer.add(source.video, **source.piece(start, stop, version))
                    writer.flush()
            done.append(source.video)
            tell(list(done))
        if is_compacted:
            writer.compact(break_lock=break_lock)


def scenario(kit, name):
    """Return (path before, sources before, sources after, whether the job compacts)."""
    long, short = kit.make_source("long", 5, unreadable=[1]), kit.make_source("a/short", 1)
    path = ObjectPath(MemoryStore(), KEY)
    if name == "part":
        return path, [], [long, short], False
    job(kit, path, [long, short])
    if name == "replace":
        return path, [long, short], [kit.make_source("long", 5, seed=1), short], False
    changed = [kit.make_source("long", 4, seed=2), short, kit.make_source("new", 2)]
    job(kit, path, changed, is_compacted=False)
    return path, changed, changed, True


def check_after_death(kit, path, old, new, acknowledged):
    """Assert that what is visible is right and that nothing committed is lost."""
    before = {source.video: source for source in old}
    after = {source.video: source for source in new}
    try:
        store = open_store(path)
    except StoreMissingError:
        assert not before
        assert not acknowledged
        return
    with store:
        for video, record in store.items():
            is_new = record.input_hash == after[video].hash()
            kit.assert_holds(store, (after if is_new else before)[video])
        assert before.keys() | set(acknowledged) <= store.keys()
        for video in acknowledged:
            assert store[video].input_hash == after[video].hash()


def is_locked(path):
    return objects.read(path / "parts" / "lock") is not None


def die_everywhere(kit, name, *, is_done, stumbles=False):
    """End the writer at each of its sets and deletes in turn; return how often that was done."""
    start, old, new, is_compacted = scenario(kit, name)
    whole = copy_of(start)
    job(kit, whole, new)
    expected = kit.snapshot(whole)
    n_fired = 0
    while True:
        path = copy_of(start)
        mortal = Mortal(path.store, n_fired + 1, is_done=is_done, stumbles=stumbles)
        acknowledged = []
        try:
            job(kit, ObjectPath(mortal, KEY), new, acknowledged.extend, is_compacted=is_compacted)
        except (DeathError, ConnectionError):
            n_fired += 1
        else:
            assert mortal.n_steps < mortal.at
            return n_fired
        check_after_death(kit, path, old, new, acknowledged)
        job(kit, path, new, break_lock=is_locked(path))
        assert kit.snapshot(path) == expected
        assert not is_locked(path)


@pytest.mark.heavy
@pytest.mark.parametrize("stumbles", [False, True], ids=["dies", "stumbles"])
@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", ["part", "replace", "compact"])
def test_a_writer_that_ends_at_any_set_or_delete_loses_nothing(
    kit, name, is_done, stumbles, record_property
):
    n_fired = die_everywhere(kit, name, is_done=is_done, stumbles=stumbles)
    record_property("ends", n_fired)
    how = f"{'stumbles' if stumbles else 'dies'} {'after' if is_done else 'before'}"
    print(f"{name}: the writer {how} each of {n_fired} sets and deletes")
    assert n_fired >= 50


def write_index_before_rows(monkeypatch):
    """Hold the chunks of rows back until the object is written that makes their tree visible."""
    write_object, held = objects.write, []

    def write_late(path, data):
        if "/embedding/c/" in path.key or "/frame/c/" in path.key:
            held.append((path, data))
            return
        write_object(path, data)
        if path.parent.name.startswith(("rows-", "0")) and path.name == "zarr.json":
            for one in held:
                if one[0].store is path.store:  # else its writer is dead
                    write_object(*one)
            held.clear()

    monkeypatch.setattr(objects, "write", write_late)


def test_the_check_catches_an_index_that_is_written_before_its_rows(kit, monkeypatch):
    write_index_before_rows(monkeypatch)
    with pytest.raises((AssertionError, CacheError)) as caught:
        die_everywhere(kit, "part", is_done=False)
    print(f"{type(caught.value).__name__}: {caught.value}")


def test_readers_beside_a_writer_see_whole_videos_and_are_never_refused(kit, place):
    sources = {f"v{n:02d}": kit.make_source(f"v{n:02d}", 4, unreadable=[2]) for n in range(12)}
    write(kit, place, [])

    def extract():
        for number, source in enumerate(sources.values()):
            with kit.open_writer(place) as writer:
                for start in (0, 2):
                    writer.add(source.video, **source.piece(start, start + 2))
                    writer.flush()
                if number % 2:
                    writer.compact()

    worker = threading.Thread(target=extract)
    worker.start()
    seen, n_opened = 0, 0
    while worker.is_alive():
        with open_store(place) as store:
            assert len(store) >= seen
            seen, n_opened = len(store), n_opened + 1
            for video in store:
                try:
                    kit.assert_holds(store, sources[video])
                except CorruptStoreError:
                    raise
                except CacheError:  # compacted meanwhile; the message says so
                    continue
    worker.join()
    print(f"{n_opened} readers")
    assert n_opened >= 5
    assert list(open_store(place)) == list(sources)


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


# --- what dead writers leave -------------------------------------------------------------------


def test_what_a_dead_writer_left_is_ignored_and_removed_after_a_day(kit, place, monkeypatch):
    source = kit.make_source("a", 4)
    write(kit, place, [source])
    complete = keys_of(place)
    mortal = Mortal(place.store, 20)
    with pytest.raises(DeathError):
        write(kit, ObjectPath(mortal, KEY), [kit.make_source("b", 4)], compact=False)
    left = set(keys_of(place)) - set(complete)
    assert len(left) == 19
    assert not [key for key in left if key.count("/") == 2 and key.endswith("/zarr.json")][1:]
    assert list(open_store(place)) == ["a"]
    with kit.open_writer(place):
        assert left < set(keys_of(place)), "it may be written this moment"
    now = object_store._now() + timedelta(hours=25)
    monkeypatch.setattr(object_store, "_now", lambda: now)
    with kit.open_writer(place):
        assert keys_of(place) == complete


def test_a_compacted_group_that_the_root_never_named_is_removed_by_the_next_one(kit, place):
    write(kit, place, [kit.make_source("a", 4)])
    write(kit, place, [kit.make_source("b", 4)], compact=False)
    trial = copy_of(place)
    counting = Mortal(trial.store)
    with kit.open_writer(ObjectPath(counting, KEY)) as writer:
        writer.compact()
    (old,) = {key.split("/")[0] for key in keys_of(place) if key.startswith("rows-")}
    n_sets = sum(key.startswith("rows-") for key in keys_of(trial)) + 1  # and the lock
    mortal = Mortal(place.store, n_sets + 1)
    with kit.open_writer(ObjectPath(mortal, KEY)) as writer, pytest.raises(DeathError):
        writer.compact()
    groups = {key.split("/")[0] for key in keys_of(place) if key.startswith("rows-")}
    assert len(groups) == 2
    assert json.loads(objects.read(place / "zarr.json"))["attributes"]["current"] == old
    with kit.open_writer(place) as writer:
        writer.compact(break_lock=True)
    (last,) = {key.split("/")[0] for key in keys_of(place) if key.startswith("rows-")}
    assert last.startswith("rows-00000003-")


def test_a_part_that_took_too_long_is_not_published(kit, place, monkeypatch):
    begun = object_store._now()
    with kit.open_writer(place) as writer:
        kit.add_whole(writer, kit.make_source("a", 2))
        times = iter([begun, begun + timedelta(hours=13), begun + timedelta(hours=13)])
        monkeypatch.setattr(object_store, "_now", lambda: next(times, begun))
        with pytest.raises(CacheError, match=r"within 12:00:00, but took 13:00:00"):
            writer.flush()
        assert list(open_store(place)) == []
        writer.flush()
    assert list(open_store(place)) == ["a"]


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


# --- paths -------------------------------------------------------------------------------------


def test_a_store_is_found_without_its_suffix_and_a_missing_one_names_what_is_near(kit, place):
    write(kit, place, [kit.make_source("a", 2)])
    assert list(open_store(place.with_suffix(""))) == ["a"]
    assert list_stores(place.parent) == ["mae"]
    assert list_stores(ObjectPath(place.store, "")) == []
    with pytest.raises(StoreMissingError, match=r"no store .*features/mea.zarr; .*mae"):
        open_store(place.with_name("mea.zarr"))
    with pytest.raises(CacheError, match=r"key of a store ends in \.zarr, but got .*mae\.h5"):
        kit.open_writer(place.with_suffix(".h5"))
    with pytest.raises(StoreExistsError, match=r"MAE\.zarr needs a name .*mae\.zarr exists"):
        kit.open_writer(place.with_name("MAE.zarr"))


def test_a_store_in_objects_is_pickled_by_its_path(kit, tmp_path):
    place = ObjectPath(LocalStore(tmp_path), KEY)
    source = kit.make_source("a", 2)
    write(kit, place, [source])
    with pickle.loads(pickle.dumps(open_store(place))) as store:
        kit.assert_holds(store, source)


@pytest.mark.parametrize("key", ["a//b", "../a", "/a", "a/"])
def test_a_key_with_an_empty_part_or_dots_is_refused(key):
    with pytest.raises(ValueError, match=f"must have no part .*{key!r}"):
        ObjectPath(MemoryStore(), key)
