"""A writer is ended before each of its writes in turn, and killed at random times.

After each: the store opens, every visible video is right, every committed video is there, and the
resumed store is bit-identical to the uninterrupted one.
"""

import shutil

import pytest

from abaw.cache import CacheError, StoreMissingError, open_store

from .crashing import crash_everywhere, in_child
from .jobs import make_few_sources, make_sources, run_job
from .wrong_writers import write_index_before_rows, write_under_the_final_name


def crash_writer(kit, path, old, new, dtype, fault=lambda: None, stride=1):
    """End the writer before each of its writes in turn; return how many crashes fired.

    Args:
        old: sources the store holds before, or None for no store.
        new: sources that the writer brings it to.
        fault, stride: see `crash_everywhere`.
    """
    start = path.with_name("start")
    expected_path = path.with_name(f"whole{path.suffix}")
    start.mkdir(parents=True)
    if old is not None:
        first = start / path.name
        assert in_child(lambda _: run_job(kit, first, old, dtype))[0] == 0
        shutil.copytree(start, path.with_name("copy"))
        shutil.move(path.with_name("copy") / path.name, expected_path)
    assert in_child(lambda _: run_job(kit, expected_path, new, dtype))[0] == 0
    expected = kit.snapshot(expected_path)

    def job(folder, acknowledge):
        run_job(kit, folder / path.name, new, dtype, acknowledge)

    def check(folder, acknowledged):
        check_after_crash(kit, folder / path.name, old or [], new, acknowledged)
        assert in_child(lambda _: job(folder, lambda _: None))[0] == 0
        assert kit.snapshot(folder / path.name) == expected
        left = [p.name for p in folder.rglob("*") if ".tmp-" in p.name]
        assert not left, "temporaries of a dead writer stay"

    return crash_everywhere(start, job, check, fault=fault, stride=stride)


def check_after_crash(kit, path, old, new, acknowledged):
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
        must = {v for v, source in (before | after).items() if source.is_readable.any()}
        must &= before.keys() | set(acknowledged)
        assert must <= store.keys()
        for video in must & set(acknowledged):
            assert store[video].input_hash == after[video].hash()


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("is_update", [False, True], ids=["new", "update"])
@pytest.mark.heavy
def test_a_crash_at_a_visible_write_loses_nothing_that_was_committed(kit, path, is_update, dtype):
    old = make_sources(kit) if is_update else None
    new = [*make_sources(kit, seed=1), kit.make_source("new", 4)]
    n_fired = crash_writer(kit, path, old, new, dtype, stride=1_000)
    print(f"{n_fired} crash points fired at visible writes, {path.suffix}, {dtype}")
    assert n_fired >= 10


def sweep(kit, path, is_update, dtype):
    """End the writer before every single write; return how many crashes fired."""
    make = make_few_sources if path.suffix == ".zarr" else make_sources
    if not is_update:
        return crash_writer(kit, path, None, make(kit), dtype)
    changed = [*make(kit, seed=1), kit.make_source("new", 2)]
    return crash_writer(kit, path, make(kit), changed, dtype)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    ("is_update", "dtype"),
    [(False, "float16"), (True, "float32"), (False, "float32"), (True, "float16")],
)
def test_a_crash_at_any_write_loses_nothing(kit, path, is_update, dtype, record_property):
    n_fired = sweep(kit, path, is_update, dtype)
    record_property("crash points", n_fired)
    print(f"{n_fired} crash points fired: update {is_update}, {path.suffix}, {dtype}")
    assert n_fired >= 100


@pytest.mark.heavy
@pytest.mark.parametrize("fault", [write_under_the_final_name, write_index_before_rows])
def test_the_crash_check_catches_a_writer_that_is_wrong(kit, path, fault):
    with pytest.raises((AssertionError, CacheError)) as caught:
        crash_writer(kit, path, None, make_sources(kit), "float32", fault, stride=1_000)
    print(f"{fault.__name__}, {path.suffix}: {type(caught.value).__name__}: {caught.value}")
