"""Mixtures of predictions, and the weights that are chosen for them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from abaw.core.tasks import TASKS
from abaw.temporal.errors import PredictionError
from abaw.temporal.metrics import LabelMasks
from abaw.temporal.mix_weights import (
    PULL,
    choose_weights,
    greedy_selection,
    simplex_least_squares,
)
from abaw.temporal.mixing import aligned, equal_weights, mix_tables
from abaw.temporal.score import score_table

from .made_predictions import noisy, table_from, truth_of

FIGURES = {"valence": "CCC_V", "arousal": "CCC_A", "expression": "F1_EXPR", "au": "F1_AU"}


def weights(*shares: float) -> dict:
    return {task: np.array(shares, np.float64) for task in TASKS}


def chosen(tables, truth, weighting: str, expression: str = "mean") -> dict:
    everything = np.ones(len(truth.keys), bool)
    return choose_weights(tables, truth, [everything], weighting, expression)[0]


def useless(truth, seed: int):
    """A model that has learnt nothing."""
    rng = np.random.default_rng(seed)
    n = len(truth.keys)
    return table_from(
        truth.keys,
        rng.uniform(-1, 1, (n, 2)),
        3 * rng.normal(size=(n, 8)),
        3 * rng.normal(size=(n, 12)),
    )


def test_the_mean_is_weighed_task_by_task():
    truth = truth_of(n=30)
    tables = [noisy(truth, 0.5, seed) for seed in (1, 2, 3)]
    shares = {
        "valence": np.array([0.5, 0.25, 0.25]),
        "arousal": np.array([1.0, 0, 0]),
        "expression": np.array([0, 0.5, 0.5]),
        "au": np.array([0.2, 0.3, 0.5]),
    }
    found = mix_tables(tables, shares)
    one, two, three = tables
    expected = 0.5 * one.valence + 0.25 * two.valence + 0.25 * three.valence
    np.testing.assert_allclose(found.valence, expected, atol=1e-6)
    np.testing.assert_array_equal(found.arousal, one.arousal)
    np.testing.assert_allclose(found.p_expression, (two.p_expression + three.p_expression) / 2)
    np.testing.assert_array_equal(found.expression, found.p_expression.argmax(axis=1))
    expected = 0.2 * one.p_au + 0.3 * two.p_au + 0.5 * three.p_au
    np.testing.assert_allclose(found.p_au, expected, atol=1e-6)
    np.testing.assert_array_equal(found.au, found.p_au >= 0.5)
    assert found.tasks == frozenset(TASKS)


def test_one_model_alone_is_given_back():
    table = noisy(truth_of(), 0.5)
    for expression in ("mean", "vote"):
        assert mix_tables([table], equal_weights([table]), expression) is table
        other = noisy(truth_of(), 0.5, seed=7)
        assert mix_tables([other, table], weights(0, 1), expression) is table


def with_logits(*logits: tuple[float, float, float]):
    """One frame; logits of the first three expressions."""
    expression = np.full((1, 8), -9.0)
    expression[0, :3] = logits
    return table_from([("a", 1)], np.zeros((1, 2)), expression, np.zeros((1, 12)))


def test_a_vote_counts_classes_and_the_mean_decides_between_equals():
    sure, unsure = with_logits(9, 0, 0), with_logits(0, 1, 0)
    three = [sure, unsure, unsure]
    assert mix_tables(three, equal_weights(three)).expression[0] == 0
    voted = mix_tables(three, equal_weights(three), "vote")
    assert voted.expression[0] == 1
    assert voted.p_expression[0, 1] == pytest.approx(2 / 3, abs=1e-3)
    assert voted.p_expression.sum() == pytest.approx(1, abs=1e-6)
    for last, expected in (((0, 9, 0), 1), ((0, 0.1, 0), 0)):
        two = [with_logits(2, 0, 0), with_logits(*last)]
        assert mix_tables(two, equal_weights(two), "vote").expression[0] == expected


def test_a_model_counts_only_in_the_tasks_that_it_predicts():
    truth = truth_of()
    both = noisy(truth, 0.4, 1)
    affect = replace(noisy(truth, 0.4, 2), tasks=frozenset({"valence", "arousal"}))
    for weighting in ("equal", "fitted", "greedy"):
        found = chosen([both, affect], truth, weighting)
        assert found["au"].tolist() == found["expression"].tolist() == [1, 0]
        assert (found["valence"] > 0).all()
    mixed = mix_tables([both, affect], found)
    np.testing.assert_array_equal(mixed.p_au, both.p_au)
    alone = mix_tables([affect, affect], equal_weights([affect, affect]))
    assert alone.tasks == frozenset({"valence", "arousal"})
    assert not alone.p_au.any()
    assert set(chosen([affect, affect], truth, "fitted")) == {"valence", "arousal"}


def test_rows_in_another_order_are_brought_into_the_first_ones():
    truth = truth_of(n=20)
    table = noisy(truth, 0.5)
    mixed_up = table.take(np.random.default_rng(0).permutation(len(table)))
    found = aligned([table, mixed_up], ["a", "b"])[1]
    assert found.video == table.video
    np.testing.assert_array_equal(found.valence, table.valence)


def test_rows_that_differ_are_refused_with_one_named():
    table = noisy(truth_of(n=20), 0.5)
    words = r"a has 120 and b 119, with 1 in only one of them, one is frame \d+ of 'a'"
    with pytest.raises(PredictionError, match=words):
        aligned([table, table.take(np.arange(1, 120))], ["a", "b"])
    more = table.take(np.array([0, *range(120)]))
    with pytest.raises(PredictionError, match="a has 120 and b 121, with 0 in only"):
        aligned([table, more], ["a", "b"])


@st.composite
def problems(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n = draw(st.integers(2, 8))
    predicted = rng.normal(size=(n, 50)) * draw(st.sampled_from([1e-3, 1.0]))
    if draw(st.booleans()):
        predicted[1] = predicted[0]
    target = predicted[0] * draw(st.floats(-1, 1)) + 0.3 * predicted[-1]
    return predicted @ predicted.T / 50, predicted @ target / 50


@settings(deadline=None)
@given(problem=problems(), pull=st.sampled_from([1e-3, PULL, 1.0]))
def test_fitted_weights_are_a_share_each_and_no_others_fit_better(problem, pull: float):
    square, cross = problem
    found = simplex_least_squares(square, cross, pull)
    assert (found >= 0).all()
    assert found.sum() == pytest.approx(1, abs=1e-12)
    n = len(cross)
    scale = np.trace(square) / n

    def loss(w):
        away = ((w - 1 / n) ** 2).sum()
        return (w @ square @ w - 2 * cross @ w) / scale + pull * away

    rng = np.random.default_rng(0)
    tried = [*np.eye(n), np.full(n, 1 / n), *rng.dirichlet(np.ones(n), 200)]
    tried += [0.999 * found + 0.001 * other for other in tried]
    assert loss(found) <= min(map(loss, tried)) + 1e-9


def test_fitted_weights_are_those_of_another_solver():
    rng = np.random.default_rng(0)
    predicted = rng.normal(size=(3, 400))
    target = 0.6 * predicted[0] + 0.4 * predicted[1] - 0.3 * predicted[2]
    square, cross = predicted @ predicted.T / 400, predicted @ target / 400
    found = simplex_least_squares(square, cross, 0.0)
    # Shares as a softmax: no constraint is left, so another method can do it.
    other = minimize(
        lambda z: float(((target - (np.exp(z) / np.exp(z).sum()) @ predicted) ** 2).mean()),
        np.zeros(3),
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-14, "maxiter": 20000},
    )
    np.testing.assert_allclose(found, np.exp(other.x) / np.exp(other.x).sum(), atol=1e-4)
    assert found[2] == 0


@pytest.mark.parametrize("weighting", ["fitted", "greedy"])
@pytest.mark.parametrize("expression", ["mean", "vote"])
def test_a_useless_model_gets_next_to_nothing(weighting: str, expression: str):
    truth = truth_of(n=200)
    tables = [noisy(truth, 0.15, 1), useless(truth, 9), noisy(truth, 0.15, 2)]
    found = chosen(tables, truth, weighting, expression)
    for task in TASKS:
        assert (found[task] >= 0).all()
        assert found[task].sum() == pytest.approx(1)
        assert found[task][1] < 0.03, task


def test_two_models_that_say_the_same_share_their_weight():
    truth = truth_of()
    one = noisy(truth, 0.4)
    found = chosen([one, one, useless(truth, 5)], truth, "fitted")
    for task in TASKS:
        assert found[task][0] == pytest.approx(found[task][1], abs=1e-4)


@pytest.mark.parametrize("weighting", ["equal", "fitted", "greedy"])
def test_a_mixture_of_models_with_different_faults_beats_each(weighting: str):
    truth = truth_of(n=200)
    tables = [noisy(truth, 0.6, seed) for seed in (1, 2, 3)]
    mixed = score_table(mix_tables(tables, chosen(tables, truth, weighting)), truth, "")
    for table in tables:
        alone = score_table(table, truth, "")
        for figure in FIGURES.values():
            assert getattr(mixed, figure) > getattr(alone, figure)


def test_greedy_selection_scores_no_worse_in_sample_than_the_best_member_by_the_own_measure():
    truth = truth_of(n=60)
    tables = [noisy(truth, noise, seed) for seed, noise in enumerate((0.3, 0.9, 1.5))]
    found = chosen(tables, truth, "greedy")
    mixed = score_table(mix_tables(tables, found), truth, "")
    for figure in FIGURES.values():
        alone = max(getattr(score_table(table, truth, ""), figure) for table in tables)
        assert getattr(mixed, figure) >= alone


def test_greedy_selection_takes_a_model_again_and_stops_at_the_best():
    members = [np.array([3.0]), np.array([0.0])]
    found = greedy_selection(members, lambda total, n: -abs(float(total[0] / n) - 2.0))
    assert found.tolist() == [2 / 3, 1 / 3]


def test_weights_of_a_choice_come_from_its_rows_only():
    truth = truth_of(n=60)
    tables = [noisy(truth, 0.4, 1), noisy(truth, 0.8, 2)]
    in_a = np.array([video == "a" for video, _ in truth.keys])
    rng = np.random.default_rng(0)
    labels = truth.labels
    other = replace(
        truth,
        labels=replace(
            labels,
            valence=np.where(in_a, labels.valence, rng.normal(size=len(in_a))),
            expression=np.where(in_a, labels.expression, 0),
            au=np.where(in_a[:, None], labels.au, 0),
        ),
    )
    for weighting in ("fitted", "greedy"):
        first = choose_weights(tables, truth, [in_a], weighting)[0]
        second = choose_weights(tables, other, [in_a], weighting)[0]
        for task in TASKS:
            np.testing.assert_array_equal(first[task], second[task])


def test_what_is_not_annotated_has_no_part_in_the_weights():
    truth = truth_of(missing=0.5)
    tables = [noisy(truth, 0.4, 1), noisy(truth, 0.8, 2)]
    masks, labels = truth.is_labelled, truth.labels
    both = masks.valence & masks.arousal
    other = replace(
        truth,
        labels=replace(
            labels,
            valence=np.where(both, labels.valence, -5),
            arousal=np.where(both, labels.arousal, -5),
            expression=np.where(masks.expression, labels.expression, -1),
            au=np.where(masks.au, labels.au, -1),
        ),
    )
    for weighting in ("fitted", "greedy"):
        one, two = chosen(tables, truth, weighting), chosen(tables, other, weighting)
        for task in TASKS:
            np.testing.assert_array_equal(one[task], two[task])


def test_without_a_label_weights_are_equal():
    truth = truth_of()
    none = np.zeros(len(truth.keys), bool)
    unlabelled = replace(
        truth, is_labelled=LabelMasks(none, none, none, np.zeros((len(none), 12), bool))
    )
    tables = [noisy(truth, 0.4, 1), noisy(truth, 0.8, 2)]
    for weighting in ("fitted", "greedy"):
        for task, found in chosen(tables, unlabelled, weighting).items():
            assert found.tolist() == [0.5, 0.5], task


def test_tables_without_probabilities_cannot_be_mixed():
    table = replace(noisy(truth_of(), 0.5), p_expression=None, p_au=None)
    with pytest.raises(PredictionError, match="needs probabilities"):
        mix_tables([table, table], equal_weights([table, table]))
