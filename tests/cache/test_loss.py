"""What float16 loses: told as it is, refused where it is much, and no matter where it is little."""

import numpy as np
import pytest

from abaw.cache import CacheError, open_store
from abaw.cache.loss import MOST_LOSS, LossMeter, _step, shares_of, spread_of


def piece(kit, video: str, rows: np.ndarray) -> dict:
    source = kit.make_source(video, len(rows))
    source.embedding[:] = rows
    return source.piece(0, len(rows))


def rows_with(kit, rng: np.random.Generator, n: int, **columns: tuple[float, float]) -> np.ndarray:
    """Normal numbers; `d2=(40, 0.02)` gives dimension 2 that mean and deviation."""
    rows = rng.normal(size=(n, kit.DIM))
    for name, (mean, deviation) in columns.items():
        rows[:, int(name[1:])] = mean + deviation * rng.normal(size=n)
    return rows.astype(np.float32)


def test_a_dimension_that_float16_cannot_tell_apart_is_refused_by_name(kit, path):
    rng = np.random.default_rng(0)
    good, bad = (rows_with(kit, rng, 50, d2=(40, 0.02)) for _ in range(2))
    good[:, 2] = 40 + rng.integers(0, 2, 50) / 32  # what float16 has there
    writer = kit.open_writer(path)
    writer.add("good", **piece(kit, "good", good))
    writer.add("bad", **piece(kit, "bad", bad))
    with pytest.raises(
        CacheError, match=r"in video 'bad' dimension 2, which is about 40 .*float32"
    ):
        writer.flush()
    assert len(open_store(path)) == 0


@pytest.mark.parametrize(
    ("columns", "dtype"),
    [
        ({"d2": (40, 0.02)}, "float32"),
        ({"d2": (40, 5)}, "float16"),
        ({"d2": (40, 0)}, "float16"),  # constant: there is nothing to lose
        ({"d2": (0, 1e-4)}, "float16"),
    ],
)
def test_other_dimensions_are_stored(kit, path, columns, dtype: str):
    rng = np.random.default_rng(0)
    with kit.open_writer(path, kit.make_spec(dtype=dtype)) as writer:
        writer.add("v", **piece(kit, "v", rows_with(kit, rng, 100, **columns)))
        writer.compact()
    loss = open_store(path).loss
    assert (loss is None) == (dtype == "float32")


def test_what_is_told_holds_for_the_numbers_that_were_computed(kit, path):
    rng = np.random.default_rng(0)
    rows = rows_with(kit, rng, 1500, d1=(3, 0.5), d4=(-9, 2))
    with kit.open_writer(path) as writer:
        writer.add("v", **piece(kit, "v", rows))
        writer.compact()
    with open_store(path) as store:
        error = np.abs(rows.astype(np.float64) - store["v"].embedding)
        loss = store.loss
    shares = shares_of(error.max(axis=0), spread_of(rows))
    assert 0.9 * loss["largest"] < shares.max() <= 1.001 * loss["largest"]
    mean = shares_of(error.mean(axis=0), spread_of(rows)).mean()
    assert loss["mean"] == pytest.approx(mean, rel=0.03)  # 7,500 uniform errors: 0.7 %
    assert loss["largest"] < MOST_LOSS


def test_only_the_first_frames_decide_and_later_ones_are_told(kit, path):
    rng = np.random.default_rng(0)
    with kit.open_writer(path) as writer:
        writer.add("a", **piece(kit, "a", rows_with(kit, rng, 2000)))
        writer.flush()
        late = rows_with(kit, rng, 50)
        late[7, 3] = 3000  # with steps of 2
        writer.add("b", **piece(kit, "b", late))
        writer.compact()
    loss = open_store(path).loss
    assert loss["dimension"] == 3
    assert loss["largest"] == pytest.approx(1, rel=0.1)  # half a step over a deviation of 1


def test_the_loss_is_that_of_the_rows_whatever_the_pieces(kit):
    rng = np.random.default_rng(0)
    rows = rows_with(kit, rng, 3000).astype(np.float16)
    whole, pieces = LossMeter(kit.make_spec()), LossMeter(kit.make_spec())
    whole.add(rows)
    for start in range(0, 3000, 7):
        pieces.add(rows[start : start + 7])
    assert whole.loss() == pieces.loss()
    assert LossMeter(kit.make_spec()).loss() is None


def test_the_step_between_halves_is_numpys():
    values = np.arange(0x7BFF, dtype=np.uint16).view(np.float16)  # all but the largest
    np.testing.assert_array_equal(_step(values), np.spacing(values).astype(np.float64))
    assert _step(np.array([65504], np.float16)) == 32


def test_a_store_that_was_refused_leaves_nothing_in_the_way_of_float32(kit, path):
    rows = rows_with(kit, np.random.default_rng(0), 100, d2=(40, 0.02))
    with pytest.raises(CacheError, match="use --set dtype=float32"):
        write_rows(kit, path, rows, "float16")
    assert not path.exists()
    write_rows(kit, path, rows, "float32")
    assert len(open_store(path)) == 1


def write_rows(kit, path, rows: np.ndarray, dtype: str) -> None:
    with kit.open_writer(path, kit.make_spec(dtype=dtype)) as writer:
        writer.add("v", **piece(kit, "v", rows))
        writer.flush()
