"""How the processor is called, and how much of it this process may use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from abaw.core import machine
from abaw.core.machine import cpu_name, usable_cpus

X86 = "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu sse2 {}\n\nprocessor\t: 1\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd {}\n"


def name_of(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    monkeypatch.setattr(machine, "_CPU_INFO", path)
    cpu_name.cache_clear()
    try:
        return cpu_name()
    finally:
        cpu_name.cache_clear()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (X86.format("avx2"), "AMD EPYC with avx2"),
        (X86.format("avx2 avx512f avx512_bf16"), "AMD EPYC with avx512_bf16"),
        (X86.format(""), "AMD EPYC"),
        (ARM.format("sve bf16"), "with bf16"),
    ],
)
def test_processors_of_one_name_are_told_apart_by_their_instructions(
    text: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    found = name_of(text, tmp_path, monkeypatch)
    assert found.endswith(f"{expected}, {os.cpu_count()} cores")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
@pytest.mark.heavy
def test_only_cores_that_this_process_may_use_are_counted():
    script = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from abaw.core.machine import usable_cpus\n"
        "from abaw.extract.options import RunOptions\n"
        "print(usable_cpus(), RunOptions().n_workers)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ
    )
    assert result.stdout.split() == ["1", "1"]
    assert usable_cpus() == len(os.sched_getaffinity(0))
