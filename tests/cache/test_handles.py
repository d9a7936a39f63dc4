"""What readers hold of the system: files, mappings, and a store in the workers of a loader."""

import gc
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader

from abaw.cache import CorruptStoreError, h5_store, open_store

pytestmark = pytest.mark.heavy

SYSTEM = Path("/proc/self")
needs_proc = pytest.mark.skipif(not SYSTEM.exists(), reason="counts what /proc lists")


def n_held(folder):
    """Return how many descriptors and mappings of files in `folder` this process has."""
    gc.collect()
    open_files = []
    for link in (SYSTEM / "fd").iterdir():
        try:
            open_files.append(str(link.readlink()))
        except FileNotFoundError:  # the descriptor that lists them
            continue
    maps = (SYSTEM / "maps").read_text().splitlines()
    is_ours = re.compile(re.escape(str(folder)))
    return sum(map(bool, map(is_ours.search, open_files))), sum(
        map(bool, map(is_ours.search, maps))
    )


def n_descriptors():
    return len(list((SYSTEM / "fd").iterdir()))


@pytest.fixture
def stored(kit, path):
    """A store of a compacted tree and two parts beside it."""
    sources = [kit.make_source(f"v{n}", 5, unreadable=[2]) for n in range(6)]
    with kit.open_writer(path) as writer:
        for source in sources[:4]:
            kit.add_whole(writer, source)
        writer.compact()
        for source in sources[4:]:
            kit.add_whole(writer, source)
            writer.flush()
    return sources


def open_and_read(kit, path, sources, n_times):
    for n in range(n_times):
        with open_store(path) as store:
            if n % 10 == 0:
                for source in sources:
                    kit.assert_holds(store, source)


def assert_nothing_is_left(kit, path, sources, n_times):
    open_and_read(kit, path, sources, 2)
    before = n_descriptors()
    assert n_held(path.parent) == (0, 0)
    open_and_read(kit, path, sources, n_times)
    assert n_held(path.parent) == (0, 0)
    assert n_descriptors() == before


@needs_proc
def test_an_open_store_holds_its_files_and_a_closed_one_none(kit, path, stored):
    store = open_store(path)
    _, n_maps = n_held(path.parent)
    assert n_maps >= 3
    record = store["v0"]
    store.close()
    assert n_held(path.parent)[1] == 1, "only what the record needs"
    np.testing.assert_array_equal(record.embedding, stored[0].rows.astype("f2"))
    del record
    assert n_held(path.parent) == (0, 0)


@needs_proc
@pytest.mark.heavy
def test_hundreds_of_openings_leave_nothing_open(kit, path, stored):
    assert_nothing_is_left(kit, path, stored, 300)


@needs_proc
@pytest.mark.slow
def test_thousands_of_openings_leave_nothing_open(kit, path, stored):
    assert_nothing_is_left(kit, path, stored, 5000)


@needs_proc
def test_the_count_sees_a_store_that_is_kept(kit, path, stored):
    kept = []

    def keep(found):
        kept.append(found)
        return found

    keep(open_store(path))
    with pytest.raises(AssertionError):
        assert_nothing_is_left(kit, path, stored, 3)


@needs_proc
def test_a_store_that_cannot_be_opened_leaves_nothing_open(path, stored):
    files = [file for file in path.parent.rglob("*") if file.is_file() and file.stat().st_size > 64]
    victim = max(
        files, key=lambda file: (".parts" in str(file) or "parts/" in str(file), str(file))
    )
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) // 2])
    for _ in range(20):
        with pytest.raises(Exception, match="restore it from a copy"):
            open_store(path)
    assert n_held(path.parent) == (0, 0)


def loader(store, start, **options):
    """Return a loader of whole videos: a store is a map, so its ids are the sampler's."""
    return DataLoader(
        store,
        sampler=list(store.videos),
        batch_size=None,
        multiprocessing_context=start,
        **options,
    )


def assert_right(store, record, by_video):
    source = by_video[record.video]
    expected = source.rows.astype(store.dtype)
    np.testing.assert_array_equal(record.embedding, expected, strict=True)
    np.testing.assert_array_equal(record.frame, source.frame, strict=True)


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_the_workers_of_a_loader_read_right_data(kit, path, stored, start):
    by_video = {source.video: source for source in stored}
    with open_store(path) as store:
        workers = loader(store, start, num_workers=2, persistent_workers=True)
        for _ in range(3):
            seen = []
            for record in workers:
                assert_right(store, record, by_video)
                seen.append(record.video)
            assert sorted(seen) == sorted(by_video)


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_workers_read_what_their_store_had_also_after_a_compaction(kit, path, stored):
    """Forked workers share the mapping of files that are removed meanwhile."""
    by_video = {source.video: source for source in stored}
    with open_store(path) as store:
        found = iter(loader(store, "fork", num_workers=1))
        with kit.open_writer(path) as writer:
            writer.compact()
        n_right = 0
        for record in found:
            assert_right(store, record, by_video)
            n_right += 1
        assert n_right == len(by_video)


# --- a name that is opened twice can be two files -------------------------------------------------


def replacing_after_the_open(monkeypatch, path, new):
    """Have a writer put another file in place once a reader has opened the old one."""
    opened = h5_store.h5py.File

    def open_file(name, *args, **kwargs):
        file = opened(name, *args, **kwargs)
        if Path(name) == path and new.exists():
            new.replace(path)
        return file

    monkeypatch.setattr(h5_store.h5py, "File", open_file)


def map_by_path(monkeypatch, path):
    """Put the fault in: map what the name says now, not what HDF5 has open."""
    map_file = h5_store.mmap.mmap

    def mapped(_, length, **kwargs):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            return map_file(descriptor, length, **kwargs)
        finally:
            os.close(descriptor)

    monkeypatch.setattr(h5_store.mmap, "mmap", mapped)


@pytest.mark.parametrize("is_by_path", [False, True])
def test_a_file_replaced_while_it_is_opened_is_read_as_the_one_it_was(
    kit, tmp_path, monkeypatch, is_by_path
):
    path, other = tmp_path / "a" / "mae.h5", tmp_path / "b" / "mae.h5"
    old, new = (kit.make_source("v", 40, seed) for seed in (0, 1))
    for place, source in ((path, old), (other, new)):
        with kit.open_writer(place) as writer:
            kit.add_whole(writer, source)
            writer.compact()
    shutil.move(other, tmp_path / "new")
    if is_by_path:
        map_by_path(monkeypatch, path)
    replacing_after_the_open(monkeypatch, path, tmp_path / "new")

    def read_old():
        with open_store(path) as store:
            kit.assert_holds(store, old)

    if is_by_path:  # rows of the new file under the index of the old one: the checksum tells
        with pytest.raises((AssertionError, CorruptStoreError)):
            read_old()
    else:
        read_old()
    monkeypatch.undo()
    kit.assert_holds(open_store(path), new)
