"""A store that was converted says which file it took the place of, until that file is gone.

A conversion that was ended before it had removed the old form leaves both. Which one counts is in
the new one's root attributes: the old one's file name and the checksum of its tree. The checksum
tells a form that is really replaced from a later one under the same name: a store that was
converted there and back again still has the name of the other form in it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .backend import Backend, P, Tree
from .errors import CorruptStoreError
from .object_path import AnyPath

REPLACES: Final = "replaces"
REPLACES_CHECKSUM: Final = "replaces_checksum"


def replacing(old: Path, tree: Tree) -> dict[str, str]:
    """Return the root attributes of a tree that takes the place of the store `old`.

    Args:
        old: the store in its other form.
        tree: its only tree.
    """
    return {REPLACES: old.name, REPLACES_CHECKSUM: str(tree.attributes["checksum"])}


def without_replaced(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return root attributes but those that `replacing` gives."""
    marks = {REPLACES, REPLACES_CHECKSUM}
    return {name: value for name, value in attributes.items() if name not in marks}


def is_replaced(
    backend: Backend[Any], store: AnyPath, other_backend: Backend[Any], other: AnyPath
) -> bool:
    """Return whether `other` took the place of `store`, both of one name."""
    theirs = _claim(other_backend, other, backend, store)
    return theirs > 0 and theirs > _claim(backend, store, other_backend, other)


def _claim(backend: Backend[P], store: P, other_backend: Backend[Any], other: AnyPath) -> int:
    """Return how surely `store` says that it took the place of `other`: 0 for not at all.

    1 is for the name alone: a tree without the checksum, or the old tree is gone.
    """
    attributes = _attributes(backend, store)
    if attributes.get(REPLACES) != other.name:
        return 0
    expected = attributes.get(REPLACES_CHECKSUM)
    found = _attributes(other_backend, other).get("checksum")
    if expected is None or found is None:
        return 1
    return 2 if found == expected else 0


def _attributes(backend: Backend[P], store: P) -> Mapping[str, Any]:
    try:
        base = backend.find_base(store)
        return {} if base is None else backend.read(base, map_rows=False).attributes
    except CorruptStoreError:  # it can say nothing
        return {}
