"""What every benchmark prints its figures with."""

import statistics
from collections.abc import Sequence

import torch

from abaw.core.machine import cpu_name


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Return the median with the smallest and largest value: `1.02 (0.98-1.10)`."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def device_name(device: torch.device) -> str:
    """Return what figures are told to be of."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()


def wait(device: torch.device) -> None:
    """Wait until the device has done everything it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
