"""Runs that are fed true labels: an upper bound that nothing takes for a prediction."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from abaw.cli import main
from abaw.core.errors import UsageError
from abaw.temporal.config import RunConfig
from abaw.temporal.ensemble_members import read_members
from abaw.temporal.errors import TemporalError
from abaw.temporal.losses import Labels
from abaw.temporal.nets.build import build_network
from abaw.temporal.report import score_table
from abaw.temporal.train import train

from .made import config as made_config
from .made import write_cache
from .nets import F, config, labels_of, run

pytestmark = pytest.mark.heavy

TWO = {"weight_valence": 0, "weight_arousal": 0}


def oracle(**changes) -> RunConfig:
    return config(framework="label-feedback:au>expression", oracle=True, **TWO, **changes)


def test_only_label_feedback_can_be_fed_true_labels():
    with pytest.raises(UsageError, match="which needs framework=label-feedback:GRAPH, but got se"):
        config(oracle=True)


@torch.no_grad()
def test_true_labels_reach_the_target_when_it_is_judged_and_only_where_they_are():
    torch.manual_seed(0)
    x = torch.randn(2, 9, F)
    labels = labels_of(2, 9)
    network = build_network(F, oracle(encoder="none")).eval()
    alone, fed = run(network, x), run(network, x, labels)
    torch.testing.assert_close(fed["au"], alone["au"])
    assert not torch.isclose(fed["expression"], alone["expression"]).all(dim=-1).any()
    nothing = {task: torch.zeros_like(mask) for task, mask in labels.is_labelled.items()}
    unlabelled = run(network, x, Labels(labels.values, nothing))
    torch.testing.assert_close(unlabelled["expression"], alone["expression"])


@torch.no_grad()
def test_an_honest_network_never_sees_labels_when_it_is_judged():
    torch.manual_seed(0)
    x = torch.randn(2, 9, F)
    network = build_network(F, config(framework="label-feedback:au>expression", **TWO)).eval()
    network.truth_rate.fill_(1)
    torch.testing.assert_close(run(network, x, labels_of(2, 9)), run(network, x))


@torch.no_grad()
def test_in_training_the_truth_is_fed_to_the_end():
    torch.manual_seed(0)
    x, labels = torch.randn(2, 9, F), labels_of(2, 9)
    network = build_network(F, oracle(encoder="none", dropout=0, input_dropout=0)).train()
    network.truth_rate.fill_(0)
    in_training = run(network, x, labels)
    torch.testing.assert_close(in_training, run(network.eval(), x, labels))


@pytest.mark.heavy
def test_an_oracle_says_so_and_is_refused_wherever_predictions_count(tmp_path: Path):
    cache = write_cache(tmp_path / "cache")
    made = made_config(framework="label-feedback:au>expression", oracle=True, **TWO)
    found = train(made, cache, out=tmp_path / "runs", progress=False)
    assert "-oracle-" in found.folder.name
    assert "(ORACLE: fed true labels)" in found.text()
    assert found.scores["oracle"] is True
    assert found.facts["oracle"] is True
    assert (found.folder / "oracle_predictions.csv").exists()
    assert not (found.folder / "val_predictions.csv").exists()
    with pytest.raises(TemporalError, match=r"an ensemble needs runs that predict on their own"):
        read_members([found.folder], cache)
    with pytest.raises(TemporalError, match=r"a table of scores needs runs that predict"):
        score_table([found.folder], cache)
    out = tmp_path / "p.csv"
    arguments = ["temporal-predict", str(found.folder), "--split", "val", "--out", str(out)]
    told = CliRunner().invoke(main, [*arguments, "--cache", str(cache)])
    assert told.exit_code == 1
    assert "was fed the true labels (oracle=true)" in told.stderr
    assert not out.exists()
    honest = train(
        made.model_copy(update={"oracle": False}), cache, out=tmp_path / "runs", progress=False
    )
    assert "oracle" not in honest.scores
    assert "ORACLE" not in honest.text()
    # The truth of AUs tells more of the expression than what is predicted of them.
    assert found.scores["F1_EXPR"] != honest.scores["F1_EXPR"]


@pytest.mark.heavy
def test_the_checkpoint_is_chosen_by_the_tasks_that_are_named(tmp_path: Path):
    cache = write_cache(tmp_path / "cache")
    for task, key in (("valence", "CCC_V"), ("au", "F1_AU")):
        made = made_config(epochs=8, chosen_by=task, learning_rate=2e-2)
        found = train(made, cache, out=tmp_path / "runs", progress=False)
        lines = (found.folder / "metrics.jsonl").read_text().splitlines()
        values = [json.loads(line)["val"][key] for line in lines]
        assert found.facts["best_epoch"] == values.index(max(values)) + 1


def test_a_checkpoint_is_not_chosen_by_a_task_without_weight():
    with pytest.raises(UsageError, match="but the weight of au is 0"):
        config(chosen_by="valence+au", weight_au=0)
    assert config(chosen_by="valence+au").chosen_by == ("valence", "au")
    with pytest.raises(UsageError, match="chosen_by of a run must be"):
        config(chosen_by="valense")
