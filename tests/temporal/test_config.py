"""Settings of a run: typed, in range, and the same again after JSON."""

import json
from pathlib import Path

import pytest

from abaw.core.errors import UsageError
from abaw.temporal.config import RunConfig, config_from_command


def test_defaults_are_themselves_again_after_json():
    config = RunConfig(features=("a", "b"), head_hidden=(32, 16), learning_rate=1e-3)
    text = json.dumps(config.to_dict())
    assert RunConfig.from_dict(json.loads(text), "run.json") == config


def test_texts_are_read_by_the_type_of_their_setting():
    texts = ["epochs=3", "dropout=0.25", "bidirectional=False", "fill=drop", "head_hidden=48,32"]
    config = config_from_command("a+b", None, texts, encoder="gru", seed=4, labels=None)
    assert config.features == ("a", "b")
    assert (config.epochs, config.dropout, config.bidirectional) == (3, 0.25, False)
    assert (config.fill, config.head_hidden, config.seed) == ("drop", (48, 32), 4)
    assert config.labels == "labels"
    assert config_from_command("a", None, ["head_hidden="]).head_hidden == ()


def test_set_wins_over_the_file_and_an_option_of_its_own_over_both(tmp_path: Path):
    path = tmp_path / "run.yaml"
    path.write_text("epochs: 7\nseed: 1\nlayers: 2\nhead_hidden: [16]\nlearning_rate: 1e-3\n")
    config = config_from_command("a", path, ["epochs=8", "seed=2"], seed=3)
    assert (config.epochs, config.seed, config.layers) == (8, 3, 2)
    assert (config.head_hidden, config.learning_rate) == ((16,), 1e-3)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["hiden_size=3"], "no setting 'hiden_size' .*did you mean hidden_size"),
        (["epochs=many"], "epochs of a run must be a whole number, but got 'many'"),
        (["epochs=2.5"], "epochs of a run must be a whole number, but got '2.5'"),
        (["epochs=0"], "epochs of a run must be at least 1, but got '0'"),
        (["dropout=1"], "dropout of a run must be at most 0.99, but got '1'"),
        (["learning_rate=0"], "learning_rate of a run must be more than 0, but got '0'"),
        (["dropout=nan"], "dropout of a run must be a number, but got 'nan'"),
        (["dropout=a lot"], "dropout of a run must be a number, but got 'a lot'"),
        (["bidirectional=maybe"], "bidirectional of a run must be true or false, but got 'maybe'"),
        (["fill=guess"], "fill of a run must be hold, zero or drop, but got 'guess'"),
        (["head_hidden=48,x"], "head_hidden .* a whole number, or several .*, but got 'x'"),
        (["head_hidden=48,0"], "head_hidden .* at least 1, but got '0'"),
        (["stride=65"], "stride must be at most segment_length.* got 65 and 32"),
        (["hidden_size=7"], "hidden_size must be even in two directions, but got 7"),
        (["fold=some"], "fold of a run must be a whole number, or all, but got 'some'"),
        (["feeding=lanes"], "feeding=lanes .* needs bidirectional=false"),
        (["time_axis=frames", "fill=drop"], "fill must be hold or zero, but is drop"),
        (["epochs"], "--set takes key=value, but got 'epochs'"),
        ([f"weight_{t}=0" for t in ("valence", "arousal", "expression", "au")], "all four weights"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_value(settings, words):
    with pytest.raises(UsageError, match=words):
        config_from_command("a", None, settings)


@pytest.mark.parametrize(
    ("features", "words"),
    [("", "needs the name of an embedding"), ("a+a", r"once, but got a\+a"), ("a/b", "'a/b'")],
)
def test_wrong_features_are_refused(features, words):
    with pytest.raises(UsageError, match=words):
        config_from_command(features, None, [])


@pytest.mark.parametrize(
    ("text", "words"), [("- a\n", "holds a list"), ("a: [\n", "cannot be read"), ("", "NoneType")]
)
def test_a_file_that_is_no_mapping_is_refused_by_name(tmp_path: Path, text, words):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=rf"run\.yaml .*{words}"):
        config_from_command("a", path, [])


def test_a_preset_is_read_by_its_name_and_a_wrong_name_is_told_the_nearest():
    config = config_from_command("a", "paper-gru", [])
    assert (config.encoder, config.feeding) == ("gru", "lanes")
    with pytest.raises(UsageError, match=r"'paper-gruu' is neither; did you mean paper-gru"):
        config_from_command("a", "paper-gruu", [])


def test_an_unknown_setting_is_refused_from_python_too():
    with pytest.raises(UsageError, match="no setting 'hidden'; did you mean hidden_size"):
        RunConfig(features=("a",), hidden=3)
    with pytest.raises(UsageError, match="needs the setting features"):
        RunConfig()


def test_every_setting_says_what_it_is():
    for name, field in RunConfig.model_fields.items():
        assert field.description, name
