"""Names for groups of a cache's embeddings, as a sweep's features take them.

`@each` is every embedding by itself, `@all` all of them joined; `@unsupervised`, `@supervised` and
`@random` are those whose weights were learnt so, joined.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ..cache import EmbeddingStore, list_stores, open_store
from ..core.errors import UsageError
from ..core.names import near_misses

MARK: Final = "@"
OBJECTIVES: Final = ("unsupervised", "supervised", "random")
_GROUPS: Final = ("each", "all", *OBJECTIVES)


def expanded(features: Iterable[str | tuple[str, ...]], cache: Path) -> list[tuple[str, ...]]:
    """Return features with groups replaced by what the cache holds, each combination once.

    A group that has no embedding is left out.

    Args:
        features: `A`, `A+B`, `@all` and the like, or tuples of names.
        cache: folder of the stores.

    Raises:
        UsageError: there is no such group, or nothing is left.
        CacheError: a store cannot be read.
    """
    found: dict[tuple[str, ...], None] = {}
    members: dict[str, list[str]] | None = None
    asked = list(features)
    for item in asked:
        if not isinstance(item, str) or not item.startswith(MARK):
            names = tuple(item.split("+")) if isinstance(item, str) else tuple(item)
            found[names] = None
            continue
        group = item.removeprefix(MARK)
        if group not in _GROUPS:
            message = f"there is no group {item!r} of embeddings; {near_misses(group, _GROUPS)}"
            raise UsageError(message)
        members = _members(cache) if members is None else members
        if group == "each":
            found |= dict.fromkeys((name,) for name in members["all"])
        elif members[group]:
            found[tuple(members[group])] = None
    if not found:
        message = (
            f"{' '.join(map(str, asked))} must be embeddings of {cache}, but it has none of "
            f"these; run abaw extract, or name features"
        )
        raise UsageError(message)
    return list(found)


def _members(cache: Path) -> dict[str, list[str]]:
    """Return the names of the embeddings of each group, in the order of the cache."""
    members: dict[str, list[str]] = {group: [] for group in ("all", *OBJECTIVES)}
    for name in list_stores(cache):
        with open_store(cache / name) as store:
            if not isinstance(store, EmbeddingStore):
                continue
            members["all"].append(name)
            objective = store.provenance.get("objective")
            if objective in OBJECTIVES:
                members[objective].append(name)
    return members
