"""A power cut at any moment loses nothing that a writer has promised.

A kill leaves every write where it is, so it cannot show a missing fsync. Here the writers' changes
of the file system are recorded, and replayed without what was not brought to the disk; see `power`
for what is assumed of one. After each cut: the store opens, every visible video is right bit for
bit, all that was promised (`flush` or `compact` had returned) is visible, and a resumed writer ends
as the uninterrupted one does.
"""

import os
import random
import shutil
import stat
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from abaw.cache import StoreMissingError, backend, h5_store, open_store, write_labels, zarr_store
from abaw.core import files
from abaw.core.files import write_text_atomic

from .power import KILLED, Disk, Recorder, found_under, lay_out, read_trace
from .test_crash import (
    in_child,
    make_few_sources,
    make_sources,
    run_job,
    write_index_before_rows,
    write_under_the_final_name,
)
from .test_labels import make_table

DTYPE = "float32"


# --- recording and replaying --------------------------------------------------------------------


@dataclass
class Trace:
    """What processes did, one after another, to a folder that was empty."""

    root: Path
    file: Path
    inode: int = 0

    def __post_init__(self):
        self.root.mkdir(parents=True)
        self.inode = self.root.stat().st_ino

    def run(self, job, fault=lambda: None, kill_at=None):
        """Record `job(promise)` in a process of its own; return how many records there are."""

        def recorded(_):
            recorder = Recorder(self.file, self.root, kill_at)
            recorder.arm()
            fault()
            job(recorder.promise)

        status, _ = in_child(recorded)
        assert status == (0 if kill_at is None else KILLED)
        return len(self.records())

    def records(self):
        return read_trace(self.file)

    def assert_complete(self):
        """Assert that the records explain every byte that is there."""
        disk = Disk(self.inode)
        for record in self.records():
            disk.play(record)
        assert disk.before_cut() == found_under(self.root)


@dataclass
class Tally:
    """What came of many power cuts."""

    n: int = 0
    n_lossy: int = 0
    """Where something was really dropped or torn."""
    n_resumed: int = 0
    failures: list[str] = field(default_factory=list)

    def __str__(self):
        return (
            f"{self.n} power cuts, {self.n_lossy} dropped or tore something, {self.n_resumed} "
            f"resumed, {len(self.failures)} red"
        )


TELLING = {"promise", "rename", "unlink", "mkdir", "link", "fsync folder"}
"""Kinds of records after which a cut is likely to tell: most are writes that nobody can see yet."""


def replay(trace, check, n_cuts, *, first=0, seed=0):
    """Cut the power `n_cuts` times.

    Args:
        trace: what was done.
        check: called with (folder, what was promised, number of the cut); raises if it is not so.
        n_cuts: how many.
        first: number of the first record that may be the last one.
        seed: of the moments, and of what is left.
    """
    rng = random.Random(seed)
    records = trace.records()
    later = range(first, len(records) + 1)
    telling = [n + 1 for n, record in enumerate(records) if record[0] in TELLING and n >= first]
    promises = [n for n in telling if records[n - 1][0] == "promise"]
    moments = sorted(rng.choice(rng.choice([later, telling, promises])) for _ in range(n_cuts))
    disk, n_played, tally = Disk(trace.inode), 0, Tally()
    for moment in moments:
        while n_played < moment:
            disk.play(records[n_played])
            n_played += 1
        folder = trace.root.with_name("cut")
        folder.mkdir()
        lay_out(disk.after_cut(rng), folder)
        tally.n += 1
        tally.n_lossy += disk.n_lost > 0
        try:
            tally.n_resumed += bool(check(folder, dict(disk.promised), tally.n))
        except Exception:
            shown = traceback.format_exc(limit=-2)
            tally.failures.append(f"after record {moment} of {len(records)}: {shown}")
        shutil.rmtree(folder)
    return tally


# --- a store of embeddings ----------------------------------------------------------------------


class Stores:
    """Two jobs of a writer on one store, each with its sources, and what must be found."""

    def __init__(self, kit, path, jobs):
        self.kit = kit
        self.jobs = jobs
        self.place = Path("features") / path.name
        self.folder = path.parent
        self.trace = Trace(self.folder / "root", self.folder / "trace")
        self.expected = None
        self.n_first = 0
        """Records of the first job."""

    def record(self, number, fault=lambda: None, kill_at=None):
        """Record the job of a number; return how many records there are."""

        def job(promise):
            def acknowledge(videos):
                promise(dict.fromkeys(videos, number))

            store = self.trace.root / self.place
            run_job(self.kit, store, self.jobs[number], DTYPE, acknowledge)

        return self.trace.run(job, fault, kill_at)

    def check(self, resume_every):
        """Return the check of a folder after a cut."""

        def check(folder, promised, n):
            self.check_visible(folder / self.place, promised)
            if not resume_every or n % resume_every:
                return False
            if not promised.keys() >= {source.video for source in self.jobs[0]}:
                run_job(self.kit, folder / self.place, self.jobs[0], DTYPE)
            run_job(self.kit, folder / self.place, self.jobs[1], DTYPE)
            assert self.kit.snapshot(folder / self.place) == self.expected
            left = [path.name for path in folder.rglob("*") if ".tmp-" in path.name]
            assert not left, "temporaries of a dead writer stay"
            return True

        return check

    def check_visible(self, path, promised):
        """Assert that what is visible is right, and that what was promised is visible."""
        try:
            store = open_store(path)
        except StoreMissingError:
            assert not promised
            return
        with store:
            for video, record in store.items():
                hashes = {
                    source.hash(): (number, source)
                    for number, sources in enumerate(self.jobs)
                    for source in sources
                    if source.video == video
                }
                number, source = hashes[record.input_hash]
                self.kit.assert_holds(store, source)
                assert number >= promised.get(video, 0), f"{video} is an old version"
            readable = {s.video for job in self.jobs for s in job if s.is_readable.any()}
            lost = promised.keys() & readable - store.keys()
            assert not lost, f"lost: {lost}"


def recorded(kit, path, fault=lambda: None):
    """Return a store made, then updated: parts, replaced videos, compaction over an old tree."""
    make = make_few_sources if path.suffix == ".zarr" else make_sources
    stores = Stores(kit, path, [make(kit), [*make(kit, seed=1), kit.make_source("new", 2)]])
    stores.n_first = stores.record(0, fault)
    if fault is write_under_the_final_name and path.suffix == ".h5":
        return stores  # its next compaction cuts short the file that it maps, and dies of it
    stores.record(1, fault)
    if fault.__name__ == "<lambda>":
        stores.trace.assert_complete()
        stores.expected = kit.snapshot(stores.trace.root / stores.place)
    return stores


def counts(suffix, h5, zarr):
    return h5 if suffix == ".h5" else zarr


@pytest.mark.heavy
def test_a_power_cut_loses_nothing_that_was_promised(kit, path, record_property):
    stores = recorded(kit, path)
    n_cuts, resume_every = counts(path.suffix, (400, 4), (150, 15))
    tally = replay(stores.trace, stores.check(resume_every), n_cuts)
    record_property("power cuts", str(tally))
    print(f"{path.suffix}: {tally}")
    assert not tally.failures, f"{tally}\n{tally.failures[0]}"
    assert tally.n_lossy > tally.n / 4


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_thousands_of_power_cuts_lose_nothing(kit, path, seed, record_property):
    stores = recorded(kit, path)
    n_cuts, resume_every = counts(path.suffix, (4000, 10), (1000, 25))
    tally = replay(stores.trace, stores.check(resume_every), n_cuts, seed=seed)
    record_property("power cuts", str(tally))
    print(f"{path.suffix}, seed {seed}: {tally}")
    assert not tally.failures, f"{tally}\n{tally.failures[0]}"


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_power_cut_after_a_kill_and_a_resume_loses_nothing(kit, path):
    """What a killed writer left unsynced is what the next one must not rely on."""
    whole = recorded(kit, path.parent / "whole" / path.name)
    n_records, n_kills = len(whole.trace.records()) - whole.n_first, counts(path.suffix, 40, 12)
    total = Tally()
    for number, kill_at in enumerate(sorted(random.Random(0).sample(range(n_records), n_kills))):
        stores = Stores(kit, path.parent / str(number) / path.name, whole.jobs)
        stores.expected = whole.expected
        stores.record(0)
        first = stores.record(1, kill_at=kill_at)
        stores.record(1)
        stores.trace.assert_complete()
        tally = replay(stores.trace, stores.check(20), 60, first=first, seed=number)
        assert not tally.failures, f"killed before {kill_at}: {tally}\n{tally.failures[0]}"
        total.n += tally.n
        total.n_lossy += tally.n_lossy
        total.n_resumed += tally.n_resumed
        shutil.rmtree(stores.folder)
    print(f"{path.suffix}, {n_kills} kills: {total}")


# --- labels, and files of other kinds -------------------------------------------------------------


@pytest.mark.heavy
def test_a_power_cut_leaves_the_old_labels_or_the_new_ones(path):
    trace = Trace(path.parent / "root", path.parent / "trace")
    place = Path("features") / f"labels{path.suffix}"
    tables = [make_table(meta={"n": 0}), make_table(meta={"n": 1})]

    def write(promise):
        for number, table in enumerate(tables):
            write_labels(trace.root / place, table)
            promise({"labels": number})

    def check(folder, promised, _):
        try:
            with open_store(folder / place) as store:
                assert store.table.meta["n"] >= promised.get("labels", 0)
        except StoreMissingError:
            assert not promised

    trace.run(write)
    trace.assert_complete()
    tally = replay(trace, check, 200)
    print(f"labels{path.suffix}: {tally}")
    assert not tally.failures, f"{tally}\n{tally.failures[0]}"
    assert tally.n_lossy > tally.n / 4


def test_a_power_cut_leaves_a_file_old_or_new(tmp_path):
    trace = Trace(tmp_path / "root", tmp_path / "trace")
    place = Path("runs/first/config.json")

    def write(promise):
        for number in range(3):
            write_text_atomic(trace.root / place, f"{number} " * 5000)
            promise({"file": number})

    def check(folder, promised, _):
        if promised or (folder / place).exists():
            found = (folder / place).read_text()
            assert found in {f"{number} " * 5000 for number in range(promised.get("file", 0), 3)}

    trace.run(write)
    trace.assert_complete()
    tally = replay(trace, check, 200)
    assert not tally.failures, f"{tally}\n{tally.failures[0]}"
    assert tally.n_lossy > 20


# --- faults that the replay has to catch ----------------------------------------------------------


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
