"""From gains between tasks to a graph without cycles, none of whose edges is there for nothing."""

from collections.abc import Mapping

from ..core.errors import UsageError
from ..core.tasks import TASKS, Task
from .nets.graph import TaskGraph

Edge = tuple[Task, Task]
"""Source, target."""


def graph_of_edges(edges: Mapping[Edge, float] | list[Edge]) -> TaskGraph:
    """Return the graph of edges, the sources of a target in the order of the tasks."""
    sources = {target: tuple(s for s in TASKS if (s, target) in edges) for target in TASKS}
    return TaskGraph({target: found for target, found in sources.items() if found})


def acyclic(gains: Mapping[Edge, float]) -> list[Edge]:
    """Return edges without a cycle: the largest gains first, each unless it closes one."""
    kept: list[Edge] = []
    for edge in sorted(gains, key=lambda edge: -gains[edge]):
        try:
            graph_of_edges([*kept, edge]).order()
        except UsageError:
            continue
        kept.append(edge)
    return kept


def shortcuts(edges: list[Edge]) -> list[Edge]:
    """Return the edges of a graph without cycles whose ends another path joins, too."""
    found = []
    for source, target in edges:
        others = [edge for edge in edges if edge != (source, target)]
        if source in ancestors(target, others):
            found.append((source, target))
    return found


def ancestors(target: Task, edges: list[Edge]) -> set[Task]:
    """Return all tasks from which edges lead to a target."""
    found: set[Task] = set()
    ends = [target]
    while ends:
        end = ends.pop()
        for source, fed in edges:
            if fed == end and source not in found:
                found.add(source)
                ends.append(source)
    return found


def leading_to(target: Task, edges: list[Edge]) -> list[Edge]:
    """Return the edges that a target depends on."""
    above = {target, *ancestors(target, edges)}
    return [edge for edge in edges if edge[1] in above]
