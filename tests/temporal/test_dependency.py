"""Dependency studies: their runs, what given predictions say, the page and the terminal."""

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner

from abaw.cli import main
from abaw.core.errors import UsageError
from abaw.core.tasks import TASKS
from abaw.temporal.config import RunConfig
from abaw.temporal.dependency import JudgedGain, Study, read_study, with_shortcuts
from abaw.temporal.dependency_plot import study_section
from abaw.temporal.dependency_spec import dependency_sweep
from abaw.temporal.dependency_text import study_text
from abaw.temporal.errors import TemporalError
from abaw.temporal.nets.frameworks import split_name
from abaw.temporal.nets.graph import TaskGraph
from abaw.temporal.paired_gain import holm
from abaw.temporal.score import score_table
from abaw.temporal.sweep import open_spec
from abaw.temporal.sweep_spec import DEPENDENCY, SweepSpec, spec_from_file

from .made import write_cache
from .made_predictions import noisy, truth_of
from .made_runs import write_labels_of, write_run
from .made_tasks import SMALL, write_tasks

pytestmark = pytest.mark.heavy

VIDEOS = tuple("abcdefghijkl")
SEEDS = 4
VARIED = {"features": "face", "seed": f"0-{SEEDS - 1}"}
NOISE = {("au", "expression"): 0.3, ("expression", "valence"): 0.3, ("au", "valence"): 0.4}
"""Edge -> noise of the target's predictions with it; without an edge it is 0.9."""


def study_spec(*settings: str, **varied: str) -> SweepSpec:
    return dependency_sweep(None, settings, {**VARIED, **varied})


class Made:
    """A study whose predictions are given: what a target gains is how much less noise it has."""

    def __init__(self, folder: Path, noise: dict, added: float):
        self.cache, self.out = folder / "features", folder / "study"
        self.truth = truth_of(videos=VIDEOS, n=60)
        self.labels = write_labels_of(self.cache, self.truth)
        self.noise, self.added = noise, added
        self.spec = open_spec(study_spec(), self.out)
        self.write(self.spec)

    def write(self, spec: SweepSpec) -> None:
        for number, config in enumerate(spec.configs()):
            folder = self.out / f"{number}"
            if (folder / "run.json").exists():
                continue
            settings = config.model_dump(exclude={"features", "labels"})
            table = noisy(self.truth, self.level(config), 100 + number)
            write_run(folder, table, self.labels, **settings)
            if config.oracle:
                (folder / "val_predictions.csv").rename(folder / "oracle_predictions.csv")

    def level(self, config: RunConfig) -> float:
        target = config.chosen_by[0]
        sources = TaskGraph.parse(split_name(config.framework)[1] or "").sources.get(target, ())
        if config.oracle:
            return 0.05
        found = min((self.noise.get((s, target), 0.9) for s in sources), default=0.9)
        return found - self.added * (len(sources) - 1) if sources else found

    def read(self) -> Study:
        return read_study(self.out, self.cache)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"), NOISE, 0.0)


@pytest.fixture(scope="module")
def study(made: Made) -> Study:
    more = with_shortcuts(made.out, made.cache)
    assert more is not None
    made.write(open_spec(more, made.out))
    return made.read()


def test_every_pair_of_tasks_is_trained_three_ways_with_nothing_in_common():
    configs = study_spec("hidden_size=8", seed="0,1").configs()
    assert len(configs) == (4 + 12 + 12) * 2
    for config in configs:
        (target,) = config.chosen_by
        trained = {task for task, weight in config.task_weights.items() if weight}
        name, text = split_name(config.framework)
        sources = TaskGraph.parse(text or "").sources
        assert sources == ({} if name == "sbe" else {target: tuple(trained - {target})})
        assert (name == "label-feedback") == config.oracle
        assert config.data_seed == config.seed
        assert (config.shared_layers, config.feedback_gradient, config.clip_by) == (
            0,
            False,
            "part",
        )
    assert {config.hidden_size for config in configs} == {8}


def test_a_task_without_weight_is_left_out():
    configs = study_spec("weight_arousal=0", "weight_au=0").configs()
    assert len(configs) == (2 + 2 + 2) * SEEDS
    assert {task for config in configs for task in config.chosen_by} == {"valence", "expression"}


@pytest.mark.parametrize(
    ("settings", "varied", "words"),
    [
        (["framework=se"], {}, "decides framework itself"),
        (["oracle=true"], {}, "decides oracle itself"),
        (["hidden_size=8|16"], {}, "varies the seed only, but hidden_size has 2 values"),
        ([], {"features": "a,b"}, "varies the seed only, but features has 2 values"),
        ([], {"seed": "3"}, "at least 2 seeds"),
        (["weight_au=0", "weight_arousal=0", "weight_valence=0"], {}, "the weights leave 1"),
        (["weight_au=much"], {}, "the weight of a task must be a number, but got 'much'"),
        (["hiden_size=8"], {}, "did you mean hidden_size"),
    ],
)
def test_what_a_study_cannot_be_is_refused(settings, varied, words: str):
    with pytest.raises(UsageError, match=words):
        study_spec(*settings, **varied)


def test_what_a_study_decides_wins_over_a_preset():
    spec = dependency_sweep("paper-sbe-hsf", ["epochs=3"], VARIED)
    config = spec.configs()[0]
    assert (config.framework, config.shared_layers, config.encoder) == ("sbe", 0, "transformer")
    assert (config.epochs, config.hidden_size, config.weight_valence) == (3, 1024, 1)


def test_a_study_is_written_and_read_as_it_is(tmp_path: Path):
    spec = study_spec()
    open_spec(spec, tmp_path)
    found = spec_from_file(tmp_path / "sweep.yaml")
    assert found.preset == DEPENDENCY
    assert found.configs() == spec.configs()


def test_the_gains_are_named_and_the_shortcut_that_adds_nothing_is_left_out(study: Study):
    assert set(study.named) == set(NOISE)
    assert study.shortcuts[("au", "valence")].is_named is False
    assert study.graph.text() == "expression>valence,au>expression"
    assert study.framework == "sbe-hsf:expression>valence,au>expression"
    assert all(t.is_named for t in study.truth.values())
    assert study.n_seeds == SEEDS
    assert study.n_recordings == dict.fromkeys(TASKS, len(VIDEOS))


def test_a_gain_is_the_difference_of_the_measures(made: Made, study: Study):
    found = {}
    for folder in made.out.glob("*/run.json"):
        config = RunConfig.from_dict(json.loads(folder.read_text())["config"], "x")
        if config.chosen_by == ("expression",) and not config.oracle:
            number = int(folder.parent.name)
            table = noisy(made.truth, made.level(config), 100 + number)
            key = (config.framework, config.seed)
            found[key] = table

    def mean(framework: str) -> float:
        scores = [
            score_table(found[framework, seed], made.truth, "x").F1_EXPR for seed in range(SEEDS)
        ]
        return float(np.mean(scores))

    gain = study.hidden["au", "expression"].gain
    assert gain.value == pytest.approx(mean("sbe-hsf:au>expression") - mean("sbe"))
    assert study.alone["expression"][0] == pytest.approx(mean("sbe"))


def test_a_shortcut_is_judged_with_all_the_gains_that_led_to_it(study: Study):
    tested = study.shortcuts["au", "valence"]
    family = [*(one.gain.p for one in study.hidden.values()), tested.gain.p]
    assert tested.p == holm(family)[-1]


def test_a_shortcut_that_adds_is_kept(tmp_path: Path):
    made = Made(tmp_path, NOISE, 0.25)
    first = made.read()
    assert first.shortcuts == {("au", "valence"): None}
    assert "not trained yet" in study_text(first)
    assert first.graph.text() == "expression>valence,au>expression"
    more = with_shortcuts(made.out, made.cache)
    added = [case["framework"] for case in more.cases[len(made.spec.cases) :]]
    assert added == [
        "sbe-hsf:expression+au>valence,au>expression",
        "sbe-hsf:expression>valence,au>expression",
    ]
    made.write(open_spec(more, made.out))
    study = made.read()
    assert study.shortcuts["au", "valence"].is_named
    assert study.graph.text() == "expression+au>valence,au>expression"
    assert with_shortcuts(made.out, made.cache) is None


def test_without_a_gain_no_edge_is_named(tmp_path: Path):
    made = Made(tmp_path, {("au", "valence"): 1.6}, 0.0)
    study = made.read()
    loss = study.hidden["au", "valence"]
    assert loss.is_significant
    assert loss.gain.value < 0
    assert (study.named, study.framework, study.shortcuts) == ([], None, {})
    assert with_shortcuts(made.out, made.cache) is None
    assert "no edge: no target gains" in study_text(study)


def test_of_edges_that_lead_back_the_larger_gain_is_taken(tmp_path: Path):
    made = Made(tmp_path, {("au", "expression"): 0.2, ("expression", "au"): 0.6}, 0.0)
    study = made.read()
    smaller = min(study.named, key=lambda edge: study.hidden[edge].gain.value)
    assert study.against_cycles == [smaller]
    assert "left out, larger gains lead the other way" in study_text(study)


def test_the_report_draws_the_matrices_and_names_what_to_type(made: Made, study: Study):
    found = CliRunner().invoke(main, ["report", str(made.out), "--cache", str(made.cache)])
    assert found.exit_code == 0, found.output
    assert found.stdout == study_text(study) + "\n"
    assert 'suggested: --framework "sbe-hsf:expression>valence,au>expression"' in found.stdout
    assert "ORACLE" in found.stdout
    for row in ("valence", "arousal", "expression", "au"):
        assert len(re.findall(rf"^{row} .*-", found.stdout, re.MULTILINE)) >= 3
    gain = study.hidden["au", "expression"].gain.value
    assert f"{gain:+.3f}*" in found.stdout


def test_the_section_is_sound_and_holds_every_number(study: Study):
    title, html = study_section(study)
    assert title == f"Task dependency: {study.folder.name}"
    maps = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(maps) == 3
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    for one, tested in zip(maps[1:], (study.hidden, study.truth), strict=True):
        ElementTree.fromstring(one)
        for gain in tested.values():
            assert f"{gain.gain.value:+.3f}" in one
    assert "sbe-hsf:expression&gt;valence,au&gt;expression" in html
    assert study_section(study) == (title, html)


def test_a_study_is_read_when_it_is_whole(made: Made, tmp_path: Path):
    open_spec(study_spec(), tmp_path)
    with pytest.raises(TemporalError, match=r"112 of 112 in .* are not; go on with abaw"):
        read_study(tmp_path, made.cache)


def test_labels_of_another_cache_are_refused(made: Made, study: Study, tmp_path: Path):
    write_labels_of(tmp_path, truth_of(videos=VIDEOS, n=50))
    with pytest.raises(TemporalError, match="with the labels that it was made with"):
        read_study(made.out, tmp_path)


def test_embeddings_that_learnt_nothing_are_told(study: Study):
    assert "RANDOM" not in study_text(study)
    assert "RANDOM WEIGHTS: face" in study_text(replace(study, random=("face",)))


@pytest.mark.slow
def test_the_command_takes_the_name_of_the_study(tmp_path: Path):
    cache = write_cache(tmp_path / "cache")
    arguments = ["--features", "face_a", "--out", str(tmp_path / "s"), "--cache", str(cache)]
    found = CliRunner().invoke(main, ["temporal-sweep", "dependency", *arguments, "--dry-run"])
    assert found.exit_code == 0, found.output
    assert "140 runs, 140 to do" in found.stdout
    assert found.stdout.count("-oracle-") == 60
    wrong = CliRunner().invoke(main, ["temporal-sweep", "dependancy", *arguments])
    assert wrong.exit_code == 2
    assert "'dependancy' is neither; did you mean dependency" in wrong.stderr


@pytest.mark.heavy
def test_the_command_trains_what_shortcuts_are_told_by_and_does_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """With every gain taken for significant, three tasks have a shortcut in any case."""
    monkeypatch.setattr(JudgedGain, "is_named", property(lambda tested: True))
    cache, out = write_cache(tmp_path / "cache"), tmp_path / "study"
    small = ["projection=8", "hidden_size=8", "head_hidden=4", "epochs=1", "device=cpu"]
    settings = [x for pair in (*small, "weight_arousal=0") for x in ("--set", pair)]
    asked = ["dependency", "--features", "face_a", "--seed", "0,1", *settings]
    common = ["--out", str(out), "--cache", str(cache), "-q"]
    found = CliRunner().invoke(main, ["temporal-sweep", *asked, *common, "--jobs", "2"])
    assert found.exit_code == 0, found.output
    assert f"{(3 + 6 + 6 + 2) * 2} runs done, 0 failed" in found.stdout
    (tested,) = read_study(out, cache).shortcuts.values()
    assert tested is not None
    before = {path: path.stat().st_mtime_ns for path in out.rglob("run.json")}
    for arguments in (asked, []):
        again = CliRunner().invoke(main, ["temporal-sweep", *arguments, *common])
        assert again.exit_code == 0, again.output
        assert "34 runs done, 0 failed" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in out.rglob("run.json")} == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "graph"),
    [("known", "expression>valence,au>expression"), ("independent", None)],
)
def test_a_study_names_the_edges_of_a_known_rule_and_none_where_there_is_none(
    tmp_path: Path, kind, graph: str | None
):
    """Without arousal, which is on its own in both sets, so that it takes a minute."""
    cache, out = write_tasks(tmp_path / "cache", kind), tmp_path / "study"
    common = ["--cache", str(cache), "-q"]
    settings = [x for pair in (*SMALL, "weight_arousal=0") for x in ("--set", pair)]
    asked = ["temporal-sweep", "dependency", "--features", "face", "--seed", "0-4"]
    found = CliRunner().invoke(main, [*asked, "--out", str(out), "--jobs", "2", *settings, *common])
    assert found.exit_code == 0, found.output
    told = CliRunner().invoke(main, ["report", str(out), "--cache", str(cache)])
    if graph is None:
        assert "no edge" in told.stdout
        return
    typed = re.search(r'--framework "([^"]+)"', told.stdout)
    assert typed is not None, told.stdout
    assert typed[1] == f"sbe-hsf:{graph}"
    run = ["temporal-train", "face", "--framework", typed[1], "--set", "epochs=1"]
    done = CliRunner().invoke(main, [*run, "--run", str(tmp_path / "run"), *common])
    assert done.exit_code == 0, done.output
