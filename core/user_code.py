"""Code of a user's own: a file run as a module, with the hash of all that ran, or a package's.

Naming a file runs its code: nothing here shuts it in.
"""

import hashlib
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from .errors import UsageError
from .names import near_misses

_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
"""Folders of packages, which versions stand for; an environment often lies beside a user's file."""
_OURS: Final = __name__.partition(".")[0]
"""This package: imported anew, its classes would no longer be those that the program knows."""


def is_file(name: str) -> bool:
    """Whether a name is of the form `file.py:name`."""
    path, colon, _ = name.rpartition(":")
    return bool(colon) and path.endswith(".py")


def installed(group: str) -> dict[str, EntryPoint]:
    """Return the entry points that installed packages offer in a group, by name, none loaded."""
    return {point.name: point for point in entry_points(group=group)}


def package_of(point: EntryPoint) -> str:
    """Return name and version of the package that offers an entry point."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


class UserFile:
    """A Python file that a user names, with the modules that it imports from its own folder.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._folder = path.resolve().parent
        self._digest = hashlib.sha256(path.read_bytes()).hexdigest()
        self._used: dict[str, ModuleType] = {}

    @classmethod
    def of(cls, name: str, kind: str) -> tuple["UserFile", str]:
        """Return file and name of `file.py:name`; `~` is the home folder.

        Args:
            name: the text.
            kind: what is named, in the words of an error message ("backbone").

        Raises:
            UsageError: there is no such file.
        """
        text, _, inner = name.rpartition(":")
        path = Path(text).expanduser()
        if not path.is_file():
            message = f"the file of the {kind} {name} must exist, but {path} does not; check it"
            raise UsageError(message)
        return cls(path), inner

    @contextmanager
    def running(self) -> Iterator[ModuleType]:
        """Run the file anew, and let it import its neighbours while the block lasts.

        Neighbours are imported anew, too: what ran must be what is hashed. Modules that this
        program had imported from the same folder are as they were afterwards.
        """
        before = self._neighbours()
        for name in before:
            del sys.modules[name]
        importlib.invalidate_caches()
        sys.path.insert(0, str(self._folder))
        try:
            yield self._run()
        finally:
            sys.path.remove(str(self._folder))
            self._used = self._neighbours()
            sys.modules.update(before)

    def digest(self) -> str:
        """Return `sha256:<hex>` of the file and of every neighbour imported while it was running.

        A neighbour counts with the name it is imported by, so a copied folder has the same hash.
        """
        if not self._used:
            return f"sha256:{self._digest}"
        digest = hashlib.sha256(self._digest.encode())
        for name, module in sorted(self._used.items()):
            code = Path(str(module.__file__)).read_bytes()
            digest.update(f"\n{name} {hashlib.sha256(code).hexdigest()}".encode())
        return f"sha256:{digest.hexdigest()}"

    def _run(self) -> ModuleType:
        name = f"abaw_user_{self.path.stem}_{self._digest[:12]}"
        spec = importlib.util.spec_from_file_location(name, self.path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look their module up there
        spec.loader.exec_module(module)
        return module

    def _neighbours(self) -> dict[str, ModuleType]:
        """Return the modules that come from the file's folder, the file itself apart."""
        # As text: there are thousands of modules, and looking at the disk for each takes a second.
        folders = tuple({f"{path}{os.sep}" for path in (self._folder, self.path.parent.absolute())})
        found = {}
        for name, module in list(sys.modules.items()):
            text = getattr(module, "__file__", None)
            if name == "__main__" or name.partition(".")[0] == _OURS:
                continue
            if not isinstance(text, str) or not text.startswith(folders):
                continue
            folder = next(folder for folder in folders if text.startswith(folder))
            parts = Path(text.removeprefix(folder)).parts
            if parts != (self.path.name,) and _INSTALLED.isdisjoint(parts):
                found[name] = module
        return found


def callable_of(module: ModuleType, name: str, path: Path, what: str) -> Callable[..., Any]:
    """Return a module's function or class by name.

    Args:
        module: that ran.
        name: of the function or class.
        path: the module's file.
        what: "function" or "class", for the message.

    Raises:
        UsageError: it has none of that name; the message lists the nearest.
    """
    found = getattr(module, name, None)
    if callable(found):
        return found  # type: ignore[no-any-return]
    known = [key for key, item in vars(module).items() if callable(item)]
    message = f"{path} must have a {what} {name!r}, but has none; {near_misses(name, known)}"
    raise UsageError(message)


@contextmanager
def failing_in(needed: str, path: Path | None) -> Iterator[None]:
    """Have an error in a user's code say where it is; its traceback stays as the cause.

    Args:
        needed: what the code was to do, "the backbone x must make a module".
        path: the user's file, whose line is told; None for an installed package.

    Raises:
        UsageError: the block raised something.
    """
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        message = f"{needed}, but its code fails {_place(error, path)}"
        raise UsageError(message) from error


def _place(error: Exception, path: Path | None) -> str:
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if path is not None and frame.filename in (str(path), str(path.absolute()))
    ]
    if isinstance(error, SyntaxError):
        lines = [error.lineno]
    at = f"in line {lines[-1]} of {path}" if lines else "while it runs"
    return f"{at}: {type(error).__name__}: {error}; mend it"
