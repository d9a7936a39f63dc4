"""The constant predictor: chosen on training rows, scored like everything else."""

import numpy as np
import pytest

from abaw.temporal.constant import constant_predictions, constant_scores
from abaw.temporal.metrics import AffectRows, LabelMasks
from abaw.temporal.predictions import read_predictions, write_predictions
from abaw.temporal.score import RowLabels, score_table


def rows(classes: list[int], aus: np.ndarray, video: str = "v", **masks) -> RowLabels:
    n = len(classes)
    affect = np.linspace(-0.5, 0.75, n)
    has = {name: np.ones(n, bool) for name in ("valence", "arousal", "expression")}
    return RowLabels(
        keys=[(video, number) for number in range(1, n + 1)],
        labels=AffectRows(affect, -affect, np.array(classes), aus),
        is_labelled=LabelMasks(**(has | {"au": np.ones((n, 12), bool)} | masks)),
    )


def share(n: int, *n_positive: int) -> np.ndarray:
    """(n, 12) AUs; column k has n_positive[k] ones, the last count also for what follows."""
    counts = np.array([*n_positive, *[n_positive[-1]] * (12 - len(n_positive))])
    return (np.arange(n)[:, None] < counts).astype(np.int8)


def test_affect_scores_nothing_and_aus_score_2p_over_1_plus_p():
    # The most frequent class of what is scored is 0, but that of training is 4.
    train = rows([4] * 6 + [0] * 4, share(10, 5))
    scores = constant_scores(train, rows([0, 0, 4, 1], share(4, 1)))
    assert scores.CCC_V == 0
    assert scores.CCC_A == 0
    assert pytest.approx(2 * 0.25 / 1.25) == scores.F1_AU
    assert pytest.approx(2 * 1 / (1 + 4) / 8) == scores.F1_EXPR
    assert pytest.approx(scores.F1_AU + scores.F1_EXPR) == scores.P_MTL


def test_no_class_would_have_scored_better_on_training():
    rng = np.random.default_rng(3)
    train = rows(rng.integers(2, 7, 200).tolist(), share(200, 60))
    best = constant_scores(train, train).F1_EXPR
    table = constant_predictions(train, train.keys)
    for other in range(8):
        table.expression[:] = other
        assert best >= score_table(table, train, "other").F1_EXPR


def test_constants_come_from_training_and_not_from_what_is_scored():
    train = rows([1, 1, 1], share(3, 0, 3))
    table = constant_predictions(train, [("w", 9), ("x", 2)])
    assert table.video == ["w", "x"]
    assert table.frame.tolist() == [9, 2]
    assert table.expression.tolist() == [1, 1]
    assert table.au[0].tolist() == [0] + [1] * 11
    assert table.p_expression[1].tolist() == [0, 1, 0, 0, 0, 0, 0, 0]
    np.testing.assert_array_equal(table.p_au, table.au)


def test_rows_without_a_label_choose_nothing():
    n = 6
    only = np.zeros(n, bool)
    only[:2] = True
    has_au = np.tile(only[:, None], (1, 12))
    au = share(n, 0)
    au[3] = 1  # not labelled
    train = rows([5, 5, 0, 0, 0, 0], au, valence=only, arousal=only, expression=only, au=has_au)
    table = constant_predictions(train, train.keys)
    assert set(table.expression.tolist()) == {5}
    assert not table.au.any()
    np.testing.assert_allclose(table.valence, train.labels.valence[:2].mean(), rtol=1e-6)


@pytest.mark.parametrize("n", [0, 3])
def test_training_without_any_label_gives_zeros(n: int):
    no = np.zeros(n, bool)
    train = rows(
        [1] * n, share(n, 1), valence=no, arousal=no, expression=no, au=np.zeros((n, 12), bool)
    )
    table = constant_predictions(train, [("v", 1)])
    assert (table.valence[0], table.arousal[0], table.expression[0]) == (0, 0, 0)
    assert not table.au.any()


def test_it_is_a_prediction_table_like_any_other(tmp_path):
    train = rows([4, 4, 0], share(3, 2))
    write_predictions(tmp_path / "p.csv", constant_predictions(train, train.keys))
    read = read_predictions(tmp_path / "p.csv")
    assert score_table(read, train, "p.csv") == constant_scores(train, train)
