"""Which tasks feed which: what a graph's text means, and what is refused."""

import pytest

from abaw.core.errors import UsageError
from abaw.core.tasks import TASKS
from abaw.temporal.nets.build import build_network, check_networks
from abaw.temporal.nets.graph import TaskGraph

from .nets import F, config


def test_edges_are_read_in_the_order_that_they_are_written_in():
    graph = TaskGraph.parse("au+valence>arousal, expression>arousal ,au>expression")
    assert graph.sources == {"arousal": ("au", "valence", "expression"), "expression": ("au",)}
    assert graph.order() == ("valence", "au", "expression", "arousal")
    assert TaskGraph.parse("").sources == {}


def test_its_text_is_read_as_the_same_graph():
    graph = TaskGraph.parse("au>expression,expression+au>valence")
    assert TaskGraph.parse(graph.text()) == graph


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("au>arousal,arousal>au", "no cycle, but .* has (au>arousal>au|arousal>au>arousal)$"),
        ("au>au", "no cycle, but 'au>au' has au>au$"),
        (
            "valence>au,au>expression,expression>valence",
            "has valence>au>expression>valence$",
        ),
        ("valance>arousal", r"'valance>arousal' must join tasks.*did you mean valence"),
        ("au>arousel", "'arousel' is none; did you mean arousal"),
        (">arousal", "'' is none; known are"),
        ("au+au>arousal", r"feeds another once, but the graph 'au\+au>arousal' says it twice"),
        ("au>arousal,valence+au>arousal", "says it twice"),
        ("au", "written source>target .* but got 'au'"),
        ("au>valence>arousal", "but got 'au>valence>arousal'"),
    ],
)
def test_a_wrong_graph_is_refused_with_what_is_wrong(text, words):
    for framework in ("sbe-hsf", "label-feedback"):
        with pytest.raises(UsageError, match=words):
            check_networks(config(framework=f"{framework}:{text}"))


@pytest.mark.parametrize("framework", ["sbe-hsf", "label-feedback"])
def test_a_graph_that_names_a_task_without_weight_is_refused(framework: str):
    words = "'au>arousal' names au, which is not trained: its weight is 0"
    with pytest.raises(UsageError, match=words):
        check_networks(config(framework=f"{framework}:au>arousal", weight_au=0))
    with pytest.raises(UsageError, match="names arousal"):
        build_network(F, config(framework=f"{framework}:au>arousal"), ["au", "valence"])


@pytest.mark.parametrize("framework", ["single", "se", "sbe"])
def test_a_framework_without_feeding_takes_no_graph(framework: str):
    with pytest.raises(UsageError, match=f"{framework} takes no graph, but got 'au>arousal'"):
        check_networks(config(framework=f"{framework}:au>arousal"))


@pytest.mark.parametrize("framework", ["sbe-hsf", "label-feedback"])
def test_without_a_graph_it_is_the_published_one_as_far_as_it_is_trained(framework: str):
    run = config(framework=framework)
    assert build_network(F, run).graph.text() == "valence+au>arousal"
    assert build_network(F, run, ["arousal", "au"]).graph.text() == "au>arousal"
    assert build_network(F, run, ["valence", "au"]).graph.text() == ""


def test_tasks_come_after_those_that_feed_them_and_else_in_their_order():
    assert TaskGraph.parse("").order() == TASKS
    graph = TaskGraph.parse("arousal>valence")
    assert graph.order(("valence", "arousal")) == ("arousal", "valence")
