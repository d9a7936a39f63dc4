"""What a video id and an embedding name may be.

Both come from outside (folder names, annotation files, the command line) and end up in paths and
in stores, so they are checked once, here, where they enter.
"""

import os
import re
from collections.abc import Iterable
from difflib import get_close_matches

from .errors import AbawError, UsageError

_EMBEDDING_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\Z")
_SUFFIX = re.compile(r"(-[A-Za-z0-9_-]+)?\Z")
RESERVED_PREFIX = "labels"
FOLDS_PREFIX = "folds"


class VideoIdError(AbawError):
    """A video id could leave its folder or cannot be printed."""


def check_video_id(video: str, where: str = "") -> str:
    """Return `video` if it is a safe relative id, else raise.

    An id may hold `/` (some sets nest folders) but no empty, `.` or `..` part, no leading `/`,
    no backslash, no NUL or other control character.

    Raises:
        VideoIdError: the id is unsafe; the message names it and `where` it was found.
    """
    parts = video.split("/")
    unsafe = (
        not video
        or any(part in {"", ".", ".."} for part in parts)
        or "\\" in video
        or not video.isprintable()
        or len(video.encode()) > 1024
    )
    if unsafe:
        place = f" in {where}" if where else ""
        message = (
            f"a video id must be a relative path without '..', backslashes or control characters, "
            f"but {video!r}{place} is not; rename it"
        )
        raise VideoIdError(message)
    return video


def check_embedding_name(name: str) -> str:
    """Return `name` if it may name an embedding, else raise.

    Raises:
        UsageError: the name has other characters than letters, digits, `_` and `-` (so no `+`,
            `/` or dot: `A+B` means two embeddings), or starts with the reserved word `labels`.
    """
    if not _EMBEDDING_NAME.match(name):
        message = (
            f"an embedding name is made of letters, digits, '_' and '-' and starts with a letter "
            f"or digit, but got {name!r}; try {slug(name)!r}"
        )
        raise UsageError(message)
    if name.lower().startswith(RESERVED_PREFIX):
        message = (
            f"embedding names that start with {RESERVED_PREFIX!r} are kept for label stores, "
            f"but got {name!r}; choose another name"
        )
        raise UsageError(message)
    return name


def labels_store_name(name: str) -> str:
    """Return the name of the labels store that a user calls `name`.

    Raises:
        UsageError: the name has other characters than letters, digits, `_` and `-`, or starts with
            `labels` in another way.

    >>> labels_store_name("labels"), labels_store_name("va6"), labels_store_name("labels-va6")
    ('labels', 'labels-va6', 'labels-va6')
    """
    return _full_name(name, RESERVED_PREFIX, "a labels store")


def folds_file_name(name: str) -> str:
    """Return the name of the fold file, without `.json`, that a user calls `name`.

    Raises:
        UsageError: the name has other characters than letters, digits, `_` and `-`, or starts with
            `folds` in another way.

    >>> folds_file_name("folds"), folds_file_name("k10")
    ('folds', 'folds-k10')
    """
    return _full_name(name, FOLDS_PREFIX, "a fold file")


def _full_name(name: str, prefix: str, what: str) -> str:
    """Return `prefix`, or `prefix-NAME`, of what a user calls by either or by NAME."""
    is_full = name.lower().startswith(prefix)
    full = name if is_full else f"{prefix}-{name}"
    if not (full.startswith(prefix) and _SUFFIX.match(full, len(prefix))):
        message = (
            f"{what} is called {prefix}, or {prefix}-NAME with a NAME of letters, digits, '_' "
            f"and '-', but got {name!r}"
        )
        raise UsageError(message)
    return full


def slug(text: str) -> str:
    """Return `text` with every run of characters that a name may not hold made one `-`.

    >>> slug("timm/resnet50.a1_in1k")
    'timm-resnet50-a1_in1k'
    """
    return re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-_") or "embedding"


def printable_name(name: str) -> str:
    """Return a file's name as text that can be stored and printed; not all names are UTF-8.

    >>> printable_name(os.fsdecode(b"n\\xff.txt"))
    'n\\\\xff.txt'
    """
    return os.fsencode(name).decode(errors="backslashreplace")


def near_misses(name: str, known: Iterable[str]) -> str:
    """Return "did you mean …" for a name that is not among `known`, or the list of known ones."""
    known = sorted(known)
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(close) + "?"
    return "known are " + ", ".join(known) if known else "none is known"
