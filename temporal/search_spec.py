"""What a search trains: the settings that all its runs share, and what the others are chosen from.

A search is a sweep whose spec has `search` beside `config`, `fixed` and `grid`:

    fixed: {features: mae_cms, epochs: 30}
    grid: {seed: 0-2}                     # a trial is the mean over these runs
    search:
      learning_rate: {low: 1e-4, high: 1e-2, log: true}
      hidden_size: {choice: [64, 128, 256]}
      layers: {low: 1, high: 3}
    trials: 50
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

from ..core.errors import UsageError
from ..core.files import write_text_atomic
from ..core.names import near_misses
from .config import RunConfig, read_settings
from .search_space import Scalar, Space, space_from_text, space_of
from .sweep import SPEC_FILE
from .sweep_spec import GRID_KEYS, SweepSpec, spec_from_flags, spec_from_values

SEARCH_KEYS: Final = ("search", "trials", "storage", "study", "sampler_seed", "prune")
DATABASE_FILE: Final = "study.db"
_PASSWORD: Final = re.compile(r"[^/]*//[^/@]*:[^/@]*@")
_FILE: Final = re.compile(r"(sqlite(?:\+\w+)?:///?)([^?]*)")


@dataclass(frozen=True)
class SearchSpec:
    """What a search trains, and where it keeps what has come of it."""

    runs: SweepSpec
    """The runs of each trial, without the settings that are searched for."""
    space: dict[str, Space]
    trials: int = 50
    """How many the study is to have, of all processes that share it."""
    storage: str | None = None
    """URL of the study's database; None is a file in the folder of the search."""
    study: str = "search"
    """Name of the study in the database."""
    sampler_seed: int = 0
    """Draws what is tried."""
    prune: bool = True
    """Whether a trial ends early that is worse than most were at the same epoch."""

    def __post_init__(self) -> None:
        if "all" in self.runs.grid.get("fold", (self.runs.fixed.get("fold"),)):
            message = (
                "a search compares trials by the validation split, but fold=all trains on it; "
                "search on other folds"
            )
            raise UsageError(message)
        for key in ("labels", "folds"):
            if len(self.runs.grid.get(key, ())) > 1:
                message = f"a trial is the mean over its runs, so they share their {key}; name one"
                raise UsageError(message)

    def configs(self, values: Mapping[str, Scalar]) -> tuple[RunConfig, ...]:
        """Return the runs of a trial.

        Args:
            values: setting -> value of all that are searched for.

        Raises:
            UsageError: such a run cannot be.
        """
        fixed = {**self.runs.fixed, **values}
        return tuple(SweepSpec(fixed, self.runs.grid).configs())

    def url(self, out: Path) -> str:
        """Return the URL of the study's database, of a search in a folder."""
        return self.storage or f"sqlite:///{(out / DATABASE_FILE).resolve()}"

    def text(self) -> str:
        """Return what is searched for, for people to read."""
        width = max(map(len, self.space))
        lines = [f"{key.ljust(width)}  {space.text()}" for key, space in self.space.items()]
        grid = {key: values for key, values in self.runs.grid.items() if len(values) > 1}
        n_runs = 1
        for values in grid.values():
            n_runs *= len(values)
        over = f" over {' and '.join(grid)}" if grid else ""
        each = f"each the mean of {n_runs} runs{over}" if n_runs > 1 else "each a run"
        prune = "" if self.prune else ", none ended early"
        lines.append(f"{self.trials} trials, {each}{prune}")
        return "\n".join(lines)

    def write(self, path: Path) -> None:
        """Write the YAML that `search_from_values` reads; a storage with a password is left out."""
        values = {
            "fixed": self.runs.fixed,
            "grid": {key: list(values) for key, values in self.runs.grid.items()},
            "search": {key: space.to_dict() for key, space in self.space.items()},
            "trials": self.trials,
            "study": self.study,
            "sampler_seed": self.sampler_seed,
            "prune": self.prune,
        }
        if self.storage is not None and not _PASSWORD.match(self.storage):
            values["storage"] = self.storage
        write_text_atomic(path, yaml.safe_dump(values, sort_keys=False))


def search_from_values(values: Mapping[str, Any], path: Path) -> SearchSpec:
    """Return the search of what a YAML file holds.

    Args:
        values: `search`, and what a sweep and `SEARCH_KEYS` name besides.
        path: of the file, for messages.

    Raises:
        UsageError: it holds something else.
    """
    for key in values:
        if key not in (known := (*GRID_KEYS, *SEARCH_KEYS)):
            message = f"{path} must hold {', '.join(known)}, but holds {key!r}; " + near_misses(
                key, known
            )
            raise UsageError(message)
    for key in ("cases", "preset"):
        if values.get(key):
            message = f"{path} is a search, which has no {key}; leave {key} out, or use grid"
            raise UsageError(message)
    found = values["search"]
    if not isinstance(found, Mapping) or not found:
        message = f"search of {path} must be a mapping of settings, but is {found!r}"
        raise UsageError(message)
    space = {str(key): space_of(str(key), value) for key, value in found.items()}
    rest = {key: value for key, value in values.items() if key in GRID_KEYS}
    spec = SearchSpec(spec_from_values(rest, path, space), space)
    asked = {key: values[key] for key in SEARCH_KEYS[1:] if values.get(key) is not None}
    return _changed(spec, asked, str(path))


def search_asked(
    path: Path | None,
    out: Path,
    spaces: Sequence[str],
    config: str | None,
    settings: Sequence[str],
    varied: Mapping[str, str | None],
    **flags: Any,  # noqa: ANN401
) -> SearchSpec | None:
    """Return the search that a command asks for; None if it asks for none.

    Args:
        path: YAML file, if any.
        out: folder of the search; what it holds goes on where neither file nor flags say what.
        spaces: texts of `space_from_text`.
        config: as of `spec_from_flags`, like the next two.
        settings: `key=value` texts.
        varied: setting -> values.
        flags: `trials`, `storage` and `study`, in the place of what the file says; None where not
            given.

    Raises:
        UsageError: what is asked for cannot be, or flags are given that only a search has.
    """
    given = {key: value for key, value in flags.items() if value is not None}
    has_flags = bool(spaces or config or settings or any(varied.values()))
    kept = out / SPEC_FILE
    source = path if path is not None or has_flags or not kept.exists() else kept
    spec = None
    if spaces:
        if path is not None:
            message = "a search comes from SPEC.yaml or from --search, but got both"
            raise UsageError(message)
        space: dict[str, Space] = {}
        for text in spaces:
            key, one = space_from_text(text)
            if key in space:
                message = f"--search takes each setting once, but got {key} twice"
                raise UsageError(message)
            space[key] = one
        spec = SearchSpec(spec_from_flags(config, settings, varied, space), space)
    elif source is not None and not has_flags:
        values = read_settings(source)
        if "search" in values:
            spec = search_from_values(values, source)
        else:
            given |= {key: True for key in SEARCH_KEYS if key in values}
    if spec is None and given:
        message = f"{', '.join(given)} of a sweep needs a search: settings to search for"
        raise UsageError(message)
    return spec if spec is None else _changed(spec, given, "the command")


def _changed(spec: SearchSpec, asked: Mapping[str, Any], where: str) -> SearchSpec:
    """Return a search with other trials, storage and so on, checked."""
    kinds: dict[str, tuple[type, str]] = {
        "trials": (int, "a whole number from 1"),
        "storage": (str, "an URL"),
        "study": (str, "a name"),
        "sampler_seed": (int, "a whole number from 0"),
        "prune": (bool, "true or false"),
    }
    for key, value in asked.items():
        kind, needed = kinds[key]
        is_kind = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        least = {"trials": 1, "sampler_seed": 0}.get(key)
        if not is_kind or (least is not None and value < least) or value == "":
            message = f"{key} of the search of {where} must be {needed}, but is {value!r}"
            raise UsageError(message)
    found = replace(spec, **asked)
    return replace(found, storage=_whole(found.storage)) if found.storage else found


def _whole(url: str) -> str:
    """Return the URL of a database that is the same from any folder, checked to be no memory."""
    found = _FILE.match(url)
    if found is None:
        return url
    if found[2] in ("", ":memory:"):
        message = (
            f"the processes of a search share its study, so --storage needs a file, but {url} is "
            f"in memory; give sqlite:///study.db, or leave it out"
        )
        raise UsageError(message)
    return found[1] + str(Path(found[2]).resolve()) + url[found.end() :]
