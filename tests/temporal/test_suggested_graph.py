"""From gains to a graph: cycles, shortcuts, and the text that `--framework` takes."""

from abaw.core.tasks import TASKS
from abaw.temporal.nets.graph import TaskGraph
from abaw.temporal.suggested_graph import acyclic, graph_of_edges, leading_to, shortcuts

CHAIN = {("au", "expression"): 0.3, ("expression", "valence"): 0.2, ("au", "valence"): 0.1}


def test_edges_without_a_cycle_are_all_kept():
    assert acyclic(CHAIN) == list(CHAIN)
    assert acyclic({}) == []


def test_of_a_cycle_the_smallest_gain_is_left_out():
    back = CHAIN | {("valence", "au"): 0.15, ("valence", "expression"): 0.4}
    kept = acyclic(back)
    # expression>valence leads back against valence>expression, au>valence against valence>au.
    assert kept == [("valence", "expression"), ("au", "expression"), ("valence", "au")]
    graph_of_edges(kept).order()


def test_a_cycle_of_two_keeps_the_larger_direction():
    assert acyclic({("valence", "au"): 0.1, ("au", "valence"): 0.11}) == [("au", "valence")]


def test_a_shortcut_is_an_edge_beside_a_longer_path():
    assert shortcuts(list(CHAIN)) == [("au", "valence")]
    assert shortcuts(list(CHAIN)[:2]) == []
    full = [(a, b) for place, a in enumerate(TASKS) for b in TASKS[place + 1 :]]
    assert set(shortcuts(full)) == set(full) - {
        ("valence", "arousal"),
        ("arousal", "expression"),
        ("expression", "au"),
    }
    diamond = [("au", "valence"), ("au", "arousal"), ("valence", "expression")]
    assert shortcuts([*diamond, ("arousal", "expression")]) == []


def test_what_leads_to_a_task_leaves_the_rest_out():
    edges = [*list(CHAIN)[:2], ("valence", "arousal")]
    assert leading_to("valence", edges) == edges[:2]
    assert leading_to("au", edges) == []


def test_the_text_is_what_a_framework_takes():
    graph = graph_of_edges([("au", "arousal"), ("valence", "arousal"), ("au", "expression")])
    assert graph.text() == "valence+au>arousal,au>expression"
    assert TaskGraph.parse(graph.text()) == graph
