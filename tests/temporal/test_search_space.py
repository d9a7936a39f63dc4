"""What a search chooses from is said in YAML or flags, and what cannot be is refused in words."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from abaw.cli import main
from abaw.core.errors import UsageError
from abaw.temporal.search_space import Choice, Range, space_from_text, space_of
from abaw.temporal.search_spec import search_asked

from .made import write_cache

pytestmark = pytest.mark.heavy

NONE = dict.fromkeys(("features", "encoder", "framework", "fold", "seed"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cache(tmp_path_factory.mktemp("cache"))


def asked(path: Path | None, out: Path, *spaces: str, varied=None, **flags):
    return search_asked(path, out, spaces, None, [], NONE | (varied or {}), **flags)


def written(tmp_path: Path, **values) -> Path:
    path = tmp_path / "search.yaml"
    path.write_text(yaml.safe_dump({"fixed": {"features": "face_a"}} | values))
    return path


@pytest.mark.parametrize(
    ("text", "key", "value", "space"),
    [
        (
            "learning_rate=1e-4..1e-2:log",
            "learning_rate",
            {"low": "1e-4", "high": 0.01, "log": True},
            Range(1e-4, 1e-2, False, log=True),
        ),
        ("layers=1..3", "layers", {"low": 1, "high": 3}, Range(1, 3, True)),
        (
            "dropout=0.1..0.5:step=0.1",
            "dropout",
            {"low": 0.1, "high": 0.5, "step": 0.1},
            Range(0.1, 0.5, False, step=0.1),
        ),
        ("hidden_size=64|128", "hidden_size", {"choice": [64, "128", 64]}, Choice((64, 128))),
        ("bidirectional=true|false", "bidirectional", {"choice": [1, 0]}, Choice((True, False))),
        ("features=a|a+b", "features", {"choice": ["a", ["a", "b"]]}, Choice(("a", "a+b"))),
        (
            "head_hidden=64|64,32",
            "head_hidden",
            {"choice": [64, [64, 32]]},
            Choice(("64", "64,32")),
        ),
        (
            "framework=se|sbe-hsf:au>expression",
            "framework",
            {"choice": ["se", "sbe-hsf:au>expression"]},
            Choice(("se", "sbe-hsf:au>expression")),
        ),
    ],
)
def test_a_flag_and_a_mapping_say_the_same(text: str, key: str, value, space):
    assert space_from_text(text) == (key, space)
    assert space_of(key, value) == space
    assert space_of(key, space.to_dict()) == space


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("hiden_size", {"choice": [1, 2]}, "no setting 'hiden_size'; did you mean hidden_size"),
        ("layers", {"lo": 1, "high": 3}, "got 'lo'; did you mean low"),
        ("layers", [1, 2], r"must be \{choice: .* but is \[1, 2\]"),
        ("layers", {"low": 3, "high": 1}, "less than high, but they are 3 and 1"),
        ("layers", {"low": 2, "high": 2}, "less than high, but they are 2 and 2"),
        ("layers", {"low": 1}, "has no high"),
        ("layers", {"low": 1, "high": 2.5}, "high of the search for layers .*whole number"),
        ("layers", {"low": 0, "high": 2}, "low of the search for layers .*at least 1, but got '0'"),
        ("layers", {"low": 1, "high": 4, "step": 2}, "from 1 to 4, but 2 does not"),
        ("layers", {"low": 1, "high": 3, "step": 0.5}, "a whole number above 0, but is 0.5"),
        ("learning_rate", {"low": 0, "high": 1}, "more than 0, but got '0'"),
        ("weight_decay", {"low": 0, "high": 1, "log": True}, "on a log scale, but is 0"),
        ("dropout", {"low": 0.1, "high": 0.3, "log": True, "step": 0.1}, "log or step"),
        ("dropout", {"low": 0.1, "high": 0.3, "step": float("nan")}, "above 0, but is nan"),
        ("dropout", {"low": 0.1, "high": "many"}, "must be a number, but got 'many'"),
        ("dropout", {"low": 0.1, "high": 0.3, "log": 3}, "true or false, but is 3"),
        ("encoder", {"low": 1, "high": 2}, "encoder is no number"),
        ("encoder", {"choice": ["gru"]}, "two different values or more, but holds 1"),
        ("encoder", {"choice": "gru"}, "a list of values, but is 'gru'"),
        ("layers", {"choice": [1, 2], "low": 1}, "choice, or low and high, but got both"),
        ("optimizer", {"choice": ["adam", "sgd"]}, "adamw or adam, but got 'sgd'"),
        ("seed", {"low": 0, "high": 9}, "luck; put it under grid"),
        ("labels", {"choice": ["labels", "labels-b"]}, "cannot be compared"),
        ("threads", {"low": 1, "high": 2}, "does not decide"),
        ("tune_thresholds", {"choice": [True, False]}, "before they are post-processed"),
        ("weight_au", {"low": 0, "high": 2}, "more than 0: a task of weight 0"),
    ],
)
def test_a_space_that_cannot_be_is_refused(key: str, value, words: str):
    with pytest.raises(UsageError, match=words):
        space_of(key, value)


@pytest.mark.parametrize(
    "text", ["layers", "layers=3", "layers=1..2..3:log:", "=1..2", "layers=.."]
)
def test_a_flag_of_another_form_is_refused(text: str):
    with pytest.raises(UsageError):
        space_from_text(text)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"serach": {}}, "holds 'serach'; did you mean search"),
        ({"trails": 3}, "holds 'trails'; did you mean trials"),
        ({"trials": 0}, "trials of the search .* from 1, but is 0"),
        ({"trials": True}, "trials of the search"),
        ({"sampler_seed": -1}, "from 0, but is -1"),
        ({"prune": "no"}, "true or false, but is 'no'"),
        ({"study": ""}, "study of the search .* a name"),
        ({"search": []}, r"must be a mapping of settings, but is \[\]"),
        ({"grid": {"layers": [1, 2]}}, "layers is searched for and varied"),
        ({"grid": {"fold": [0, "all"]}}, "fold=all trains on it"),
        ({"fixed": {"features": "face_a", "fold": "all"}}, "fold=all trains on it"),
        ({"fixed": {}}, "needs features"),
        ({"grid": {"labels": ["labels", "labels-b"]}}, "share their labels"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, values, words: str):
    path = written(tmp_path, **({"search": {"layers": {"low": 1, "high": 2}}} | values))
    with pytest.raises(UsageError, match=words):
        asked(path, tmp_path)


def test_a_file_and_flags_say_the_same_and_the_folder_keeps_it(tmp_path: Path):
    search = {"learning_rate": {"low": 1e-4, "high": 0.1, "log": True}}
    values = {"trials": 7, "study": "mine", "storage": "sqlite:///x.db"}
    path = written(tmp_path, grid={"seed": "0-1"}, search=search, **values)
    found = asked(path, tmp_path)
    flags = asked(
        None,
        tmp_path,
        "learning_rate=1e-4..1e-1:log",
        varied={"features": "face_a", "seed": "0-1"},
        **values,
    )
    assert found is not None
    assert flags is not None
    trial = {"learning_rate": 0.01}
    assert found.configs(trial) == flags.configs(trial)
    assert [config.seed for config in found.configs(trial)] == [0, 1]
    assert (found.space, found.trials, found.study) == (flags.space, flags.trials, flags.study)
    found.write(tmp_path / "out" / "sweep.yaml")
    kept = asked(None, tmp_path / "out")
    assert kept == found
    more = asked(None, tmp_path / "out", trials=9)
    assert more is not None
    assert (more.trials, more.space) == (9, found.space)


def test_a_password_is_not_kept(tmp_path: Path):
    path = written(tmp_path, search={"layers": {"low": 1, "high": 2}})
    for url, is_kept in (("postgresql://me:secret@h/d", False), ("postgresql://me@h/d", True)):
        found = asked(path, tmp_path, storage=url)
        assert found is not None
        found.write(tmp_path / "sweep.yaml")
        assert (url in (tmp_path / "sweep.yaml").read_text()) == is_kept
        assert "secret" not in (tmp_path / "sweep.yaml").read_text()


def test_a_database_in_a_file_is_the_same_from_any_folder_and_in_memory_is_none(tmp_path: Path):
    path = written(tmp_path, search={"layers": {"low": 1, "high": 2}})
    found = asked(path, tmp_path, storage="sqlite:///x.db?timeout=3")
    assert found is not None
    assert found.storage == f"sqlite:///{Path('x.db').resolve()}?timeout=3"
    for url in ("sqlite://", "sqlite:///", "sqlite:///:memory:"):
        with pytest.raises(UsageError, match="in memory"):
            asked(path, tmp_path, storage=url)


def test_flags_of_a_search_without_one_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="trials of a sweep needs a search"):
        asked(None, tmp_path, varied={"features": "a"}, trials=3)
    with pytest.raises(UsageError, match="storage, trials of a sweep needs a search"):
        asked(written(tmp_path, trials=3), tmp_path, storage="sqlite://")
    with pytest.raises(UsageError, match="takes each setting once, but got layers twice"):
        asked(None, tmp_path, "layers=1..2", "layers=1..3", varied={"features": "a"})
    assert asked(None, tmp_path / "none") is None


def test_a_dry_run_tells_the_space_and_makes_nothing(cache: Path, tmp_path: Path):
    arguments = ["temporal-sweep", "--features", "face_a", "--seed", "0-2", "--dry-run"]
    arguments += ["--search", "learning_rate=1e-4..1e-2:log", "--search", "encoder=gru|lstm"]
    arguments += ["--trials", "9", "--out", str(tmp_path / "s"), "--cache", str(cache)]
    found = CliRunner().invoke(main, arguments)
    assert found.exit_code == 0, found.output
    assert "learning_rate  0.0001 to 0.01 (log)" in found.stdout
    assert "encoder        gru, lstm" in found.stdout
    assert "9 trials, each the mean of 3 runs over seed" in found.stdout
    assert not (tmp_path / "s").exists()


def test_a_store_that_is_missing_is_told_before_anything_is_tried(cache: Path, tmp_path: Path):
    arguments = ["temporal-sweep", "--features", "face_z", "--search", "layers=1..2"]
    arguments += ["--out", str(tmp_path / "s"), "--cache", str(cache)]
    found = CliRunner().invoke(main, arguments)
    assert found.exit_code == 1
    assert "face_z" in found.stderr
    assert not (tmp_path / "s").exists()


@pytest.mark.heavy
def test_without_optuna_a_search_is_told_and_refused_in_one_line(cache: Path, tmp_path: Path):
    code = (
        "import sys\nsys.modules['optuna'] = None\nfrom abaw.cli import main\nmain(sys.argv[1:])\n"
    )
    arguments = ["temporal-sweep", "--features", "face_a", "--search", "layers=1..2"]
    arguments += ["--out", str(tmp_path / "s"), "--cache", str(cache)]
    for extra, status, words in (
        (["--dry-run"], 0, "1 to 2"),
        ([], 2, "Error: a search needs Optuna, which is not installed; pip install 'abaw[search]'"),
    ):
        found = subprocess.run(
            [sys.executable, "-c", code, *arguments, *extra],
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == status, found.stderr
        assert words in found.stdout + found.stderr
        assert "Traceback" not in found.stderr
