"""Nested fitting: no label takes part in the prediction that it scores."""

from dataclasses import replace

import numpy as np
import pytest

from abaw.temporal.crossfit import recording_groups
from abaw.temporal.data.recordings import recording_of
from abaw.temporal.errors import PredictionError
from abaw.temporal.metrics import AffectRows
from abaw.temporal.postprocess_fit import fit, fit_over_folds, nested
from abaw.temporal.prediction_table import concatenated
from abaw.temporal.score import score_table

from .made_predictions import noisy, rows_where, table_from, truth_of

VIDEOS = ("a", "a_left", "b", "b_right", "c", "d", "e", "e_left", "f", "g")


def of_recordings(table, names) -> np.ndarray:
    return np.array([recording_of(video) in names for video in table.video])


def test_recordings_stay_together_and_groups_are_about_as_large():
    rng = np.random.default_rng(0)
    videos = [f"{n}{side}" for n in range(30) for side in ("", "_left", "_right")]
    rows = [video for video in videos for _ in range(rng.integers(1, 100))]
    groups = recording_groups(videos, rows, 5, seed=0)
    of_recording = {}
    for video, group in zip(rows, groups.of_key, strict=True):
        assert of_recording.setdefault(video.partition("_")[0], group) == group
    counts = np.bincount(groups.of_key, minlength=5)
    assert counts.min() > 0.8 * counts.max()
    again = recording_groups(videos, rows, 5, seed=0)
    np.testing.assert_array_equal(groups.of_key, again.of_key)
    other = recording_groups(videos, rows, 5, seed=1)
    assert (groups.of_key != other.of_key).any()


def test_each_group_gets_what_is_fitted_on_the_tables_of_the_others():
    truth = truth_of(videos=VIDEOS, n=40)
    table = noisy(truth, 0.6, au_bias=-1)
    found = nested(table, truth, n_groups=3)
    assert len(found.processes) == 3
    assert found.reason is None
    groups = recording_groups(table.video, table.video, 3, seed=0)
    for number, process in enumerate(found.processes):
        inside = groups.of_row == number
        alone = table.take(np.flatnonzero(~inside))
        assert fit(alone, rows_where(truth, ~inside)) == process
        applied = process.apply(table)
        np.testing.assert_array_equal(found.table.valence[inside], applied.valence[inside])
        np.testing.assert_array_equal(found.table.au[inside], applied.au[inside])
    assert len(set(found.processes)) > 1


def test_labels_of_a_recording_never_reach_its_own_predictions():
    truth = truth_of(videos=VIDEOS, n=40)
    table = noisy(truth, 0.6, au_bias=-1)
    before = nested(table, truth)
    for recording in ("a", "c", "e"):
        own = of_recordings(table, {recording})
        labels = truth.labels
        turned = replace(
            truth,
            labels=replace(
                labels,
                valence=np.where(own, -labels.valence, labels.valence),
                expression=np.where(own, 7 - labels.expression, labels.expression),
                au=np.where(own[:, None], 1 - labels.au, labels.au),
            ),
        )
        after = nested(table, turned)
        for column in ("valence", "arousal", "expression", "au", "p_au"):
            np.testing.assert_array_equal(
                getattr(before.table, column)[own], getattr(after.table, column)[own]
            )
        assert before.processes != after.processes  # of the other recordings


def gains_on_noise(seed: int) -> tuple[float, float]:
    """What post-processing adds to P_MTL in-sample and nested, where there is nothing to find.

    Labels are coins and predictions noise. AUs are nearly always predicted as present, which is the
    best that can be done without looking; each recording has a range of its own, so that a
    threshold can pick out those in which coins fell well.
    """
    videos = tuple("abcdefgh")
    truth = truth_of(seed, videos, n=25, missing=0.0)
    rng = np.random.default_rng(seed + 100)
    n = len(truth.keys)
    au = (rng.random((n, 12)) < 0.15).astype(np.int8)
    expression = rng.integers(0, 8, n).astype(np.int8)
    affect = rng.uniform(-1, 1, (2, n)).astype(np.float32)
    truth = replace(truth, labels=AffectRows(*affect, expression, au))
    range_of_video = np.repeat(rng.normal(size=(len(videos), 12)), 25, axis=0)
    table = table_from(
        truth.keys,
        rng.normal(size=(n, 2)) / 3,
        rng.normal(size=(n, 8)),
        rng.normal(size=(n, 12)) + range_of_video + 4,
    )
    tables = (table, fit(table, truth).apply(table), nested(table, truth).table)
    raw, in_sample, honest = (score_table(one, truth, "").P_MTL for one in tables)
    return in_sample - raw, honest - raw


def test_on_labels_that_are_noise_the_gain_in_sample_is_gone_when_nested():
    gains = np.array([gains_on_noise(seed) for seed in range(10)])
    in_sample, honest = gains.mean(axis=0)
    assert in_sample > 0.06, in_sample
    assert honest < 0.0, honest


def test_with_one_recording_predictions_stay_and_the_reason_is_given():
    truth = truth_of(videos=("a", "a_left"))
    table = noisy(truth, 0.5)
    found = nested(table, truth)
    assert found.table is table
    assert found.processes == ()
    assert "1 recording with annotated rows" in found.reason
    # Nor do recordings without an annotated row make a second one.
    more = noisy(truth_of(videos=("a", "a_left", "b")), 0.5)
    assert nested(more, truth).reason == found.reason


def test_recordings_without_annotated_rows_are_processed_too():
    truth = truth_of(videos=("a", "b", "c"))
    table = noisy(truth, 0.5)
    labelled = rows_where(truth, np.array(table.video) != "c")
    found = nested(table, labelled)
    in_c = np.array(table.video) == "c"
    assert (found.table.valence[in_c] != table.valence[in_c]).any()


@pytest.fixture(name="folds")
def _folds():
    truth = truth_of(videos=VIDEOS, n=40)
    table = noisy(truth, 0.6, au_bias=-1)
    names = ({"a", "b"}, {"c", "d", "e"}, {"f", "g"})
    tables = {
        fold: table.take(np.flatnonzero(of_recordings(table, some)))
        for fold, some in zip((2, 0, 1), names, strict=True)
    }
    return truth, tables


def test_parameters_of_a_fold_come_from_the_other_folds(folds):
    truth, tables = folds
    found = fit_over_folds(tables, truth)
    assert found.table.video == [video for fold in (0, 1, 2) for video in tables[fold].video]
    start = 0
    for fold, process in zip((0, 1, 2), found.processes, strict=True):
        outside = ~np.isin([video for video, _ in truth.keys], tables[fold].video)
        some = [tables[other] for other in (0, 1, 2) if other != fold]
        both = rows_where(truth, outside)
        assert fit(concatenated(some), both) == process
        own = slice(start, start + len(tables[fold]))
        expected = process.apply(tables[fold])
        np.testing.assert_array_equal(found.table.p_expression[own], expected.p_expression)
        np.testing.assert_array_equal(found.table.au[own], expected.au)
        start += len(tables[fold])


def test_folds_that_share_a_recording_are_refused(folds):
    truth, tables = folds
    tables[1] = replace(tables[1], video=[v.replace("f", "a_right") for v in tables[1].video])
    with pytest.raises(PredictionError, match=r"'a' is predicted in fold 1 and in fold 2"):
        fit_over_folds(tables, truth)


def test_one_fold_alone_stays_as_it_is(folds):
    truth, tables = folds
    found = fit_over_folds({2: tables[2]}, truth)
    assert found.reason == "predictions of fold 2 only: there is no other to fit parameters on"
    assert found.table.video == tables[2].video


def test_an_annotated_video_without_predictions_is_named(folds):
    truth, tables = folds
    del tables[0]
    with pytest.raises(PredictionError, match=r"lack 4 of them, one is 'c'"):
        fit_over_folds(tables, truth)


def test_fewer_than_two_groups_are_refused():
    with pytest.raises(ValueError, match="at least 2 groups, but got 1"):
        nested(noisy(truth_of(), 0.5), truth_of(), n_groups=1)
