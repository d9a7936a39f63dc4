"""How long `abaw --help` takes, over a bare start of Python.

python bench/help_time.py
"""

import subprocess
import sys
import time

from timing import spread

from abaw.core.machine import cpu_name

REPEATS = 9
COMMANDS = {
    "bare python": [sys.executable, "-c", "pass"],
    "abaw --help": [sys.executable, "-m", "abaw", "--help"],
    "import torch": [sys.executable, "-c", "import torch"],
}


def seconds(command: list[str]) -> float:
    """Wall time of one run of a command."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Print the median times and the ratio to a bare start."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(REPEATS):
        for name, command in COMMANDS.items():
            times[name].append(seconds(command))
    print(f"start-up, {REPEATS} interleaved repeats, {cpu_name()}")
    for name in COMMANDS:
        print(f"  {name:14} {spread(times[name])} s")
    ratio = [a / b for a, b in zip(times["abaw --help"], times["bare python"], strict=True)]
    print(f"  abaw --help over bare python: {spread(ratio)}")


if __name__ == "__main__":
    main()
