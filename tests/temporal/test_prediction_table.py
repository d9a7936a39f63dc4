"""Rows of prediction tables: chosen, and put together."""

from dataclasses import replace

import numpy as np
import pytest

from abaw.temporal.predictions import PredictionTable, concatenated

from .tables import assert_same, some_tasks, table


def test_rows_are_taken_by_number_in_any_order_or_by_booleans():
    three = table(3, video=["a", "b", "c"])
    found = three.take(np.array([2, 0, 2]))
    assert found.video == ["c", "a", "c"]
    assert found.frame.tolist() == [3, 1, 3]
    np.testing.assert_array_equal(found.p_au, three.p_au[[2, 0, 2]])
    assert_same(three.take(np.array([False, True, False])), three.take(np.array([1])))
    assert three.take(np.zeros(3, bool)).video == []


def test_a_subset_has_the_rows_of_its_videos_in_their_order():
    four = table(4, video=["b", "a", "b", "c"])
    found = four.subset({"b", "c", "unknown"})
    assert found.video == ["b", "b", "c"]
    assert found.frame.tolist() == [1, 3, 4]
    assert len(four.subset([])) == 0


def test_cut_and_put_together_again_is_the_same():
    whole = table(5, video=["a", "a", "b", "b", "c"])
    assert_same(concatenated([whole.subset([v]) for v in "abc"]), whole)
    assert_same(concatenated([whole]), whole)


@pytest.mark.parametrize("kept", [("au",), ("valence", "arousal")])
def test_the_tasks_and_the_lack_of_probabilities_are_kept(kept):
    part = replace(some_tasks(table(3), *kept), p_expression=None, p_au=None)
    for found in (part.take(np.array([1])), part.subset(["a"]), concatenated([part, part])):
        assert found.tasks == frozenset(kept)
        assert found.p_expression is None
        assert found.p_au is None


def test_tables_that_do_not_fit_are_not_put_together():
    whole: PredictionTable = table(2)
    with pytest.raises(ValueError, match="but there is none"):
        concatenated([])
    with pytest.raises(ValueError, match=r"predict au and valence, arousal, expression, au"):
        concatenated([whole, some_tasks(whole, "au")])
    with pytest.raises(ValueError, match="1 of 2 lack p_au"):
        concatenated([whole, replace(whole, p_au=None)])


def test_columns_of_another_shape_are_named():
    with pytest.raises(ValueError, match=r"au must be \(2, 12\).* but is \(2, 11\)"):
        table(2, au=np.zeros((2, 11), np.int8)).check_shapes()
