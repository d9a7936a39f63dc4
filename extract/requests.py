"""What a user asks of stage 1: embeddings by name, backbone, weights and settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from ..core.errors import UsageError
from ..core.names import check_embedding_name, near_misses, slug

WEIGHT_KINDS = (
    "FILE (.safetensors, .pth, .pt), pretrained, random:SEED, hf-hub:OWNER/NAME, timm/NAME, own "
    "(of your own module), or none"
)
_FIXED_KEYS = ("backbone", "weights", "license", "allow_missing", "allow_unexpected")


class _DistinctLoader(yaml.SafeLoader):
    """The safe loader, but a key given twice is refused instead of hiding the first one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping of a node."""
        seen = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                message = f"the key {key.value!r} stands there twice"
                raise yaml.MarkedYAMLError(problem=message, problem_mark=key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


@dataclass(frozen=True, kw_only=True)
class EmbeddingRequest:
    """One embedding to be made."""

    name: str
    """What the store is called."""
    backbone: str
    """A registered name, `timm/NAME`, `file.py:factory` or the name of an entry point."""
    weights: str
    """One of `WEIGHT_KINDS`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings that differ from the backbone's defaults, as text or as YAML gave them."""
    licence: str | None = None
    """Licence of the weights, as the user states it."""
    allow_missing: tuple[str, ...] = ()
    """Patterns of keys that the weights may lack, as the embedding does not depend on them."""
    allow_unexpected: tuple[str, ...] = ()
    """Patterns of keys that the weights may have besides the network's."""
    file: Path | None = None
    """The file that asks for it, for messages; None for the command line."""


def requests_from_command(
    backbone: str | None,
    weights: str | None,
    name: str | None,
    licence: str | None,
    settings: Sequence[str],
    config: Path | None,
    only: Sequence[str],
    allow_missing: Sequence[str] = (),
    allow_unexpected: Sequence[str] = (),
) -> list[EmbeddingRequest]:
    """Return what the options of `abaw extract` ask for.

    Raises:
        UsageError: options contradict each other or one is missing.
    """
    if config is not None:
        single = {"--backbone": backbone, "--weights": weights, "--name": name}
        given = [flag for flag, value in (single | {"--license": licence}).items() if value]
        given += ["--set"] if settings else []
        given += ["--allow-missing"] if allow_missing else []
        given += ["--allow-unexpected"] if allow_unexpected else []
        if given:
            message = (
                f"--config names every embedding with its settings, so {given[0]} cannot stand "
                f"beside --config; write it into {config}, or leave --config out"
            )
            raise UsageError(message)
        return read_requests(config, only)
    if only:
        message = f"--only chooses among the embeddings of --config, but got {only[0]!r} without it"
        raise UsageError(message)
    if backbone is None:
        message = "which network to run must be given by --backbone NAME or --config FILE"
        raise UsageError(message)
    request = _request(name or _name(backbone), backbone, weights, pairs(settings), licence)
    return [
        replace(
            request, allow_missing=tuple(allow_missing), allow_unexpected=tuple(allow_unexpected)
        )
    ]


def _name(backbone: str) -> str:
    """Return the name of a backbone's embedding; that of `folder/file.py:factory` has no folder."""
    path, colon, factory = backbone.rpartition(":")
    return slug(f"{Path(path).name}:{factory}" if colon and path.endswith(".py") else backbone)


def pairs(texts: Sequence[str]) -> dict[str, str]:
    """Return `key=value` texts as a mapping; a key given twice keeps its last value.

    Raises:
        UsageError: a text has no `=`.
    """
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            message = f"--set takes key=value, but got {text!r}"
            raise UsageError(message)
        found[key.strip()] = value.strip()
    return found


def read_requests(path: Path, only: Sequence[str] = ()) -> list[EmbeddingRequest]:
    """Return the embeddings that a YAML file asks for, in its order.

    The file holds one mapping, `embeddings:`, from names to `backbone`, `weights`, optionally
    `license`, and any settings of the backbone. A weights file is looked up from the working
    folder, as on the command line.

    Args:
        path: the file.
        only: names to take; all if empty.

    Raises:
        UsageError: the file is not of this form; the message names the entry.
    """
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), _DistinctLoader)
    except (OSError, UnicodeDecodeError) as error:
        message = f"the file of --config must be readable text, but {path} is not: {error}"
        raise UsageError(message) from error
    except yaml.YAMLError as error:
        message = f"{path} must be YAML, but {' '.join(str(error).split())}"
        raise UsageError(message) from error
    entries = value.get("embeddings") if isinstance(value, dict) else None
    if not isinstance(entries, dict) or not entries:
        message = f"{path} must hold a mapping `embeddings:` from names to settings, but does not"
        raise UsageError(message)
    others = [str(key) for key in value if key != "embeddings"]
    if others:
        message = f"{path} must hold nothing beside `embeddings:`, but holds {others[0]!r} too"
        raise UsageError(message)
    found = [_entry(path, str(name), entry) for name, entry in entries.items()]
    _check_distinct([request.name for request in found], path)
    names = [request.name for request in found]
    unknown = [name for name in only if name not in names]
    if unknown:
        message = f"{path} holds no embedding {unknown[0]!r}; {near_misses(unknown[0], names)}"
        raise UsageError(message)
    return [request for request in found if not only or request.name in only]


def _entry(path: Path, name: str, entry: object) -> EmbeddingRequest:
    if not isinstance(entry, dict) or not isinstance(entry.get("backbone"), str):
        message = f"the embedding {name!r} in {path} must be a mapping with a backbone, but is not"
        raise UsageError(message)
    settings = {str(key): value for key, value in entry.items() if key not in _FIXED_KEYS}
    weights, licence = entry.get("weights"), entry.get("license")
    try:
        request = _request(
            name,
            entry["backbone"],
            None if weights is None else str(weights),
            settings,
            None if licence is None else str(licence),
            path,
        )
        return replace(
            request,
            allow_missing=_patterns(entry, "allow_missing"),
            allow_unexpected=_patterns(entry, "allow_unexpected"),
        )
    except UsageError as error:
        message = f"{error} (embedding {name!r} in {path})"
        raise UsageError(message) from error


def _patterns(entry: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = entry.get(key, [])
    patterns = [value] if isinstance(value, str) else value
    if not isinstance(patterns, list) or not all(isinstance(item, str) for item in patterns):
        message = f"{key} must be a list of patterns like [head.*], but got {value!r}"
        raise UsageError(message)
    return tuple(patterns)


def _request(
    name: str,
    backbone: str,
    weights: str | None,
    settings: dict[str, Any],
    licence: str | None,
    file: Path | None = None,
) -> EmbeddingRequest:
    check_embedding_name(name)
    if not weights:
        message = f"the weights of {backbone} must be named, there is no default: {WEIGHT_KINDS}"
        raise UsageError(message)
    return EmbeddingRequest(
        name=name, backbone=backbone, weights=weights, settings=settings, licence=licence, file=file
    )


def _check_distinct(names: list[str], path: Path) -> None:
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            message = (
                f"names of embeddings must differ in more than capital letters, but {path} has "
                f"{other!r} and {name!r}; rename one"
            )
            raise UsageError(message)
