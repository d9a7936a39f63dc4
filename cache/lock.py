"""The one lock there is: two compactions of a store follow each other.

The lock is a file in the folder of parts, `lock-1`, `lock-2` and so on; the highest number counts.
It names the process that holds it, or says that nobody does. Whoever finds it free, or its process
dead, makes the next number, which the file system gives to one only. Only its holder may remove the
highest number, with the folder: another process can have judged it before, so what it judged is
compared with what is there once it has made the next. Each taking has an id of its own, by which a
holder knows its lock from a later one of the same number. Nothing relies on `flock`, which network
file systems have in many forms.
"""

import json
import os
import re
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from ..core.files import make_one_folder
from .backend import temporary_path
from .errors import CacheError, LockedError
from .room import FULL

LOCK_NAME: Final = re.compile(r"lock-(\d+)\Z")
_FREE: Final = "{}"
_POLL_SECONDS: Final = 0.05
_ENDED: Final = frozenset("ZX")
"""States of processes that have ended and that their parent has not asked about."""


@dataclass(frozen=True)
class Owner:
    """A process as other processes can find it."""

    host: str
    pid: int
    start: str
    """When it began, as the system tells it: another process can get its number later."""
    boot: str
    """Of the system: after a restart nothing is alive."""
    namespace: str
    """Containers of one host name may number their processes apart."""
    taking: str = ""
    """Id of this one time that it takes a lock."""

    @classmethod
    def this_process(cls) -> Self:
        """Return the process that calls, at a taking of its own."""
        pid, host, taking = os.getpid(), socket.gethostname(), uuid.uuid4().hex
        return cls(host, pid, _start_of(pid) or "", _boot(), _namespace(), taking)

    @classmethod
    def from_text(cls, text: str) -> Self | None:
        """Return the process that a lock names; None if it names none that can be understood."""
        try:
            value = json.loads(text)
            return cls(**{**value, "pid": int(value["pid"])})
        except (ValueError, TypeError, KeyError):
            return None

    def is_alive(self) -> bool | None:
        """Return whether the process runs; None if that cannot be told from here."""
        if (self.host, self.namespace) != (socket.gethostname(), _namespace()):
            return None
        if self.boot != _boot():
            return False
        start = _start_of(self.pid)
        if start is None and _is_hidden(self.pid):
            return None
        return self.start == start


def _start_of(pid: int) -> str | None:
    """Return when a process began, or None if no running one of this number can be seen."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # The name in brackets may hold anything; after it, field 1 is the state, 20 the time.
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return None
        return None if fields[0] in _ENDED else fields[19]
    found = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or None


def _is_hidden(pid: int) -> bool:
    """Return whether a process runs that this user may not look at, as /proc can be set up."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return not os.access(f"/proc/{pid}/stat", os.R_OK)
    except OSError:
        pass
    return False


def _boot() -> str:
    """Return what differs from one start of the system to the next, as far as it tells."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


def _namespace() -> str:
    path = Path("/proc/self/ns/pid")
    return path.readlink().name if path.is_symlink() else ""


@contextmanager
def compaction_lock(folder: Path, *, wait: bool, break_lock: bool = False) -> Iterator[bool]:
    """Hold the lock of the store whose parts lie in `folder`.

    Yields False if it is held, or may be, and `wait` is False.

    Args:
        folder: made if it is not there.
        wait: for a living process of this host to let go.
        break_lock: take it from whoever holds it.

    Raises:
        LockedError: with `wait`, a process of another host holds it, which may be alive or not.
    """
    try:
        while (taken := _taken(folder, break_lock=break_lock)) is None and wait:
            time.sleep(_POLL_SECONDS)
    except LockedError:
        if wait:
            raise
        taken = None
    if taken is None:
        yield False
        return
    try:
        yield True
    finally:
        _let_go(*taken)


def lock_files(folder: Path) -> dict[int, Path]:
    """Return number -> file of a folder's locks, rising."""
    try:
        names = {path: LOCK_NAME.match(path.name) for path in folder.iterdir()}
    except FileNotFoundError:
        return {}
    return dict(sorted((int(found[1]), path) for path, found in names.items() if found))


def _taken(folder: Path, *, break_lock: bool) -> tuple[Path, str] | None:
    """Return the lock that is now ours and what it says, or None if a living process has it."""
    while True:
        folder.parent.mkdir(parents=True, exist_ok=True)
        make_one_folder(folder)
        last, path = max(lock_files(folder).items(), default=(0, None))
        judged = _text(path)
        if path is not None and judged is None:
            continue  # gone meanwhile, and the folder can be another one
        if not break_lock and judged is not None and path is not None and _is_held(path, judged):
            return None
        mine = folder / f"lock-{last + 1}"
        text = _made(mine)
        if text is None:
            continue
        others = lock_files(folder)
        if max(others, default=0) == last + 1 and _text(path) == judged:
            for number, other in others.items():
                if number <= last:
                    other.unlink(missing_ok=True)
            return mine, text
        # Another process was quicker: it has a higher number, or what was judged is another lock.
        mine.unlink(missing_ok=True)


def _text(path: Path | None) -> str | None:
    """Return what a lock says, or None if there is none."""
    if path is None:
        return None
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def _is_held(path: Path, text: str) -> bool:
    """Return whether a living process of this host holds a lock that says `text`.

    Raises:
        LockedError: a process holds it that cannot be seen from here.
    """
    if text == _FREE:
        return False
    owner = Owner.from_text(text)
    is_alive = owner.is_alive() if owner else None
    if is_alive is None:
        who = f"process {owner.pid} of {owner.host}" if owner else f"an unknown process ({text!r})"
        message = (
            f"{path.parent} must not be compacted by two processes, but {who} holds {path.name}, "
            f"which cannot be looked at from {socket.gethostname()}; wait for it, or if it is gone "
            f"add --break-lock (the parts are safe and readable as they are)"
        )
        raise LockedError(message)
    return is_alive


def _made(path: Path) -> str | None:
    """Make a lock of this process, whole at once, and return what it says; None if it is taken."""
    temporary = temporary_path(path)
    text = json.dumps(asdict(Owner.this_process()))
    try:
        _write(temporary, text)
        # Like O_EXCL: it fails where the name is taken, on every file system with links.
        os.link(temporary, path)
    except (FileExistsError, FileNotFoundError):
        return None
    except OSError as error:
        if error.errno in FULL:
            raise
        message = (
            f"compaction needs a file system that links files, but {path} cannot be made "
            f"({error.strerror}); the parts are safe and readable as they are"
        )
        raise CacheError(message) from error
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    return text


def _let_go(path: Path, text: str) -> None:
    """Say that nobody holds our lock; nothing is left to say where it was removed, or broken."""
    if _text(path) != text:
        return
    temporary = temporary_path(path)
    try:
        _write(temporary, _FREE)
        temporary.replace(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in FULL:
            raise
        temporary.unlink(missing_ok=True)
        path.unlink(missing_ok=True)  # no room to say it: none there is a free one too


def _write(path: Path, text: str) -> None:
    with path.open("xb") as stream:
        stream.write(text.encode())
        stream.flush()
        os.fsync(stream.fileno())
