"""Writers with one thing wrong: the replay of power cuts has to catch each."""

import os
import stat
from contextlib import contextmanager

import pytest

from abaw.cache import backend, h5_store, zarr_store
from abaw.core import files

from .cuts import Stores, counts, recorded, replay
from .jobs import make_few_sources
from .wrong_writers import write_index_before_rows, write_under_the_final_name


def _fsync_only(is_kept):
    fsync = os.fsync

    def some(descriptor):
        if is_kept(os.fstat(descriptor).st_mode):
            fsync(descriptor)

    os.fsync = some


def no_fsync_of_files():
    """Rename what is not on the disk."""
    _fsync_only(stat.S_ISDIR)


def no_fsync_of_folders():
    """Leave the rename to the file system."""
    _fsync_only(lambda mode: not stat.S_ISDIR(mode))


def no_fsync_of_new_folders():
    """Bring what lies in a new folder to the disk, but not its name."""

    def make_folder(folder):
        folder.mkdir(parents=True, exist_ok=True)

    h5_store.make_folder = zarr_store.make_folder = make_folder


def remove_parts_before_the_tree_is_named():
    """Make room too early."""
    for kind in (h5_store.H5Backend, zarr_store.ZarrBackend):
        whole = kind.write_base

        @contextmanager
        def write_base(self, store, whole=whole):
            with whole(self, store) as writer:
                yield writer
                parts = self.list_parts(store)
                self.remove_parts(parts)

        kind.write_base = write_base


def remove_files_of_a_part_before_its_new_name_is_safe():
    """Take a part apart while it may still have the name of a part."""
    names_first = zarr_store.ZarrBackend.remove_parts

    def remove_parts(self, parts):
        zarr_store.fsync_folder = lambda folder: None
        names_first(self, parts)
        zarr_store.fsync_folder = files.fsync_folder

    zarr_store.ZarrBackend.remove_parts = remove_parts


def trust_folders_that_are_there():
    """Take a folder for safe because somebody has made it."""
    make_folder = files.make_folder

    def make_new_folder(folder):
        if not folder.is_dir():
            make_folder(folder)

    files.make_folder = h5_store.make_folder = zarr_store.make_folder = make_new_folder


def trust_names_of_abandoned_temporaries():
    """Take what a killed compaction has renamed apart, while it may still have its old name."""
    backend.fsync_folder = lambda folder: None


FAULTS = [
    no_fsync_of_files,
    no_fsync_of_folders,
    no_fsync_of_new_folders,
    write_under_the_final_name,
    write_index_before_rows,
    remove_parts_before_the_tree_is_named,
]


@pytest.mark.heavy
def test_the_replay_catches_a_part_that_is_taken_apart_under_its_name(kit, path):
    if path.suffix == ".h5":
        pytest.skip("a part of this backend is one file: it has one name and is gone with it")
    stores = recorded(kit, path, remove_files_of_a_part_before_its_new_name_is_safe)
    tally = replay(stores.trace, stores.check(0), 200)
    print(f"removal without fsync, {path.suffix}: {tally}")
    assert tally.failures


@pytest.mark.heavy
@pytest.mark.parametrize("fault", FAULTS)
def test_the_replay_catches_a_writer_that_is_wrong(kit, path, fault):
    stores = recorded(kit, path, fault)
    tally = replay(stores.trace, stores.check(0), counts(path.suffix, 200, 80))
    print(f"{fault.__name__}, {path.suffix}: {tally}")
    assert tally.failures


def is_new_folder(record):
    return record[0] == "mkdir"


def is_part_that_loses_its_name(record):
    return record[0] == "rename" and backend.PART_NAME.match(record[2]) and ".tmp-" in record[4]


@pytest.mark.heavy
@pytest.mark.parametrize("is_wrong", [False, True], ids=["right", "wrong"])
@pytest.mark.parametrize(
    ("moment", "fault"),
    [
        (is_new_folder, trust_folders_that_are_there),
        (is_part_that_loses_its_name, trust_names_of_abandoned_temporaries),
    ],
)
def test_a_writer_relies_on_nothing_that_a_killed_one_left_unsynced(
    kit, path, moment, fault, is_wrong
):
    jobs = [make_few_sources(kit)] * 2
    whole = Stores(kit, path.parent / "whole" / path.name, jobs)
    whole.record(0)
    moments = [n for n, record in enumerate(whole.trace.records()) if moment(record)]
    if not moments:
        pytest.skip("this backend removes a part, which is one file, at once")
    stores = Stores(kit, path.parent / "killed" / path.name, jobs)
    first = stores.record(0, kill_at=moments[0] + 1)
    assert moment(stores.trace.records()[-1])
    stores.record(0, fault if is_wrong else lambda: None)
    tally = replay(stores.trace, stores.check(0), 200, first=first)
    print(f"{fault.__name__} {is_wrong}, {path.suffix}: {tally}")
    assert bool(tally.failures) is is_wrong, "\n".join(tally.failures[:1])
