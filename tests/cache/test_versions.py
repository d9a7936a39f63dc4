"""Which pieces make a video, and that it does not matter how a video was cut into them."""

import os
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from abaw.cache.versions import Entry, newest_complete, tiling


@st.composite
def cuttings(draw):
    """Return additions (video number, start, stop, flush after) that complete every video."""
    adds = []
    for video, total in enumerate((7, 1, 4)):
        cuts = sorted(draw(st.sets(st.integers(1, total - 1), max_size=4))) if total > 1 else []
        edges = [0, *cuts, total]
        adds += [(video, a, b) for a, b in pairwise(edges)]
    order = draw(st.permutations(adds))
    flushes = draw(st.lists(st.booleans(), min_size=len(adds), max_size=len(adds)))
    return list(zip(order, flushes, strict=True))


@pytest.mark.heavy
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(adds=cuttings())
def test_any_way_of_cutting_gives_the_same_compacted_store(kit, path, adds):
    sources = [
        kit.make_source("long", 7, unreadable=[0, 3]),
        kit.make_source("bad", 1, unreadable=[0]),
        kit.make_source("a", 4),
    ]
    whole = path.parent / "whole" / path.name
    if not whole.exists():
        with kit.open_writer(whole) as writer:
            for source in sources:
                kit.add_whole(writer, source)
            writer.compact()
    cut = path.parent / f"cut-{os.urandom(4).hex()}" / path.name
    with kit.open_writer(cut) as writer:
        for (video, start, stop), is_flush in adds:
            writer.add(sources[video].video, **sources[video].piece(start, stop))
            if is_flush:
                writer.flush()
    with kit.open_writer(cut) as writer:
        writer.compact()
    assert kit.snapshot(cut) == kit.snapshot(whole)


ranges = st.lists(
    st.tuples(st.integers(0, 7), st.integers(1, 5)).filter(lambda r: sum(r) <= 8), max_size=12
)


@given(ranges=ranges)
def test_a_tiling_is_found_exactly_if_there_is_one(ranges):
    entries = [Entry(1, 8, start, length, 0, n) for n, (start, length) in enumerate(ranges)]
    reachable = {0}
    for start in range(8):
        if start in reachable:
            reachable |= {a + n for a, n in ranges if a == start}
    chain = tiling(entries, 8)
    assert (chain is not None) == (8 in reachable)
    if chain is not None:
        assert [entry.source_start for entry in chain] == [0, *(e.source_stop for e in chain[:-1])]
        assert chain[-1].source_stop == 8


def test_the_newest_complete_version_wins_over_a_newer_incomplete_one():
    entries = [Entry(1, 4, 0, 4, 0, 0), Entry(3, 5, 0, 4, 1, 0), Entry(2, 6, 0, 6, 2, 0)]
    assert newest_complete(entries) == [entries[2]]
    assert newest_complete(entries[1:2]) is None
