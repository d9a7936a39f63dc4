"""A sweep as a process of its own, for tests that end it."""

import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

SMALL = {"projection": 8, "hidden_size": 8, "head_hidden": 4, "device": "cpu", "epochs": 1}


def settings(**changes) -> list[str]:
    """Return the flags of a small network's settings."""
    return [x for key, value in (SMALL | changes).items() for x in ("--set", f"{key}={value}")]


def begin(
    cache: Path, out: Path, *arguments: str, file_limit: int | None = None
) -> subprocess.Popen:
    """Begin a sweep, in a session of its own.

    Args:
        cache: folder of the stores.
        out: folder of the sweep.
        arguments: more of them.
        file_limit: bytes beyond which no file of it can grow, as on a full disk.
    """
    command = [sys.executable, "-m", "abaw", "temporal-sweep", *arguments]
    command += ["--out", str(out), "--cache", str(cache)]

    def prepare() -> None:
        # Begun in the background of a shell, tests ignore SIGINT, and so would this process.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if file_limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, resource.RLIM_INFINITY))

    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=prepare,
    )


def wait_until(is_so: Callable[[], object], seconds: float = 120) -> None:
    """Wait for something that must come."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def workers(process: subprocess.Popen) -> list[int]:
    """Return the processes that train for a sweep."""
    found = subprocess.run(
        ["pgrep", "-P", str(process.pid), "-f", "spawn_main"], capture_output=True, text=True
    )
    return [int(text) for text in found.stdout.split()]


def written(out: Path) -> dict[Path, int]:
    """Return when each finished run under a folder was written."""
    return {path: path.stat().st_mtime_ns for path in out.rglob("run.json")}
