"""What the JSON of a Zarr tree may say, and what may lie there, that a store may not."""

import json
import shutil
from collections.abc import Callable
from typing import Any

from .damages import HUGE, Damage, Place


def _node(change: Callable[[dict[str, Any], Place], Any]) -> Damage:
    """Return a damage of the JSON of a node that is drawn."""

    def damage(place: Place) -> None:
        path = place.file("zarr.json")
        found = change(json.loads(path.read_text()), place)
        path.write_text(found if isinstance(found, str) else json.dumps(found))

    damage.__name__ = change.__name__
    return damage


_VALUES: list[Any] = [
    *(None, True, 0, -1, HUGE, 2**70, 1.5, float("nan"), float("inf"), "", "x", "../..", "\ud800"),
    *([], {}, [1], ["a"], {"name": "bytes"}, [[[]]], "object", "float64", "<f2", "vlen-utf8"),
]


def _any_value(node: Any, place: Place) -> Any:
    """Put a value somewhere into the JSON."""
    here = node
    while True:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        if not keys:
            return node
        key = keys[place.number(len(keys))]
        if not isinstance(here[key], dict | list) or not here[key] or place.number(3) == 0:
            here[key] = _VALUES[place.number(len(_VALUES))]
            return node
        here = here[key]


def _key_lost(node: dict[str, Any], place: Place) -> dict[str, Any]:
    keys = list(node)
    del node[keys[place.number(len(keys))]]
    return node


def _huge_array(node: dict[str, Any], _: Place) -> dict[str, Any]:
    if "shape" in node:
        node["shape"][0] = HUGE
        node["chunk_grid"]["configuration"]["chunk_shape"][0] = HUGE
    return node


def _many_chunks(node: dict[str, Any], _: Place) -> dict[str, Any]:
    """A chunk a row, of 10^12 rows: a list of their names would not fit in memory."""
    if "shape" in node:
        node["shape"][0] = HUGE
        node["chunk_grid"]["configuration"]["chunk_shape"][0] = 1
    return node


def _codec(node: dict[str, Any], place: Place) -> dict[str, Any]:
    names = ["gzip", "blosc", "vlen-utf8", "pickle", "numcodecs.pickle", "sharding_indexed"]
    if "codecs" in node:
        node["codecs"].append({"name": names[place.number(len(names))], "configuration": {}})
    return node


def _deep(_: dict[str, Any], __: Place) -> str:
    return "[" * 200_000


def _elsewhere(node: dict[str, Any], place: Place) -> dict[str, Any]:
    names = ["..", "../../outside/mae.zarr", "/etc", ".", "", "parts", "\0", "a" * 5000, 7, None]
    if "current" in node.get("attributes", {}):
        node["attributes"]["current"] = names[place.number(len(names))]
    return node


def chunk_outside(place: Place) -> None:
    path = place.file("/c/")
    same = place.outside / "chunk"
    shutil.copy(path, same)
    path.unlink()
    path.symlink_to(same)


def folder_outside(place: Place) -> None:
    """An array, a group of arrays or a whole tree that a link leads out to."""
    found = sorted(
        path for path in place.store.rglob("*") if path.is_dir() and path.name != "parts"
    )
    path = found[place.number(len(found))]
    same = place.outside / "tree"
    shutil.copytree(path, same)
    shutil.rmtree(path)
    path.symlink_to(same)


ZARR: list[Damage] = [
    *map(_node, (_any_value, _any_value, _any_value, _key_lost, _huge_array, _many_chunks, _codec)),
    *map(_node, (_deep, _elsewhere)),
    *(chunk_outside, folder_outside),
]
