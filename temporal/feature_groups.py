"""Names for groups of a cache's embeddings, as a sweep's features take them.

`@each` is every embedding by itself, `@all` all of them joined; `@unsupervised`, `@supervised` and
`@random` are those whose weights were learnt so, joined.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ..cache import EmbeddingStore, list_stores, open_store
from ..core.errors import UsageError
from ..core.names import near_misses
from .sweep_spec import SweepSpec

MARK: Final = "@"
OBJECTIVES: Final = ("unsupervised", "supervised", "random")
_GROUPS: Final = ("each", "all", *OBJECTIVES)


def expanded(features: Iterable[str | tuple[str, ...]], cache: Path) -> list[tuple[str, ...]]:
    """Return features with groups replaced by what the cache holds, each combination once.

    A group that has no embedding is left out; nothing may be left.

    Args:
        features: `A`, `A+B`, `@all` and the like, or tuples of names.
        cache: folder of the stores.

    Raises:
        UsageError: there is no such group.
        CacheError: a store cannot be read.
    """
    found: dict[tuple[str, ...], None] = {}
    members: dict[str, list[str]] | None = None
    for item in features:
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
    return list(found)


def with_features(spec: SweepSpec, cache: Path) -> SweepSpec:
    """Return a sweep with the groups among its features replaced by what the cache holds.

    Raises:
        UsageError: there is no such group, or the cache has no embedding of any of them.
        CacheError: a store cannot be read.
    """
    asked: list[Any] = []

    def found(features: Iterable[Any]) -> tuple[tuple[str, ...], ...]:
        asked.extend(kept := list(features))
        return tuple(expanded(kept, cache))

    fixed, grid = dict(spec.fixed), dict(spec.grid)
    if "features" in grid:
        grid["features"] = found(grid["features"])
    elif "features" in fixed:
        several = found([fixed.pop("features")])
        if len(several) == 1:
            fixed["features"] = several[0]
        else:
            grid = {"features": several, **grid}
    cases: list[Mapping[str, Any]] = []
    for case in spec.cases:
        if "features" in case:
            cases += [{**case, "features": one} for one in found([case["features"]])]
        else:
            cases.append(case)
    if not grid.get("features", True) or (spec.cases and not cases):
        message = (
            f"{cache} must have embeddings of {', '.join(map(str, asked))}, but has none of these; "
            f"run abaw extract, or name other features"
        )
        raise UsageError(message)
    return replace(spec, fixed=fixed, grid=grid, cases=tuple(cases))


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
