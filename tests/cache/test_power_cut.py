"""A power cut at any moment loses nothing that a writer has promised.

A kill leaves every write where it is, so it cannot show a missing fsync. Here the writers' changes
of the file system are recorded, and replayed without what was not brought to the disk; see `power`
for what is assumed of one. After each cut: the store opens, every visible video is right bit for
bit, all that was promised (`flush` or `compact` had returned) is visible, and a resumed writer ends
as the uninterrupted one does.
"""

import random
import shutil
from pathlib import Path

import pytest

from abaw.cache import StoreMissingError, open_store, write_labels
from abaw.core.files import write_text_atomic

from .cuts import Stores, Tally, Trace, counts, recorded, replay
from .test_labels import make_table


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
