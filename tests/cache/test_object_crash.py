"""A writer of objects ends at each of its sets and deletes in turn, before or after it is done.

It dies there, or has one failed request. After each: the store opens, every visible video is
right, every committed video is there, and the resumed store is bit-identical to the uninterrupted
one.
"""

import asyncio
import json
from datetime import timedelta

import pytest
from zarr.storage import MemoryStore, WrapperStore

from abaw.cache import (
    CacheError,
    ObjectPath,
    StoreMissingError,
    object_store,
    objects,
    open_store,
)

from .objects_made import KEY, is_locked, write

pytestmark = pytest.mark.heavy


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
            if self.stumbles:  # others are under way when one fails
                await asyncio.sleep(0.001)
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


@pytest.fixture
def place():
    return ObjectPath(MemoryStore(), KEY)


def copy_of(path):
    """Return the same path in a copy of its store."""
    return ObjectPath(MemoryStore(dict(path.store._store_dict)), path.key)


def keys_of(path):
    return sorted(objects.keys_under(path))


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


def check_ages(path):
    """Assert that whatever is left of a group tells when it was begun."""
    left = {}
    for key in keys_of(path):
        group, _, rest = key.removeprefix("parts/").partition("/")
        left.setdefault(group, set()).add(rest)
    for group in left.keys() - {"zarr.json", "lock"}:
        assert any(key.endswith("/zarr.json") for key in left[group]), left[group]


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
        check_ages(path)
        job(kit, path, new, break_lock=is_locked(path))
        assert kit.snapshot(path) == expected
        assert not is_locked(path)


@pytest.mark.heavy
@pytest.mark.parametrize(
    "stumbles", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["dies", "stumbles"]
)
@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "name", ["part", "replace", pytest.param("compact", marks=pytest.mark.slow)]
)
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
    write_objects, held = objects.write_many, []

    def write_late(items):
        for path, data in items:
            if "/embedding/c/" in path.key or "/frame/c/" in path.key:
                held.append((path, data))
                continue
            write_objects([(path, data)])
            if path.parent.name.startswith(("rows-", "0")) and path.name == "zarr.json":
                # Those of another store are a dead writer's.
                write_objects([one for one in held if one[0].store is path.store])
                held.clear()

    monkeypatch.setattr(objects, "write_many", write_late)


def test_the_check_catches_an_index_that_is_written_before_its_rows(kit, monkeypatch):
    write_index_before_rows(monkeypatch)
    with pytest.raises((AssertionError, CacheError)) as caught:
        die_everywhere(kit, "part", is_done=False)
    print(f"{type(caught.value).__name__}: {caught.value}")


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
