"""Says of damaged stores, each in a child of its own, what verify and a full read make of them.

    python -m abaw.tests.cache.judge        a path a line on stdin, a JSON object a line on stdout

The child is forked from a process that has nothing but `abaw.cache` in memory, is ended after 10
seconds wherever it is, and its memory is measured.
"""

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

MOST_SECONDS = 10
MOST_MEMORY = 1 << 30
ROOM = 8 << 30
"""Address space of a child: more is refused, so that no damage takes the whole machine."""


@dataclass(frozen=True)
class Verdict:
    """What became of one store."""

    problems: list[str]
    """What verify found, or why it refused the store."""
    refusal: str | None
    """Why a read was refused."""
    contents: dict[str, str] | None
    """What the read gave, by name; None if it was refused."""
    bug: str | None
    """An exception that is none of this package's own."""
    signal: int
    """That ended the child; 0 for none."""
    memory: int
    """Most bytes resident."""

    @property
    def hangs(self) -> bool:
        """Whether it took more than 10 seconds."""
        return self.signal == signal.SIGALRM

    @property
    def crashed(self) -> bool:
        """Whether a native library ended the process."""
        return self.signal != 0 and not self.hangs

    @property
    def is_found(self) -> bool:
        """Whether a user is told."""
        return bool(self.problems)


class Judge:
    """The process that judges, as seen from a test."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def __call__(self, store: Path) -> Verdict:
        """Judge one store."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{store}\n")
        self._process.stdin.flush()
        return Verdict(**json.loads(self._process.stdout.readline()))


@contextmanager
def judging() -> Iterator[Judge]:
    """Run the process that judges."""
    command = [sys.executable, "-m", "abaw.tests.cache.judge"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Judge(process)
        assert process.stdin is not None
        process.stdin.close()


# --- in the process that judges -------------------------------------------------------------------


def contents(path: Path) -> dict[str, str]:
    """Return all that a store gives a reader, each as a hash."""
    from abaw.cache import LabelStore, open_store

    found: dict[str, Any] = {}
    with open_store(path) as store:
        if isinstance(store, LabelStore):
            for field in fields(store.table):
                found[field.name] = getattr(store.table, field.name)
            found["fingerprint"] = store.fingerprint
        else:
            for video, record in store.items():
                found[f"video {video}"] = [getattr(record, field.name) for field in fields(record)]
            for name in ("spec", "provenance", "run_settings", "loss", "failures", "videos"):
                found[name] = getattr(store, name)
            for number, tree in enumerate(store._trees or []):
                found[f"attributes {number}"] = sorted(tree.attributes.items())
                for name, array in tree.arrays.items():
                    found[f"{number} {name}"] = array
                for name, rows in tree.rows.items():
                    found[f"{number} {name}"] = rows[0 : rows.shape[0]]
        return {name: _hash(value) for name, value in found.items()}


def _hash(value: Any) -> str:
    if isinstance(value, list | tuple):
        data = "|".join(map(_hash, value)).encode()
    elif hasattr(value, "tobytes"):
        data = f"{value.dtype} {value.shape}".encode() + value.tobytes()
    else:
        data = repr(value).encode()
    return hashlib.sha256(data).hexdigest()[:16]


def judged(path: Path) -> dict[str, Any]:
    """Verify a store and read all of it."""
    from abaw.cache import verify_store
    from abaw.core.errors import AbawError

    told: dict[str, Any] = {"problems": [], "refusal": None, "contents": None, "bug": None}
    try:
        try:
            found = verify_store(path, workers=1)
            told["problems"] = [problem.text() for problem in found.problems]
        except AbawError as error:
            told["problems"] = [str(error)]
        try:
            told["contents"] = contents(path)
        except AbawError as error:
            told["refusal"] = str(error)
    except BaseException:
        told["bug"] = traceback.format_exc()
    return told


def main() -> None:
    """Judge what is named on stdin."""
    import abaw.cache.verify  # noqa: F401 - before the first child

    for line in sys.stdin:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            signal.alarm(MOST_SECONDS)
            resource.setrlimit(resource.RLIMIT_AS, (ROOM, ROOM))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            told = json.dumps(judged(Path(line.rstrip("\n"))))
            with os.fdopen(write, "w") as stream:
                stream.write(told)
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as stream:
            text = stream.read()
        _, status, usage = os.wait4(child, 0)
        ended = {"problems": [], "refusal": None, "contents": None, "bug": None}
        if text:
            ended = json.loads(text)
        ended["signal"] = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        ended["memory"] = usage.ru_maxrss * 1024
        print(json.dumps(ended), flush=True)


if __name__ == "__main__":
    main()
