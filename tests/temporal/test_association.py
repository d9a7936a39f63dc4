"""One measure of association for every two kinds of labels."""

import numpy as np
import pytest

from abaw.core.tasks import N_AUS
from abaw.temporal.association import association, canonical_correlation
from abaw.temporal.metrics import AffectRows, LabelMasks
from abaw.temporal.score import RowLabels


def rows(n: int = 600, seed: int = 0, share: float = 1.0) -> RowLabels:
    """Expressions that follow from two AUs, valence from the expression, arousal against it."""
    rng = np.random.default_rng(seed)
    au = rng.integers(0, 2, (n, N_AUS))
    expression = 4 * au[:, 0] + 2 * au[:, 3] + rng.integers(0, 2, n)
    valence = np.cos(expression) + 0.3 * rng.normal(size=n)
    arousal = -valence + rng.normal(size=n)
    there = [rng.random(n) < share for _ in range(3)]
    masks = LabelMasks(*there, (rng.random(n) < share)[:, None].repeat(N_AUS, axis=1))
    keys = [("v", frame) for frame in range(n)]
    return RowLabels(keys, AffectRows(valence, arousal, expression, au), masks)


def test_it_is_what_each_kind_is_known_by():
    found = rows()
    labels, matrix = found.labels, association(found).matrix
    r = np.corrcoef(labels.valence, labels.arousal)[0, 1]
    assert r < -0.3
    assert matrix["valence", "arousal"] == pytest.approx(-r)
    means = np.array([labels.valence[labels.expression == k].mean() for k in range(8)])
    eta = (means[labels.expression].var() / labels.valence.var()) ** 0.5
    assert matrix["valence", "expression"] == pytest.approx(eta)
    x = np.column_stack([np.ones(len(labels.au)), labels.au])
    fitted = x @ np.linalg.lstsq(x, labels.arousal, rcond=None)[0]
    multiple = (fitted.var() / labels.arousal.var()) ** 0.5
    assert matrix["au", "arousal"] == pytest.approx(multiple)
    assert matrix["expression", "au"] == pytest.approx(1)  # AU1 follows from the expression
    assert all(matrix[one, other] == matrix[other, one] for one, other in matrix)


def test_pearson_keeps_its_sign():
    found = association(rows())
    assert found.pearson < -0.3
    assert found.ccc < 0


def test_only_rows_that_are_annotated_for_both_count():
    whole, some = rows(), rows(share=0.6)
    both = some.is_labelled.valence & some.is_labelled.expression
    spoilt = np.where(some.is_labelled.valence, whole.labels.valence, 99.0)
    changed = RowLabels(
        some.keys, AffectRows(spoilt, *list(vars(whole.labels).values())[1:]), some.is_labelled
    )
    columns = np.eye(8)[whole.labels.expression[both]]
    expected = canonical_correlation(whole.labels.valence[both][:, None], columns)
    assert association(changed).matrix["valence", "expression"] == pytest.approx(expected)


def test_too_few_rows_or_constant_labels_have_none():
    assert association(rows(n=100)).matrix["expression", "au"] is None
    assert association(rows(n=100)).matrix["valence", "arousal"] is not None
    assert canonical_correlation(np.ones((50, 1)), np.arange(50.0)[:, None]) is None
    assert association(rows(n=5)).pearson is None
