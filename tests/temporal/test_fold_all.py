"""Training on train and validation split: all epochs, the last weights, nothing to score."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from abaw.core.errors import UsageError
from abaw.temporal.predict import predict
from abaw.temporal.train import train

from .made import config, write_cache


def test_a_run_on_all_keeps_the_last_weights_and_predicts_the_test_split(tmp_path: Path):
    cache = write_cache(tmp_path / "cache")
    run = train(config(fold="all"), cache, out=tmp_path / "runs", progress=False)
    assert run.scores is None
    assert "trained on all, nothing to score it on (last epoch 2)" in run.text()
    assert "-fall-" in run.folder.name
    assert not (run.folder / "val_predictions.csv").exists()
    lines = [json.loads(x) for x in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [set(line) for line in lines] == [{"epoch", "learning_rate", "loss"}] * 2
    found = predict(run.folder, "test", tmp_path / "test.csv", cache)
    assert found.n_frames > 0
    with pytest.raises(UsageError, match="so it has no val to predict"):
        predict(run.folder, "val", tmp_path / "val.csv", cache)
    more = train(config(fold="all", epochs=3), cache, out=tmp_path / "runs", progress=False)
    first, last = (load_file(folder / "model.safetensors") for folder in (run.folder, more.folder))
    assert any(not torch.equal(first[key], last[key]) for key in first)


def test_more_is_learnt_from_than_in_fold_0(tmp_path: Path):
    cache = write_cache(tmp_path / "cache")
    for fold in (0, "all"):
        run = train(config(fold=fold, epochs=1), cache, out=tmp_path / "runs", progress=False)
        n = run.facts["join"]["train"]["n_videos"]
        assert n == (10 if fold == 0 else 14)
