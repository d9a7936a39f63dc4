"""Writers' jobs recorded, and power cuts at many moments of them; see `power`."""

import random
import shutil
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from abaw.cache import StoreMissingError, open_store

from .crashing import in_child
from .jobs import make_few_sources, make_sources, run_job
from .power import Disk, found_under, lay_out
from .recorder import KILLED, Recorder, read_trace
from .wrong_writers import write_under_the_final_name

DTYPE = "float32"


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
