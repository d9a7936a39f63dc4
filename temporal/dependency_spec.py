"""The runs of a dependency study: which tasks gain from which others.

Each target is trained alone, with the hidden state of each other task (`sbe-hsf:source>target`),
and with its true labels (an oracle, the upper bound). All have a network of the same size for the
target and nothing in common with the source's: no layer is shared, no gradient crosses, gradients
are clipped part by part, and the checkpoint is chosen by the target's measure only. All take the
same steps: a window is shown if it holds a label of any task of the study, else a target with few
labels would gain from more steps. A target that is fed has as many more inputs as the source's last
hidden layer, or the label's embedding, is wide.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any, Final

from ..core.errors import UsageError
from ..core.tasks import TASKS, Task
from .config import read_settings
from .nets.graph import TaskGraph
from .sweep import SPEC_FILE
from .sweep_spec import DEPENDENCY, SweepSpec, spec_of, texts_of_flags

_SETTINGS: Final[dict[str, Any]] = {
    "shared_layers": 0,
    "feedback_gradient": False,
    "clip_by": "part",
    "weighting": "fixed",
}
"""What keeps a target's training apart from its source's."""
_WEIGHTS: Final = {task: f"weight_{task}" for task in TASKS}
_DECIDED: Final = (*_SETTINGS, "framework", "chosen_by", "shown_by", "oracle", "data_seed")
_DEFAULT_SEEDS: Final = "0-4"


def dependency_sweep(
    config: str | None, settings: Sequence[str], varied: Mapping[str, str | None]
) -> SweepSpec:
    """Return the study that a command's flags ask for.

    Args:
        config: a preset or file that all runs begin with, if any; what the study decides wins.
        settings: `key=value` texts; `weight_au=0` leaves a task out.
        varied: setting -> values; only seeds may be several, by default 0 to 4.

    Raises:
        UsageError: a setting is unknown, or one that the study decides or that may not be varied.
    """
    asked, grid = texts_of_flags(settings, varied)
    decided = [key for key in (*asked, *grid) if key in _DECIDED]
    if decided:
        message = f"a dependency study decides {decided[0]} itself, so it cannot be set"
        raise UsageError(message)
    many = [key for key, values in grid.items() if key != "seed" and len(values) > 1]
    if many:
        message = (
            f"a dependency study varies the seed only, but {many[0]} has "
            f"{len(grid[many[0]])} values; make a study of each"
        )
        raise UsageError(message)
    base = read_settings(config) if config else {}
    fixed = base | asked | {key: values[0] for key, values in grid.items() if key != "seed"}
    tasks = [task for task in TASKS if _is_studied(fixed.pop(_WEIGHTS[task], 1))]
    if len(tasks) < 2:
        message = f"a dependency study needs at least 2 tasks, but the weights leave {len(tasks)}"
        raise UsageError(message)
    kept = {key: value for key, value in fixed.items() if key not in _DECIDED}
    shown = {"shown_by": list(tasks)}
    spec = spec_of(kept | _SETTINGS | shown, {"seed": grid.get("seed", _DEFAULT_SEEDS)})
    if len(spec.grid["seed"]) < 2:
        message = "a dependency study needs at least 2 seeds to tell a gain from chance, but got 1"
        raise UsageError(message)
    cases = [alone(task) for task in tasks]
    cases += [with_hidden(pair[::-1]) for pair in permutations(tasks, 2)]
    cases += [with_truth(pair[::-1]) for pair in permutations(tasks, 2)]
    return SweepSpec(spec.fixed, spec.grid, tuple(cases), DEPENDENCY)


def is_dependency_sweep(folder: Path) -> bool:
    """Return whether a folder holds a dependency study."""
    path = folder / SPEC_FILE
    return path.is_file() and read_settings(path).get("preset") == DEPENDENCY


def _is_studied(weight: Any) -> bool:  # noqa: ANN401 - as YAML or a flag has it
    try:
        return float(weight) != 0
    except (TypeError, ValueError) as error:
        message = f"the weight of a task must be a number, but got {weight!r}"
        raise UsageError(message) from error


def alone(target: Task) -> dict[str, Any]:
    """Return the settings of a target without any other task."""
    return _case("sbe", target, [target])


def with_hidden(edge: tuple[Task, Task]) -> dict[str, Any]:
    """Return the settings of a target with the hidden state of a source, given as (source, it)."""
    source, target = edge
    return within(TaskGraph({target: (source,)}), target)


def with_truth(edge: tuple[Task, Task]) -> dict[str, Any]:
    """Return the settings of a target with the true labels of a source, given as (source, it)."""
    source, target = edge
    return _case(f"label-feedback:{source}>{target}", target, edge) | {"oracle": True}


def within(graph: TaskGraph, target: Task) -> dict[str, Any]:
    """Return the settings of a target at the end of a graph."""
    tasks = {target, *graph.sources, *(s for found in graph.sources.values() for s in found)}
    return _case(f"sbe-hsf:{graph.text()}", target, tasks)


def _case(framework: str, target: Task, tasks: Collection[Task]) -> dict[str, Any]:
    weights = {key: float(task in tasks) for task, key in _WEIGHTS.items()}
    return {"framework": framework, "chosen_by": [target], **weights}
