"""From a config to its network."""

from collections.abc import Sequence

import torch

from ...core.tasks import Task
from ..config import RunConfig
from . import feedback, sharing  # noqa: F401 - registers them
from .encoders import ENCODERS
from .frameworks import FRAMEWORKS, Framework, split_name
from .graph import TaskGraph


def check_networks(config: RunConfig) -> None:
    """Refuse an encoder or framework that is not there, before data are read.

    Raises:
        NameLookupError: there is no such encoder or framework.
        UsageError: the graph is wrong.
    """
    _ = ENCODERS[config.encoder]
    name, graph = split_name(config.framework)
    _ = FRAMEWORKS[name]
    if graph is not None:
        TaskGraph.parse(graph)


def build_network(
    n_features: int, config: RunConfig, tasks: Sequence[Task] | None = None
) -> Framework:
    """Return the network of a config, its weights drawn from `config.seed`.

    Args:
        n_features: F.
        config: the run's settings.
        tasks: those that are trained; by default all with a weight above 0.

    Raises:
        NameLookupError: there is no such encoder or framework.
        UsageError: the framework's graph is wrong.
    """
    check_networks(config)
    if tasks is None:
        tasks = [task for task, weight in config.task_weights.items() if weight > 0]
    name, graph = split_name(config.framework)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return FRAMEWORKS[name](n_features, config, tasks, graph)
