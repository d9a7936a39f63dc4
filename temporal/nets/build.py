"""From a config to its network."""

from collections.abc import Sequence
from typing import Final

import torch

from ...core.errors import UsageError
from ...core.tasks import Task
from ..config import RunConfig
from . import feedback, sharing  # noqa: F401 - registers them
from .encoders import ENCODERS
from .frameworks import FRAMEWORKS, Framework, split_name

_ANY_F: Final = 8
"""Features of the network that is built for a check."""


def check_networks(config: RunConfig) -> None:
    """Refuse a network that cannot be built, before data are read.

    Raises:
        NameLookupError: there is no such encoder or framework.
        UsageError: the graph is wrong, the sizes do not go together, a user's own encoder is not
            sound, or `feeding=lanes` is asked of a network that carries no state.
    """
    # Without storage, so that this takes no time; but a user's encoder is tried, on the CPU.
    with torch.device("meta" if config.encoder in ENCODERS else "cpu"):
        build_network(_ANY_F, config)


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
        UsageError: as `check_networks`.
    """
    if tasks is None:
        tasks = [task for task, weight in config.task_weights.items() if weight > 0]
    name, graph = split_name(config.framework)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = FRAMEWORKS[name](n_features, config, tasks, graph)
    if config.feeding == "lanes" and not network.is_causal:
        message = (
            f"feeding=lanes carries the state from segment to segment, but the encoder "
            f"{config.encoder} has none to carry (its is_causal is False); use feeding=windows"
        )
        raise UsageError(message)
    return network
