"""The official measure: by hand, against the reference's numbers, and by its laws."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import f1_score

from abaw.core.tasks import AUS
from abaw.temporal.metrics import (
    AffectRows,
    LabelMasks,
    au_f1,
    ccc_score,
    expression_f1,
    p_mtl,
    score_rows,
)

from ..golden_recipe import load


@pytest.mark.parametrize(
    ("y_true", "y_pred", "expected"),
    [
        pytest.param([-1.0, 0.0, 1.0], [-0.5, 0.0, 0.5], 0.8, id="half-amplitude"),
        pytest.param([0.2, 0.2], [0.2, 0.2], 0.0, id="both-constant"),
        pytest.param([0.1] * 3, [0.1] * 3, 0.0, id="constant-with-a-mean-beside-it"),
        pytest.param([0.0, 1e-200], [1e-200, 0.0], 0.0, id="squares-underflow"),
        pytest.param([0.0, 1.0], [1.0, 0.0], -1.0, id="opposite"),
        pytest.param([0.0, 1.0], [0.5, 0.5], 0.0, id="constant-prediction"),
    ],
)
def test_ccc_by_hand(y_true, y_pred, expected):
    assert ccc_score(np.array(y_true), np.array(y_pred)) == pytest.approx(expected)


def test_ccc_shape_error_names_both_shapes():
    with pytest.raises(ValueError, match=r"y_true \(3,\) and y_pred \(3, 1\)"):
        ccc_score(np.zeros(3), np.zeros((3, 1)))


@pytest.fixture(scope="module")
def reference():
    facts, arrays = load("metrics")
    return facts["values"], arrays


@pytest.mark.parametrize(("name", "marker"), [("v", -5), ("a", -5)])
def test_ccc_is_the_references(reference, name: str, marker: int):
    values, arrays = reference
    kept = arrays[f"label_{name}"] != marker
    assert kept.sum() == values[name]["n"]
    found = ccc_score(arrays[f"label_{name}"][kept], arrays[f"pred_{name}"][kept])
    assert found == pytest.approx(values[name]["ccc"], abs=1e-12)
    assert found != pytest.approx(values[name]["ccc_sample_variance"], abs=1e-7)  # ddof 1


def test_expression_f1_is_the_references(reference):
    values, arrays = reference
    kept = arrays["label_expr"] != -1
    found = expression_f1(arrays["label_expr"][kept], arrays["pred_expr"][kept])
    np.testing.assert_allclose(found, values["expr"]["f1_per_class"], atol=1e-12)
    assert found.mean() == pytest.approx(values["expr"]["macro_f1"], abs=1e-12)


def test_au_f1_is_the_references(reference):
    values, arrays = reference
    labels = arrays["label_au"]
    pred = arrays["score_au"] >= 0.5
    found = au_f1(np.maximum(labels, 0), pred, labels != -1)
    np.testing.assert_allclose(found, list(values["au"]["f1_per_au"].values()), atol=1e-12)


def test_partly_labelled_aus_are_scored_column_by_column(reference):
    _, arrays = reference
    labels = arrays["label_au_partial"]
    pred = arrays["score_au"] >= 0.5
    found = au_f1(np.maximum(labels, 0), pred, labels != -1).mean()
    assert found == pytest.approx(0.593755, abs=1e-6)  # flattened first, it would be 0.636483


def golden_rows(arrays) -> tuple[AffectRows, LabelMasks, AffectRows]:
    labels = AffectRows(
        arrays["label_v"], arrays["label_a"], arrays["label_expr"], arrays["label_au"].clip(0)
    )
    masks = LabelMasks(
        arrays["label_v"] != -5,
        arrays["label_a"] != -5,
        arrays["label_expr"] != -1,
        arrays["label_au"] != -1,
    )
    au = (arrays["score_au"] >= 0.5).astype(np.int8)
    return labels, masks, AffectRows(arrays["pred_v"], arrays["pred_a"], arrays["pred_expr"], au)


def test_rows_count_for_affect_where_both_dimensions_are_labelled(reference):
    scores = score_rows(*golden_rows(reference[1]))
    assert pytest.approx(0.844496235, abs=1e-9) == scores.CCC_V
    assert pytest.approx(1.793082072, abs=1e-9) == scores.P_MTL


def test_a_row_listed_twice_counts_twice(reference):
    labels, masks, predictions = golden_rows(reference[1])

    def doubled(rows, kind):
        columns = (getattr(rows, name) for name in ("valence", "arousal", "expression", "au"))
        return kind(*(np.concatenate([column, column[:500]]) for column in columns))

    once = score_rows(labels, masks, predictions)
    twice = score_rows(
        doubled(labels, AffectRows), doubled(masks, LabelMasks), doubled(predictions, AffectRows)
    )
    assert twice.N["EXPR"] > once.N["EXPR"]
    assert twice.P_MTL != once.P_MTL


def test_a_task_without_labels_is_none_and_so_is_p_mtl(reference):
    labels, masks, predictions = golden_rows(reference[1])
    none = LabelMasks(masks.valence, masks.arousal, masks.expression, np.zeros_like(masks.au))
    scores = score_rows(labels, none, predictions)
    assert scores.F1_AU is None
    assert scores.P_MTL is None
    assert scores.available == pytest.approx((scores.CCC_V + scores.CCC_A) / 2 + scores.F1_EXPR)


def test_eight_classes_count_also_where_fewer_occur():
    two = np.array([0, 0, 1, 1])
    assert expression_f1(two, two).mean() == pytest.approx(2 / 8)


def test_a_nan_prediction_is_refused_by_name(reference):
    labels, masks, predictions = golden_rows(reference[1])
    broken = predictions.arousal.copy()
    broken[7] = np.nan
    bad = AffectRows(predictions.valence, broken, predictions.expression, predictions.au)
    with pytest.raises(ValueError, match="arousal of row 7 is nan"):
        score_rows(labels, masks, bad)


def test_an_absent_class_counts_zero_as_on_record(reference):
    values, arrays = reference
    label, pred = arrays["label_expr"], arrays["pred_expr"]
    kept = (label != -1) & (label != 3) & (pred != 3)
    facts = values["edge_absent_class"]
    assert kept.sum() == facts["n"]
    found = expression_f1(label[kept], pred[kept]).mean()
    assert found == pytest.approx(facts["fixed_8_classes_zero_division_0"], abs=1e-12)


@given(
    y_true=hnp.arrays(np.int64, 30, elements=st.integers(0, 7)),
    y_pred=hnp.arrays(np.int64, 30, elements=st.integers(0, 7)),
)
def test_expression_f1_is_that_of_scikit_learn(y_true, y_pred):
    expected = f1_score(y_true, y_pred, labels=range(8), average=None, zero_division=0)
    np.testing.assert_allclose(expression_f1(y_true, y_pred), expected, atol=1e-15)


@pytest.mark.parametrize("bad", [-1, 8])
def test_a_class_that_is_none_of_the_8_is_refused(bad: int):
    with pytest.raises(ValueError, match=f"0 to 7, but got {bad}"):
        expression_f1(np.array([0, bad]), np.array([0, 1]))


def test_an_au_without_a_positive_counts_zero_and_one_without_a_label_is_nan():
    zeros = np.zeros((3, 12), int)
    is_labelled = np.ones((3, 12), bool)
    is_labelled[:, 5] = False
    found = au_f1(zeros, zeros, is_labelled)
    assert np.isnan(found[5])
    np.testing.assert_array_equal(np.delete(found, 5), 0)


def test_an_au_without_a_labelled_row_leaves_f1_au_undefined(reference):
    labels, masks, predictions = golden_rows(reference[1])
    has_au = masks.au.copy()
    has_au[:, 5] = False
    masks = LabelMasks(masks.valence, masks.arousal, masks.expression, has_au)
    scores = score_rows(labels, masks, predictions)
    assert scores.F1_AU is None
    assert scores.P_MTL is None
    assert len(scores.per_au) == 11


def test_p_mtl_weighs_affect_expressions_and_aus_alike():
    assert p_mtl(1, 1, 1, 1) == 3
    assert p_mtl(0.5, 0.3, 0, 0) == pytest.approx(0.4)


def test_the_text_has_six_digits_and_the_dict_all(reference):
    scores = score_rows(*golden_rows(reference[1]))
    assert "P_MTL    1.793082" in scores.text()
    back = json.loads(json.dumps(scores.to_dict()))
    assert back["P_MTL"] == scores.P_MTL
    assert back["N"] == scores.N
    assert list(back)[:6] == ["CCC_V", "CCC_A", "F1_EXPR", "F1_AU", "P_MTL", "N"]


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_prediction_is_refused_by_name(reference, value: float):
    labels, masks, predictions = golden_rows(reference[1])
    broken = predictions.valence.copy()
    broken[3] = value
    bad = AffectRows(broken, predictions.arousal, predictions.expression, predictions.au)
    with pytest.raises(ValueError, match=f"valence of row 3 is {value}"):
        score_rows(labels, masks, bad)


N = 40
METRICS = {
    "ccc": (ccc_score, hnp.arrays(np.float64, N, elements=st.floats(-1, 1, width=32))),
    "expression_f1": (
        lambda t, p: expression_f1(t, p).mean(),
        hnp.arrays(np.int64, N, elements=st.integers(0, 7)),
    ),
    "au_f1": (
        lambda t, p: au_f1(t, p, np.ones(t.shape, bool)).mean(),
        hnp.arrays(np.int64, (N, len(AUS)), elements=st.integers(0, 1)),
    ),
}
"""Every measure with a strategy for its arguments; the laws below hold for all of them."""


@pytest.mark.parametrize("name", METRICS)
@given(data=st.data())
def test_laws_of_every_measure(name: str, data):
    measure, values = METRICS[name]
    y_true, y_pred = data.draw(values), data.draw(values)
    score = measure(y_true, y_pred)
    assert -1 - 1e-9 <= score <= 1 + 1e-9
    order = np.random.default_rng(0).permutation(N)
    assert measure(y_true[order], y_pred[order]) == pytest.approx(score, abs=1e-6)
    assert measure(y_pred, y_true) == pytest.approx(score, abs=1e-9)  # all three are symmetric
    assert measure(y_true, y_true) >= score - 1e-9


@given(data=st.data())
def test_a_perfect_prediction_scores_one(data):
    y = data.draw(METRICS["ccc"][1])
    assert ccc_score(y, y) == pytest.approx(0 if np.ptp(y) < 1e-150 else 1, abs=1e-9)
    classes = np.concatenate([np.arange(8), data.draw(METRICS["expression_f1"][1])])
    assert expression_f1(classes, classes).tolist() == [1] * 8
    aus = data.draw(METRICS["au_f1"][1])
    aus[0] = 1
    assert au_f1(aus, aus, np.ones(aus.shape, bool)).tolist() == [1] * 12
