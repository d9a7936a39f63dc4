"""Large text tables: the shortest decimals, and no row lost between blocks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from abaw.temporal.text_cells import (
    BLOCK_ROWS,
    decimal_cells,
    decimals,
    digits,
    empty,
    text_lines,
    texts,
    whole_numbers,
)


def spelt(values: np.ndarray) -> list[str]:
    return [row[row != 0].tobytes().decode() for row in decimal_cells(values)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (-0.0, "-0.0"),
        (1.0, "1.0"),
        (-1.0, "-1.0"),
        (0.25, "0.25"),
        (1 / 3, "0.33333334"),
        (0.9999999, "0.9999999"),
        (1e-5, "0.00001"),
        (1e-20, "1e-20"),
        (1e-45, "1e-45"),
        (1.5, "1.5"),
        (-5.0, "-5.0"),
        (np.inf, "inf"),
        (np.nan, "nan"),
    ],
)
def test_a_number_is_written_as_short_as_it_can_be(value: float, text: str):
    assert spelt(np.array([value], np.float32)) == [text]


@given(hnp.arrays(np.uint32, 64, elements=st.integers(0, 2**32 - 1)))
def test_every_float32_reads_back_bit_for_bit(bits: np.ndarray):
    values = bits.view(np.float32)
    values = values[np.isfinite(values)]
    back = np.array(list(map(float, spelt(values))), np.float64).astype(np.float32)
    np.testing.assert_array_equal(back.view(np.uint32), values.view(np.uint32))


@given(hnp.arrays(np.float32, 64, elements=st.floats(-1, 1, width=32)))
def test_no_decimal_of_a_value_in_range_is_longer_than_numpys(values: np.ndarray):
    for value, text in zip(values, spelt(values), strict=True):
        other = str(value)
        assert "e" in other or len(text) <= len(other)


@pytest.mark.parametrize("n", [0, 1, BLOCK_ROWS - 1, BLOCK_ROWS, 2 * BLOCK_ROWS + 7])
def test_every_row_is_written_whatever_the_blocks_are(n: int):
    number = np.arange(n)
    columns = [
        texts([f"é{k % 5}" for k in range(n)]),
        whole_numbers(number),
        *digits(number % 10),
        *empty(1),
        *decimals(number.astype(np.float32) / 4),
    ]
    data = b"".join(text_lines(n, columns)).decode()
    assert data == "".join(f"é{k % 5},{k},{k % 10},,{k / 4}\n" for k in range(n))


@pytest.mark.parametrize("value", [-1, 10])
def test_a_number_of_two_characters_is_no_digit(value: int):
    (column,) = digits(np.array([1, value]))
    with pytest.raises(ValueError, match="digits are 0 to 9"):
        column(slice(0, 2))
