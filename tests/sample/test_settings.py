from dataclasses import fields

import pytest

from abaw.core.errors import UsageError
from abaw.sample import DIFFICULTIES, PRESETS, SampleSettings, settings_from_text


def test_the_demo_preset_has_30_training_and_10_validation_videos_of_1200_frames():
    demo = PRESETS["demo"]
    assert (demo.n_train_videos, demo.n_val_videos) == (30, 10)
    assert (demo.n_train_videos + demo.n_val_videos) * demo.frames == 1200


def test_settings_from_text_changes_the_preset():
    settings = settings_from_text("demo", 7, ("frames=12", "gaps=0.25", "difficulty=hard"))
    assert (settings.seed, settings.frames, settings.gaps) == (7, 12, 0.25)
    assert settings.difficulty == "hard"
    assert settings.n_val_videos == 10


def test_settings_without_a_seed_keep_the_presets_seed():
    assert settings_from_text("bench") == PRESETS["bench"]


@pytest.mark.parametrize(
    ("preset", "pairs", "words"),
    [
        pytest.param("dmo", (), ("'dmo'", "demo"), id="preset"),
        pytest.param("demo", ("frams=3",), ("'frams'", "frames"), id="key"),
        pytest.param("demo", ("frames",), ("key=value", "'frames'"), id="no-equals"),
        pytest.param("demo", ("frames=many",), ("frames", "whole number", "'many'"), id="int"),
        pytest.param("demo", ("gaps=x",), ("gaps", "number", "'x'"), id="float"),
        pytest.param("demo", ("gaps=nan",), ("gaps", "nan"), id="nan"),
        pytest.param("demo", ("frames=0",), ("frames", "1", "0"), id="no-frames"),
        pytest.param("demo", ("n_train_videos=1",), ("n_train_videos", "2"), id="no-pair"),
        pytest.param("demo", ("difficulty=insane",), ("'insane'", "moderate"), id="difficulty"),
        pytest.param("demo", ("labelled=some",), ("'some'", "published"), id="labelled"),
        pytest.param("demo", ("seed=-1",), ("seed", "-1"), id="seed"),
    ],
)
def test_a_bad_setting_is_refused_with_its_value(preset, pairs, words):
    with pytest.raises(UsageError) as caught:
        settings_from_text(preset, None, pairs)
    assert not [word for word in words if word not in str(caught.value)]


def test_every_setting_of_the_default_is_the_presets_default():
    assert PRESETS["default"] == SampleSettings()


def test_difficulties_get_harder_in_everything():
    grades = [DIFFICULTIES[name] for name in ("easy", "moderate", "hard")]
    for field in fields(grades[0]):
        values = [getattr(grade, field.name) for grade in grades]
        assert values == sorted(values, reverse=field.name == "gain"), field.name
