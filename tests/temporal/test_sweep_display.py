"""What a sweep shows: lines on a terminal that are drawn over, plain lines elsewhere."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from abaw.temporal.fitting import EpochReport
from abaw.temporal.sweep_display import SweepDisplay

from .made import write_cache
from .sweep_process import settings

DRAWN = re.compile(r"\x1b\[[A-Z]|[\r\n]")


def report(epoch: int, seconds: float) -> EpochReport:
    return EpochReport(epoch, 10, 0.5 + epoch / 100, 0.7, seconds)


def show(display: SweepDisplay) -> None:
    with display:
        display.told("first", report(1, 3.0))
        display.told("second", report(2, 4.0))
        display.told("first", report(2, 6.0))
        display.ended("first", 0.61, 30.0)
        display.failed("second", "it broke")


def test_elsewhere_each_run_that_ends_is_one_plain_line(capsys):
    show(SweepDisplay(4, 1, 2, progress=True))
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["first: P_MTL 0.610, 30 s (2 of 4, 00:20 left)", "second: it broke"]


def test_quietly_only_failures_are_told(capsys):
    show(SweepDisplay(4, 1, 2, progress=False))
    assert capsys.readouterr().err == "second: it broke\n"


def test_the_time_left_is_that_of_the_runs_under_way_and_of_those_that_wait(capsys):
    with SweepDisplay(5, 0, 2, progress=True) as display:
        assert display._seconds_left() is None
        display.told("a", report(5, 50.0))  # 100 s in all, 50 left
        display.told("b", report(1, 20.0))  # 200 s in all, 180 left
        # three wait at about 150 s each
        assert display._seconds_left() == pytest.approx((50 + 180 + 3 * 150) / 2, abs=1)
        for name in ("a", "b", "c", "d"):
            display.ended(name, 0.5, 100.0)
        display.told("e", report(1, 20.0))
        assert display._seconds_left() == pytest.approx(180, abs=1)
        display.ended("e", 0.5, 100.0)
        assert display._seconds_left() == 0


@pytest.mark.heavy
def test_a_terminal_shows_a_line_for_each_run_under_way_and_is_left_clean(tmp_path: Path):
    cache = write_cache(tmp_path / "cache")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
    command = [sys.executable, "-m", "abaw", "temporal-sweep", "--features", "face_a"]
    command += ["--seed", "0-2", "--jobs", "2", "--out", str(tmp_path / "sweep")]
    command += ["--cache", str(cache), *settings(epochs=20)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    text = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        text += part
    table, _ = process.communicate(timeout=240)
    os.close(ours)
    assert process.returncode == 0
    drawn = [part for part in DRAWN.split(text.decode()) if part.strip()]
    runs = {name for part in drawn for name in re.findall(r"s([0-2])-[0-9a-f]{8}: \d+/20 ", part)}
    assert runs == {"0", "1", "2"}, text
    assert any(re.search(r"P_MTL \d\.\d{3} best \d\.\d{3}, \d\d:\d\d left", part) for part in drawn)
    assert any(part.startswith("sweep: 3/3 runs") for part in drawn)
    assert text.endswith(b"\n")
    ended = [part for part in drawn if re.search(r": P_MTL \d\.\d{3}, \d+ s \(\d of 3", part)]
    assert len(ended) == 3
    assert b"3 runs done, 0 failed" in table
