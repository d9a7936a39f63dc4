"""The pieces that both backends are made of."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abaw.cache.lock import compaction_lock
from abaw.cache.row_buffer import RowBuffer

SIZES = st.lists(st.integers(0, 7), max_size=8)


def given_back(sizes, block, *, is_exact):
    """Return the rows that a buffer was given in blocks of `sizes`, and what came out of it."""
    n_rows = sum(sizes)
    rows = np.arange(n_rows * 2).reshape(n_rows, 2)
    buffer = RowBuffer(rows.shape, rows.dtype, block, is_exact=is_exact)
    ends = np.cumsum(sizes, dtype=int)
    out = [
        (first, part.copy())
        for start, end in zip([0, *ends], ends, strict=False)
        for first, part in buffer.add(rows[start:end])
    ]
    buffer.check_full("rows")
    return rows, out


@given(sizes=SIZES, block=st.integers(1, 6))
def test_a_row_buffer_gives_back_all_rows_in_blocks_of_one_size(sizes, block):
    rows, out = given_back(sizes, block, is_exact=True)
    assert [first for first, _ in out] == list(range(0, len(rows), block))
    assert all(len(part) == block for _, part in out[:-1])
    if len(rows):
        np.testing.assert_array_equal(np.concatenate([part for _, part in out]), rows)


@given(sizes=SIZES, block=st.integers(1, 6))
def test_a_row_buffer_passes_large_blocks_on_as_they_are(sizes, block):
    rows, out = given_back(sizes, block, is_exact=False)
    lengths = [len(part) for _, part in out]
    assert [first for first, _ in out] == [0, *np.cumsum(lengths, dtype=int)][: len(out)]
    assert all(lengths)
    large = [n for n in sizes if n >= block]
    assert [n for n in lengths if n > block] == [n for n in large if n > block]
    if len(rows):
        np.testing.assert_array_equal(np.concatenate([part for _, part in out]), rows)


@pytest.mark.parametrize("is_exact", [True, False])
@pytest.mark.parametrize("n_rows", [0, 3, 4])
def test_a_row_buffer_refuses_too_many_and_too_few_rows(n_rows, is_exact):
    buffer = RowBuffer((n_rows, 2), np.dtype("f4"), 2, is_exact=is_exact)
    if n_rows:
        with pytest.raises(ValueError, match=f"embedding has room for {n_rows} rows, but got 0"):
            buffer.check_full("embedding")
    with pytest.raises(ValueError, match=f"there is room for {n_rows} rows"):
        list(buffer.add(np.zeros((n_rows + 1, 2))))


def test_one_process_compacts_at_a_time_and_a_dead_one_lets_go(tmp_path):
    hold = (
        "import sys, pathlib, os\n"
        "from abaw.cache.lock import compaction_lock\n"
        "with compaction_lock(pathlib.Path(sys.argv[1]), wait=True):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", hold, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with compaction_lock(tmp_path, wait=False) as is_ours:
            assert not is_ours
        holder.kill()
    with compaction_lock(tmp_path, wait=True) as is_ours:
        assert is_ours
        (tmp_path / "lock-2").unlink()  # as the end of a compaction does
    with compaction_lock(tmp_path, wait=False) as is_ours:
        assert is_ours
