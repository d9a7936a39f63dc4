"""A full disk, told as what it is."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from .errors import CacheError
from .object_path import AnyPath

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says of a disk, a quota or a limit that is reached."""


@contextmanager
def room_needed(path: AnyPath) -> Iterator[None]:
    """Run a block that writes to the store at `path`.

    Raises:
        CacheError: there is no room; what was committed before is not touched.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL or not isinstance(path, Path):
            raise
        free = shutil.disk_usage(path.parent).free
        message = (
            f"{path} needs more room than there is ({error.strerror}; {free / 1e6:,.0f} MB are "
            f"free there): make room and run the same command again, what was committed before is "
            f"kept and readable"
        )
        raise CacheError(message) from error
