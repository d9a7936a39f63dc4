"""Precision, batch size, threads: those a store was begun with, unless others are asked for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch

from ..cache.object_path import AnyPath
from ..core.device import Precision, resolve_precision
from ..core.errors import UsageError
from .batches import BATCH_MULTIPLE
from .lane import RunSettings
from .options import RunOptions

_BATCH_SIZE: Final = {"cuda": 128, "mps": 32}


def run_settings(
    path: AnyPath,
    stored: Mapping[str, Any],
    device: torch.device,
    options: RunOptions,
    cpu_batch_sizes: Mapping[Precision, int],
) -> RunSettings:
    """Return the settings a store was begun with, unless others are asked for.

    Args:
        path: of the store, for messages.
        stored: the settings it was begun with; empty if it is new.
        device: where this run computes.
        options: what is asked for.
        cpu_batch_sizes: of the network by default; where threads are more, each has a frame.

    Raises:
        UsageError: another precision or `--compile` is asked for than the store was begun with.
    """
    text = options.precision
    precision = resolve_precision(
        stored.get("precision", "auto") if text == "auto" else text, device
    )
    begun = stored.get("precision", precision)
    if precision != begun and not options.allow_precision and not options.dry_run:
        message = (
            f"{path} was begun in {begun}, but {precision} was asked for; leave --precision out, "
            f"or add --allow-precision to have both in one store"
        )
        raise UsageError(message)
    is_compiled = bool(stored.get("compile", options.compile))
    if options.compile and not is_compiled:
        message = (
            f"{path} was begun without --compile, whose kernels give other last digits; leave "
            f"--compile out, or give a new --name"
        )
        raise UsageError(message)
    n_processes = max(1, options.devices.count("cpu"))
    threads = max(1, torch.get_num_threads() // n_processes)
    default = _BATCH_SIZE.get(device.type, max(cpu_batch_sizes[precision], threads))
    batch_size = int(options.batch_size or stored.get("batch_size", default))
    return RunSettings(
        device=str(device),
        precision=precision,
        batch_size=-(-batch_size // BATCH_MULTIPLE) * BATCH_MULTIPLE,
        threads=int(stored.get("threads", threads)),
        compile=is_compiled,
    )


def check_is_fast(
    path: Path,
    settings: RunSettings,
    stored: Mapping[str, Any],
    device: torch.device,
    options: RunOptions,
) -> None:
    """Refuse to go on silently in a precision that another device was fast at.

    CPUs differ as much as kinds of devices do: one with bfloat16 instructions and one without.

    Raises:
        UsageError: the store was begun on another device, in what this one is slow at.
    """
    begun_on = torch.device(stored.get("device", str(device)))
    if options.precision != "auto" or begun_on.type == device.type != "cpu":
        return
    fast = resolve_precision("auto", device)
    if settings.precision not in {"fp32", fast}:
        message = (
            f"{path} was begun in {settings.precision} on {begun_on.type}, but the {device.type} "
            f"here is fast in {fast}; add --precision {fast} --allow-precision to have both in one "
            f"store, or --precision {settings.precision} to go on as it was begun, slowly"
        )
        raise UsageError(message)
