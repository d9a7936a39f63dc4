"""Which tasks feed which others: an acyclic graph, written `valence+au>arousal`."""

from collections.abc import Collection
from dataclasses import dataclass

from ...core.errors import UsageError
from ...core.names import near_misses
from ...core.tasks import TASKS, Task


@dataclass(frozen=True)
class TaskGraph:
    """Edges between tasks."""

    sources: dict[Task, tuple[Task, ...]]
    """Target -> the tasks that feed it, in the order that they were written in."""

    @classmethod
    def parse(cls, text: str) -> "TaskGraph":
        """Return the graph of a text like `valence+au>arousal,au>expression`; "" has no edge.

        Raises:
            UsageError: a task is unknown, an edge is there twice or is not an edge, or the graph
                has a cycle, which is named.
        """
        sources: dict[Task, tuple[Task, ...]] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            before, arrow, after = part.partition(">")
            if not arrow or ">" in after:
                message = f"an edge is written source>target or a+b>target, but got {part!r}"
                raise UsageError(message)
            target = _task(after, part)
            found = tuple(_task(name, part) for name in before.split("+"))
            joined = sources.get(target, ()) + found
            if len(set(joined)) < len(joined):
                message = f"a task feeds another once, but the graph {text!r} says it twice"
                raise UsageError(message)
            sources[target] = joined
        graph = cls(sources)
        graph.order()
        return graph

    def text(self) -> str:
        """Return the graph as `parse` reads it."""
        return ",".join(
            f"{'+'.join(self.sources[target])}>{target}"
            for target in TASKS
            if self.sources.get(target)
        )

    def order(self, tasks: Collection[Task] = TASKS) -> tuple[Task, ...]:
        """Return the tasks so that each comes after those that feed it.

        Raises:
            UsageError: there is no such order, or the graph names a task that is not among them.
        """
        for target, found in self.sources.items():
            absent = [task for task in (*found, target) if task not in tasks]
            if absent:
                message = (
                    f"the graph {self.text()!r} names {absent[0]}, which is not trained: its "
                    f"weight is 0, or it has no labels; leave it out of the graph"
                )
                raise UsageError(message)
        done: list[Task] = []
        while len(done) < len(tasks):
            ready = [
                task
                for task in TASKS
                if task in tasks
                and task not in done
                and all(source in done for source in self.sources.get(task, ()))
            ]
            if not ready:
                message = (
                    f"a graph of tasks must have no cycle, but {self.text()!r} has "
                    f"{'>'.join(self._cycle(done))}"
                )
                raise UsageError(message)
            done += ready
        return tuple(done)

    def _cycle(self, done: Collection[Task]) -> list[Task]:
        """Return a cycle among the tasks that are not done, its first task at both ends."""
        path: list[Task] = [next(task for task in TASKS if task not in done)]
        while True:
            task = next(source for source in self.sources[path[-1]] if source not in done)
            if task in path:
                cycle = [*path[path.index(task) :], task]
                return cycle[::-1]
            path.append(task)


def _task(text: str, part: str) -> Task:
    for task in TASKS:
        if task == text.strip():
            return task
    message = f"{part!r} must join tasks, but {text.strip()!r} is none; {near_misses(text, TASKS)}"
    raise UsageError(message)
