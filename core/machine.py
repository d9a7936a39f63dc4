"""The processor that this process runs on."""

import os
import platform
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

_CPU_INFO: Final = Path("/proc/cpuinfo")
_MEMORY: Final = Path("/proc/meminfo")
_STATUS: Final = Path("/proc/self/status")
_CLEAR: Final = Path("/proc/self/clear_refs")
_BRANCHES: Final = (
    ("amx_bf16", "avx512_bf16", "avx512f", "avx2"),
    ("bf16", "sve", "asimd"),
)
"""Of each family the instructions that decide how fast networks run, the best first."""


def usable_cpus() -> int:
    """Return how many logical cores this process may use, of those that exist."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_memory() -> int | None:
    """Return the bytes of memory that new processes can have; None where it is not told."""
    if not _MEMORY.is_file():
        return None
    pairs = (line.partition(":") for line in _MEMORY.read_text().splitlines())
    found = {name: value.split()[0] for name, _, value in pairs}
    return int(found["MemAvailable"]) * 1024 if "MemAvailable" in found else None


@cache
def cpu_name() -> str:
    """Return the processor's model, its best vector instructions and the number of logical cores.

    Virtual machines call processors of several generations by one name, and bfloat16 is fast on
    one of them and a hundred times slower than float32 on the next: the instructions are part of
    the name.
    """
    fields = _fields(_CPU_INFO.read_text()) if _CPU_INFO.is_file() else {}
    model = fields.get("model name") or platform.processor() or platform.machine()
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    best = [next((name for name in branch if name in flags), "") for branch in _BRANCHES]
    extra = "".join(f" with {name}" for name in best if name)
    return f"{model}{extra}, {os.cpu_count()} cores"


class PeakMemory:
    """The most memory that this process has had resident since the object was made.

    Linux can forget an earlier peak; elsewhere it is the peak since the process began.
    """

    def __init__(self) -> None:
        with suppress(OSError):
            _CLEAR.write_text("5")

    def bytes(self) -> int | None:
        """Return the peak in bytes; None where the system does not tell it."""
        if _STATUS.is_file():
            for line in _STATUS.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        try:
            import resource
        except ImportError:
            return None
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _fields(text: str) -> dict[str, str]:
    """Return what the system tells of the first logical core."""
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
