"""One process compacts at a time, whatever the others do and however they end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, replace

import pytest

from abaw.cache import LockedError, h5_store, lock
from abaw.cache.lock import LOCK_NAME, Owner, compaction_lock

from .crashing import CRASHED, Trigger, arm, in_child

pytestmark = pytest.mark.heavy

HOLD = """
import sys, pathlib
from abaw.cache.lock import compaction_lock
with compaction_lock(pathlib.Path(sys.argv[1]), wait=True):
    print("held", flush=True)
    sys.stdin.read()
"""

COUNT = """
import sys, pathlib
from abaw.cache import lock
from abaw.cache.h5_store import H5Backend
lock._POLL_SECONDS = 0.001
store, n = pathlib.Path(sys.argv[1]), int(sys.argv[2])
if sys.argv[3] == "broken":
    lock._is_held = lambda path, text: False
counter, backend = store.with_name("counter"), H5Backend()
sys.stdin.read(1)
for k in range(n):
    with lock.compaction_lock(backend.parts_folder(store), wait=True):
        before = int(counter.read_text())
        counter.write_text(str(before + 1))
        if k % 3 == 0:
            backend.tidy(store)
"""


@contextmanager
def holder(folder):
    """Run a process that holds the lock until it is killed or the block ends."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.stdin.close()


def is_free(folder):
    with compaction_lock(folder, wait=False) as is_ours:
        return is_ours


def write_lock(folder, owner, number=1):
    folder.mkdir(exist_ok=True)
    path = folder / f"lock-{number}"
    path.write_text(json.dumps(asdict(owner)))
    return path


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "mae.h5.parts"


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["whole", "broken"])
def test_many_processes_count_under_the_lock_and_none_is_lost(tmp_path, kind):
    """Also while the folder of the lock is removed and made again all the time."""
    n_processes, n_each = 8, 40
    (tmp_path / "counter").write_text("0")
    command = [sys.executable, "-c", COUNT, str(tmp_path / "mae.h5"), str(n_each), kind]
    jobs = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(n_processes)]
    for job in jobs:
        job.stdin.write(b"\n")
        job.stdin.flush()
    for job in jobs:
        job.stdin.close()
        assert job.wait() == 0 or kind == "broken"
    is_exact = (tmp_path / "counter").read_text() == str(n_processes * n_each)
    assert is_exact is (kind == "whole")


def test_a_held_lock_is_not_given_and_a_free_one_is(folder):
    with holder(folder):
        assert not is_free(folder)
    assert is_free(folder)
    assert is_free(folder)


def test_a_killed_holder_lets_go_also_while_nobody_has_waited_for_it(folder):
    with holder(folder) as process:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the table
        assert is_free(folder)


@pytest.mark.heavy
def test_a_dead_holder_is_followed_by_exactly_one(folder):
    with holder(folder) as process:
        process.kill()
    outcomes = []
    command = [
        sys.executable,
        "-c",
        "import sys, pathlib, time\n"
        "from abaw.cache.lock import compaction_lock\n"
        "sys.stdin.read(1)\n"
        "with compaction_lock(pathlib.Path(sys.argv[1]), wait=False) as is_ours:\n"
        "    print(is_ours, flush=True)\n"
        "    sys.stdin.read()\n",
        str(folder),
    ]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    jobs = [subprocess.Popen(command, **pipes) for _ in range(6)]
    for job in jobs:
        job.stdin.write(b"\n")
        job.stdin.flush()
    outcomes = [job.stdout.readline().strip() for job in jobs]
    for job in jobs:
        job.communicate()
    assert sorted(outcomes) == [b"False"] * 5 + [b"True"]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"start": "12345"}, id="recycled-pid"),
        pytest.param({"boot": "another-boot"}, id="another-boot"),
        pytest.param({"pid": 2**22 + 1}, id="no-such-pid"),
    ],
)
def test_a_process_that_is_not_the_one_is_dead(folder, changes):
    with holder(folder):
        owner = Owner.from_text((folder / "lock-1").read_text())
        assert owner.is_alive()
        write_lock(folder, replace(owner, **changes), number=2)
        assert is_free(folder)


@pytest.mark.parametrize(
    "changes",
    [{"host": "node7.cluster"}, {"namespace": "pid:[1234]"}],
    ids=["another-host", "another-container"],
)
def test_a_process_that_cannot_be_seen_is_named_and_not_followed(folder, changes):
    owner = replace(Owner.this_process(), pid=4711, **changes)
    path = write_lock(folder, owner)
    with (
        pytest.raises(LockedError, match="process 4711 of") as caught,
        compaction_lock(folder, wait=True),
    ):
        pass
    for word in (str(folder), owner.host, "lock-1", "--break-lock"):
        assert word in str(caught.value)
    assert path.exists()
    assert not is_free(folder)  # who need not have it goes on without
    with compaction_lock(folder, wait=True, break_lock=True) as is_ours:
        assert is_ours
        assert not path.exists()
    assert is_free(folder)


def test_a_process_that_the_system_hides_is_not_taken_for_dead(folder, monkeypatch):
    write_lock(folder, replace(Owner.this_process(), pid=2**22 + 1))

    def refused(pid, number):
        raise PermissionError

    monkeypatch.setattr(os, "kill", refused)
    with pytest.raises(LockedError, match="process 4194305 of"), compaction_lock(folder, wait=True):
        pass


def test_a_lock_that_cannot_be_understood_is_shown(folder):
    folder.mkdir()
    (folder / "lock-3").write_text("{'pid'")
    who = r"an unknown process \(\"\{'pid'\"\) holds lock-3"
    with pytest.raises(LockedError, match=who), compaction_lock(folder, wait=True):
        pass


@pytest.mark.heavy
def test_a_holder_killed_before_any_of_its_steps_blocks_nobody(tmp_path):
    store, n = tmp_path / "mae.h5", 0

    def compaction(at):
        arm(Trigger(at))
        backend = h5_store.H5Backend()
        with compaction_lock(backend.parts_folder(store), wait=True):
            backend.tidy(store)
        with compaction_lock(backend.parts_folder(store), wait=True):
            pass

    status = CRASHED
    while status == CRASHED:
        n += 1
        status, _ = in_child(lambda _, at=n: compaction(at))
        assert is_free(store.with_name("mae.h5.parts"))
    assert status == 0
    assert n > 8


# --- the folder goes and comes while a process judges ------------------------------------------


def take_anew(folder):
    """Do what other processes can: end a compaction, which removes the folder; begin another."""
    shutil.rmtree(folder)
    return holder(folder)


def judging_meanwhile(monkeypatch, folder, stack):
    """Have the folder go and come between the judging of a lock and the taking of the next."""
    made = lock._made

    def made_later(path):
        monkeypatch.setattr(lock, "_made", made)
        stack.append(take_anew(folder))
        stack[-1].__enter__()
        return made(path)

    monkeypatch.setattr(lock, "_made", made_later)


@pytest.mark.parametrize("is_compared", [True, False])
def test_a_judgement_of_a_lock_that_is_gone_counts_for_nothing(folder, monkeypatch, is_compared):
    write_lock(folder, replace(Owner.this_process(), boot="another"))
    others = []
    judging_meanwhile(monkeypatch, folder, others)
    if not is_compared:  # the fault: what was judged is taken for what is there
        read, texts = lock._text, {}
        monkeypatch.setattr(lock, "_text", lambda path: texts.setdefault(path, read(path)))
    with compaction_lock(folder, wait=False) as is_ours:
        assert is_ours is not is_compared, "two processes hold the lock"
    others[0].__exit__(None, None, None)


def test_a_lock_that_goes_while_it_is_looked_at_is_looked_at_again(folder, monkeypatch):
    write_lock(folder, Owner.this_process(), number=3)
    read, others = lock._text, []

    def read_later(path):
        if not others:
            others.append(take_anew(folder))
            others[0].__enter__()
        return read(path)

    monkeypatch.setattr(lock, "_text", read_later)
    assert not is_free(folder)
    others[0].__exit__(None, None, None)


def test_letting_go_of_a_lock_that_was_removed_leaves_the_next_one_alone(folder):
    with compaction_lock(folder, wait=True):
        others = take_anew(folder)
        others.__enter__()
    assert not is_free(folder), "the lock of another process was let go"
    others.__exit__(None, None, None)


def test_the_end_of_a_compaction_leaves_a_higher_lock_alone(tmp_path):
    backend, store = h5_store.H5Backend(), tmp_path / "mae.h5"
    folder = backend.parts_folder(store)
    with compaction_lock(folder, wait=True):
        write_lock(folder, Owner.this_process(), number=2)
        backend.tidy(store)
        assert sorted(path.name for path in folder.iterdir()) == ["lock-1", "lock-2"]


def test_a_waiting_process_goes_on_when_the_holder_ends(folder):
    with holder(folder) as process:
        waiting = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        time.sleep(0.3)
        assert waiting.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert waiting.stdout.readline() == b"held\n"
        waiting.communicate()
    assert [bool(LOCK_NAME.match(path.name)) for path in folder.iterdir()] == [True]
