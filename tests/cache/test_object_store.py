"""Stores on object storage hold what stores in files hold, refuse damage, and lock."""

import pickle
import threading

import numpy as np
import pytest
import zarr
from zarr.storage import FsspecStore, LocalStore, MemoryStore, WrapperStore

from abaw.cache import (
    CacheError,
    CorruptStoreError,
    EmbeddingStore,
    ObjectPath,
    StoreExistsError,
    StoreMissingError,
    describe_cache,
    list_stores,
    object_store,
    objects,
    open_store,
)
from abaw.cache.backend import read_trees

from .objects_made import KEY, write

pytestmark = pytest.mark.heavy


class Listening(WrapperStore):
    """Remembers how many bytes of which object were fetched."""

    def __init__(self, store):
        super().__init__(store)
        self.fetched = []

    async def get(self, key, prototype, byte_range=None):
        found = await self._store.get(key, prototype, byte_range)
        self.fetched.append((key.rpartition("mae.zarr/")[2], None if found is None else len(found)))
        return found


def memory_store(path):
    return MemoryStore()


def folder_store(path):
    return LocalStore(path / "bucket")


def fsspec_store(path):
    return FsspecStore.from_url(f"memory://{path.name}")


@pytest.fixture
def place():
    return ObjectPath(MemoryStore(), KEY)


def keys_of(path):
    return sorted(objects.keys_under(path))


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


def places_of(path, place):
    """Yield where the same store may lie: HDF5, Zarr in a folder, Zarr in objects."""
    for folder in ("h5", "zarr"):
        (path / folder).mkdir()
        yield path / folder / f"mae.{folder}"
    yield place


def test_presentation_times_in_objects_are_those_in_files(kit, place, tmp_path, monkeypatch):
    monkeypatch.setattr("abaw.cache.zarr_tree.CHUNK_BYTES", 40)  # of times, 5 a chunk
    sources = [kit.make_source(f"v{n}", 9, unreadable=[2]) for n in range(3)]
    clock = np.cumsum(np.random.default_rng(0).uniform(0.03, 0.05, 9))
    timed = {"v0": [(0, 9)], "v1": [(0, 4)], "v2": []}  # all frames, the first ones, none
    expected = {"v0": clock, "v1": np.where(np.arange(9) < 4, clock, np.nan), "v2": None}

    def assert_times(path, n_parts):
        with open_store(path) as store:
            assert store.n_parts == n_parts
            for source in sources:
                times = expected[source.video]
                kept = None if times is None else times[source.is_readable]
                if kept is None:
                    assert store[source.video].time is None
                else:
                    np.testing.assert_array_equal(store[source.video].time, kept, strict=True)
                    assert not store[source.video].time.flags.writeable

    snapshots = []
    for path in places_of(tmp_path, place):
        with kit.open_writer(path) as writer:
            for source in sources:
                for start, stop in ((0, 4), (4, 9)):
                    is_timed = any(a <= start and stop <= b for a, b in timed[source.video])
                    own = clock[start:stop][source.is_readable[start:stop]]
                    piece = source.piece(start, stop)
                    writer.add(source.video, **piece, time=own if is_timed else None)
                writer.flush()
            assert_times(path, 4)
            writer.compact()
        assert_times(path, 0)
        snapshots.append(kit.snapshot(path))
    assert snapshots[0]["time"] == snapshots[2]["time"]
    assert snapshots[0] == snapshots[1] == snapshots[2]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_loss_of_the_type_and_what_info_says_are_those_of_files(kit, place, tmp_path, dtype):
    sources = [kit.make_source(f"v{n}", 300, unreadable=[1]) for n in range(8)]
    for source in sources:  # more frames than the spread is taken from; the last ones the largest
        source.embedding[:, 2] = source.embedding[:, 2] * 2 + 9
    sources[-1].embedding[-1, 3] = 300
    losses, facts, texts = [], [], []
    for path in places_of(tmp_path, place):
        with kit.open_writer(path, kit.make_spec(dtype=dtype)) as writer:
            for source in sources:
                kit.add_whole(writer, source)
                writer.flush()
            writer.compact()
        with open_store(path) as store:
            losses.append(store.loss)
        described = describe_cache(path.parent, [])
        facts.append({**described.facts["mae"], "store": ""})
        texts.append(described.text().replace("hdf5", "zarr"))
    assert losses[0] == losses[1] == losses[2]
    assert facts[0] == facts[1] == facts[2]
    assert texts[0] == texts[1] == texts[2]
    if dtype == "float32":
        assert losses[2] is None
    else:
        assert losses[2]["dimension"] == 3
        assert "% of a dimension's spread (dimension 3)" in texts[2]


def test_a_type_that_loses_much_is_refused_and_leaves_no_objects(kit, place):
    source = kit.make_source("a", 100)
    source.embedding[:, 2] = 40 + 0.02 * source.embedding[:, 2]
    pattern = r"mae\.zarr would lose too much as float16: in video 'a' dimension 2, .*float32"
    with pytest.raises(CacheError, match=pattern):
        write(kit, place, [source])
    assert keys_of(place) == []


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


@pytest.mark.parametrize("after", ["list_parts", "find_base"])
def test_a_compaction_between_any_two_steps_of_a_reader_hides_nothing(
    kit, place, monkeypatch, after
):
    sources = [kit.make_source(video, 3) for video in "ab"]
    write(kit, place, sources, compact=False)
    step = getattr(object_store.ObjectBackend, after)

    def step_then_compact(self, store):
        found = step(self, store)
        monkeypatch.undo()
        write(kit, place, [])
        return found

    monkeypatch.setattr(object_store.ObjectBackend, after, step_then_compact)
    backend = object_store.ObjectBackend()
    found = EmbeddingStore(backend, place, read_trees(backend, place, map_rows=True))
    assert list(found) == ["a", "b"]
    assert open_store(place).n_parts == 0, "the step was not taken"


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
