"""A user's file run as a module, and the hash of all code of theirs that ran for it."""

import hashlib
import importlib
import importlib.util
import os
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
            if name == "__main__" or not isinstance(text, str) or not text.startswith(folders):
                continue
            folder = next(folder for folder in folders if text.startswith(folder))
            parts = Path(text.removeprefix(folder)).parts
            if parts != (self.path.name,) and _INSTALLED.isdisjoint(parts):
                found[name] = module
        return found
