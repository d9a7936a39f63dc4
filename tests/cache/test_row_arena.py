"""Rows that wait for their part lie in memory that is used again, and come out as they went in."""

import numpy as np
import pytest

from abaw.cache import open_store
from abaw.cache.row_arena import RowArena

HALF = np.dtype("<f2")


def lent(arena: RowArena, n: int, first: int):
    block = arena.take((n, 4), HALF)
    block[...] = np.arange(first, first + n)[:, None]
    return block


def test_neighbours_come_out_as_one_block_and_in_order():
    arena = RowArena(1000)
    blocks = [lent(arena, n, first) for n, first in ((3, 0), (2, 3), (4, 5))]
    (joined,) = arena.joined(blocks)
    assert np.shares_memory(joined, blocks[0])
    np.testing.assert_array_equal(joined[:, 0], np.arange(9))


def test_what_has_no_room_or_is_out_of_order_stands_alone():
    arena = RowArena(8 * 5)
    first, second, beyond = lent(arena, 3, 0), lent(arena, 2, 3), lent(arena, 1, 5)
    assert not np.shares_memory(beyond, first)
    for blocks in (
        [first, second, beyond],
        [second, first],
        [first, first],
        [beyond, beyond, first],
        [first[::2], second],
        [lent(arena, 0, 0), first, lent(arena, 0, 0), second],
        [],
    ):
        found = list(arena.joined(blocks))
        assert sum(map(len, found)) == sum(map(len, blocks))
        if blocks:
            np.testing.assert_array_equal(np.concatenate(found), np.concatenate(blocks))


def test_memory_is_lent_again_after_clear():
    arena = RowArena(1000)
    before = lent(arena, 3, 0)
    arena.clear()
    assert np.shares_memory(lent(arena, 3, 9), before)


def test_types_begin_at_places_of_their_size():
    arena = RowArena(1000)
    arena.take((1, 3), HALF)
    wide = arena.take((2, 2), np.dtype("<f4"))
    assert wide.flags.aligned


@pytest.mark.parametrize("part_bytes", [64, 4096, 1 << 20])
def test_parts_of_any_size_hold_what_was_given(kit, path, part_bytes: int):
    sources = [kit.make_source(f"v{n}", 5 + n, seed=n) for n in range(9)]
    with kit.open_writer(path, max_part_bytes=part_bytes) as writer:
        for source in sources:
            kit.add_whole(writer, source)
            source.embedding[...] = 7  # the caller's memory is its own again
    with open_store(path) as store:
        for n in range(9):
            kit.assert_holds(store, kit.make_source(f"v{n}", 5 + n, seed=n))
