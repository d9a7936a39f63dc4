"""Opens what is inside a store: a file, in its own place, that no link leads out of.

A cache or a whole store may be a link, as its owner likes; in a store nothing is.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from .errors import CorruptStoreError

_NAMES: Final = ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
_FLAGS: Final = os.O_RDONLY | sum(getattr(os, name, 0) for name in _NAMES)
"""Without waiting, as who opens a pipe would; what a system does not have is left out."""


@contextmanager
def plain_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading.

    Raises:
        FileNotFoundError: it is not there.
        CorruptStoreError: it is a link, a folder, a pipe or a device.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except FileNotFoundError:
        raise
    except OSError as error:
        if not path.is_symlink():
            raise
        raise _not_plain(path, "a link") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_plain(path, "a folder, a pipe or a device")
    with open(descriptor, "rb", buffering=0) as stream:  # noqa: PTH123 - of a descriptor
        yield stream


def read_plain(path: Path) -> bytes:
    """Return the bytes of a file; raises as `plain_file` does."""
    with plain_file(path) as stream:
        return stream.read()


def check_no_link(*folders: Path) -> None:
    """Raise CorruptStoreError if a folder inside a store is a link."""
    for folder in folders:
        if folder.is_symlink():
            raise _not_plain(folder, "a link")


def _not_plain(path: Path, found: str) -> CorruptStoreError:
    message = (
        f"{path} must be a file or folder of its own, because it is inside a store, but is "
        f"{found}; put there what it stands for"
    )
    return CorruptStoreError(message)
