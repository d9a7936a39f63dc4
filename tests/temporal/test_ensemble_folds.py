"""Ensembles over several folds: who is a member, and what each fold's figures come from."""

from pathlib import Path

import numpy as np
import pytest

from abaw.temporal.ensemble import EnsembleSettings, ensemble
from abaw.temporal.ensemble_file import load_ensemble, mix
from abaw.temporal.errors import TemporalError
from abaw.temporal.predictions import read_predictions
from abaw.temporal.score import score_table

from .made_predictions import noisy
from .made_runs import Folded, assert_same

PLAIN = EnsembleSettings("equal", smoothing="none", tune_thresholds=False)


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> Folded:
    return Folded(tmp_path_factory.mktemp("folded"))


def test_runs_that_differ_only_in_their_fold_are_one_member(folded: Folded, tmp_path: Path):
    result = ensemble(folded.runs[::-1], tmp_path, folded.cache)
    assert [member["name"] for member in result.facts["members"]] == [
        "face gru se s1",
        "face gru se s0",
    ]
    for member, table in zip(result.facts["members"], folded.tables[::-1], strict=True):
        assert [run["fold"] for run in member["runs"]] == [0, 1, 2]
        assert member["scores"]["N"]["EXPR"] == folded.truth.is_labelled.expression.sum()
        whole = score_table(table, folded.truth, "").to_dict()
        assert member["scores"]["P_MTL"] == pytest.approx(whole["P_MTL"], abs=1e-12)
    assert result.facts["nested"]["over"] == "folds"
    assert "2 of 3 folds" in result.text()
    assert len(load_ensemble(tmp_path).runs) == 6


def test_predictions_of_a_fold_are_processed_by_what_the_others_taught(
    folded: Folded, tmp_path: Path
):
    ensemble(folded.runs, tmp_path, folded.cache, EnsembleSettings("fitted"))
    found = read_predictions(tmp_path / "nested_predictions.csv")
    # The same from the two other folds alone.
    for fold, videos in folded.parts.items():
        others = [run for run in folded.runs if not run.name.endswith(f"-{fold}")]
        ensemble(others, tmp_path / str(fold), folded.cache, EnsembleSettings("fitted"))
        loaded = load_ensemble(tmp_path / str(fold))
        own = [
            read_predictions(run / "val_predictions.csv")
            for run in folded.runs
            if run.name.endswith(f"-{fold}")
        ]
        expected = mix([table for table in own for _ in range(2)], loaded)
        rows = np.flatnonzero(np.isin(found.video, videos))
        assert_same(found.take(rows), expected)


def test_runs_of_one_member_count_the_same(folded: Folded, tmp_path: Path):
    ensemble(folded.runs[:3], tmp_path, folded.cache, PLAIN)
    tables = [noisy(folded.truth, 0.5, seed) for seed in (4, 5, 6)]
    found = mix(tables, load_ensemble(tmp_path))
    np.testing.assert_allclose(
        found.p_au, np.mean([table.p_au for table in tables], axis=0), atol=1e-6
    )


def test_members_without_a_fold_are_refused(folded: Folded, tmp_path: Path):
    with pytest.raises(TemporalError, match=r"m0-0 has folds 0, 1, 2 and .*m1-0 fold 0; train"):
        ensemble(folded.runs[:4], tmp_path, folded.cache)
