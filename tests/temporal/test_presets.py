"""The presets of the winners' paper: what they set, and that each line says where it is from."""

import re
from pathlib import Path

import pytest

from abaw.core.errors import UsageError
from abaw.temporal.config import CARRIED_OUT, PRESET_FOLDER, config_from_command, presets
from abaw.temporal.settings.loss import LossSettings
from abaw.temporal.settings.network import NetworkSettings
from abaw.temporal.settings.training import TrainingSettings

PAPER = ("paper-gru", "paper-lstm", "paper-sbe-hsf", "paper-transformer")
OPEN = {"seed", "data_seed", "compile", "average_decay", "average_from", *CARRIED_OUT}
"""Settings of training that a preset leaves to others, or that belong to one it does not choose."""


def lines_of(name: str) -> dict[str, str]:
    """Setting -> its line."""
    text = (PRESET_FOLDER / f"{name}.yaml").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {line.partition(":")[0]: line for line in lines}


def test_the_presets_are_those_of_the_paper():
    assert tuple(presets()) == PAPER


@pytest.mark.parametrize("name", presets())
def test_each_line_of_a_preset_says_whether_it_is_published(name: str):
    for line in lines_of(name).values():
        assert re.search(r" # \[(not )?published\]( \S|$)", line), line


@pytest.mark.parametrize("name", presets())
def test_a_preset_leaves_nothing_of_loss_and_training_to_defaults(name: str):
    config = config_from_command("a", name, [])
    lines = lines_of(name)
    asked = (set(LossSettings.model_fields) | set(TrainingSettings.model_fields)) - OPEN
    assert asked <= set(lines)
    unlike_transformers = {"heads", "ffn_size", "norm", "positions", "attention_context"}
    network = set(NetworkSettings.model_fields) - unlike_transformers
    network -= {"task_heads", "feedback_gradient", "label_width", "truth_rate", "truth_until"}
    network -= {"layers"} if "sbe" in config.framework else {"shared_layers", "task_layers"}
    if config.encoder == "transformer":
        network |= unlike_transformers
    assert network <= set(lines)


@pytest.mark.parametrize("name", presets())
def test_the_weights_are_those_of_the_tasks_they_are_named_after(name: str):
    # The published order is valence, arousal, AU, expression: 12, 12, 1, 0.35.
    weights = config_from_command("a", name, []).task_weights
    assert weights == {"valence": 12, "arousal": 12, "expression": 0.35, "au": 1}


@pytest.mark.parametrize("name", presets())
def test_what_the_published_systems_have_in_common(name: str):
    config = config_from_command("a", name, [])
    assert (config.optimizer, config.learning_rate, config.weight_decay) == ("adam", 5e-5, 0)
    assert (config.beta1, config.beta2) == (0.5, 0.999)
    assert (config.clip_norm, config.clip_by) == (5, "part")
    assert (config.batch_size, config.epochs, config.schedule) == (8, 50, "linear")
    assert (config.ccc_share, config.va_distance, config.weighting) == (0, "mse", "fixed")
    assert config.balance_expression == config.balance_au == 0
    assert (config.smoothing, config.tune_thresholds, config.averaging) == ("none", False, "none")
    assert config.stride == config.segment_length
    assert not config.random_offset


def test_the_multi_task_transformer_is_the_published_one():
    config = config_from_command("a", "paper-sbe-hsf", [])
    assert config.framework == "sbe-hsf:valence+au>arousal"
    assert not config.feedback_gradient
    assert (config.shared_layers, config.task_layers) == (1, 3)
    assert (config.hidden_size, config.heads, config.ffn_size) == (1024, 16, 2048)
    assert (config.dropout, config.head_hidden) == (0.3, (512, 256))
    assert (config.segment_length, config.warmup, config.norm) == (64, 0.2, "post")
    assert all("[published]" in line for line in lines_of("paper-sbe-hsf").values())


@pytest.mark.parametrize("name", ["paper-gru", "paper-lstm"])
def test_recurrent_presets_carry_their_state_and_own_up_to_sizes_that_are_not_published(name: str):
    config = config_from_command("a", name, [])
    assert (config.feeding, config.bidirectional) == ("lanes", False)
    assert (config.layers, config.head_hidden) == (
        (2, (512, 256)) if name == "paper-gru" else (1, (256, 256))
    )
    for setting in ("hidden_size", "segment_length", "stride", "weight_valence", "weight_au"):
        assert "[not published]" in lines_of(name)[setting]


@pytest.mark.parametrize("name", presets())
def test_a_preset_with_an_unknown_line_is_refused(name: str, tmp_path: Path):
    path = tmp_path / "run.yaml"
    path.write_text((PRESET_FOLDER / f"{name}.yaml").read_text() + "hiden_size: 3\n")
    with pytest.raises(UsageError, match=r"no setting 'hiden_size' .*did you mean hidden_size"):
        config_from_command("a", path, [])
