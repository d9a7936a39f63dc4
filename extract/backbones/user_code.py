"""A user's file run as a module, and the hash of all code of theirs that ran for it."""

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final

_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
"""Folders of packages, which versions stand for; an environment often lies beside a user's file."""


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

        A neighbour counts with its path below the folder, so the hash is that of a copied folder.
        """
        files = sorted({file for module in self._used.values() if (file := _file_of(module))})
        if not files:
            return f"sha256:{self._digest}"
        digest = hashlib.sha256(self._digest.encode())
        for file in files:
            name = file.relative_to(self._folder).as_posix()
            digest.update(f"\n{name} {hashlib.sha256(file.read_bytes()).hexdigest()}".encode())
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
        found = {}
        for name, module in list(sys.modules.items()):
            file = _file_of(module)
            if name == "__main__" or file is None or not file.is_relative_to(self._folder):
                continue
            if file != self.path.resolve() and _INSTALLED.isdisjoint(
                file.relative_to(self._folder).parts
            ):
                found[name] = module
        return found


def _file_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if isinstance(file, str) else None
