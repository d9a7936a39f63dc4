"""What a sweep trains: every combination of the values that its settings take."""

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

from ..core.errors import UsageError
from ..core.files import write_text_atomic
from ..core.names import near_misses
from .config import RunConfig, read_settings

GRID_KEYS: Final = ("config", "fixed", "grid", "cases", "preset")
DEPENDENCY: Final = "dependency"
SWEEP_PRESETS: Final = (DEPENDENCY,)
"""Sweeps that have a name."""
_NUMBERED: Final = ("fold", "seed", "data_seed")
_RANGE: Final = re.compile(r"(\d+)-(\d+)\Z")


@dataclass(frozen=True)
class SweepSpec:
    """Settings that all runs share, and those that are varied."""

    fixed: dict[str, Any]
    grid: dict[str, tuple[Any, ...]]
    """Setting -> its values; runs are all combinations, the last setting changing first."""
    cases: tuple[Mapping[str, Any], ...] = ()
    """Settings that go together, where not all combinations are wanted: each with all of `grid`."""
    preset: str | None = None
    """Of what study the sweep is; in `dependency` the order of the data follows the seed."""

    def configs(self) -> list[RunConfig]:
        """Return the config of each run, each once.

        Raises:
            UsageError: a combination is no config; the message says which.
        """
        found: dict[str, RunConfig] = {}
        for case, values in itertools.product(
            self.cases or ({},), itertools.product(*self.grid.values())
        ):
            chosen = {**case, **dict(zip(self.grid, values, strict=True))}
            if self.preset == DEPENDENCY and "seed" in chosen:
                chosen["data_seed"] = chosen["seed"]
            try:
                config = RunConfig.from_dict({**self.fixed, **chosen}, "the sweep")
            except UsageError as error:
                what = ", ".join(f"{key}={value}" for key, value in chosen.items())
                message = f"the run with {what} cannot be: {error}"
                raise UsageError(message) from error
            found.setdefault(config.model_dump_json(), config)
        return list(found.values())


def spec_from_file(path: Path) -> SweepSpec:
    """Return the sweep of a YAML file: `config` (a preset or file), `fixed`, and `grid` of lists.

    A list of grids is the runs of all of them.

    Raises:
        UsageError: the file cannot be read, or holds something else.
    """
    return spec_from_values(read_settings(path), path)


def spec_from_values(
    values: Mapping[str, Any], path: Path, searched: Collection[str] = ()
) -> SweepSpec:
    """Return the sweep of what a YAML file holds.

    Args:
        values: `config`, `fixed` and `grid`.
        path: of the file, for messages.
        searched: settings that a search chooses.

    Raises:
        UsageError: it holds something else.
    """
    for key in values:
        if key not in GRID_KEYS:
            known = (*GRID_KEYS, "search")
            message = f"{path} must hold {', '.join(known)}, but holds {key!r}; " + near_misses(
                key, known
            )
            raise UsageError(message)
    fixed, grid = values.get("fixed") or {}, values.get("grid") or {}
    cases, preset = values.get("cases") or [], values.get("preset")
    grids: list[Any] = grid if isinstance(grid, list) else [grid]
    if not isinstance(fixed, dict) or not all(isinstance(one, dict) for one in grids):
        message = (
            f"fixed and grid of {path} must be mappings of settings (grid may be a list of them), "
            f"but are not"
        )
        raise UsageError(message)
    if not isinstance(cases, list) or not all(isinstance(case, dict) for case in cases):
        message = f"cases of {path} must be a list of mappings of settings, but are not"
        raise UsageError(message)
    if preset not in (None, *SWEEP_PRESETS):
        message = (
            f"{path} is a sweep of the preset {preset!r}; {near_misses(str(preset), SWEEP_PRESETS)}"
        )
        raise UsageError(message)
    base = read_settings(str(values["config"])) if values.get("config") else {}
    if not isinstance(grid, list):
        return replace(spec_of({**base, **fixed}, grids[0], searched, cases), preset=preset)
    if cases or preset or searched:
        message = f"a list of grids in {path} stands alone, without cases, preset or search"
        raise UsageError(message)
    return _together([spec_of({**base, **fixed}, one) for one in grids], {**base, **fixed})


def _together(specs: Sequence[SweepSpec], fixed: dict[str, Any]) -> SweepSpec:
    """Return the runs of several sweeps as one."""
    cases = [
        dict(zip(spec.grid, values, strict=True))
        for spec in specs
        for values in itertools.product(*spec.grid.values())
    ]
    return SweepSpec(fixed, {}, tuple(cases))


def is_sweep_preset(spec: Path) -> bool:
    """Return whether what a command is given is the name of a sweep, not a file.

    Raises:
        UsageError: it is neither.
    """
    name = str(spec)
    if "/" in name or "." in name or spec.exists():
        return False
    if name not in SWEEP_PRESETS:
        message = (
            f"a sweep is a YAML file or a preset, but {name!r} is neither; "
            f"{near_misses(name, SWEEP_PRESETS)}"
        )
        raise UsageError(message)
    return True


def spec_from_flags(
    config: str | None,
    settings: Sequence[str],
    varied: Mapping[str, str | None],
    searched: Collection[str] = (),
) -> SweepSpec:
    """Return the sweep of a command's flags.

    Args:
        config: a preset or file that all runs begin with, if any.
        settings: `key=value` texts; values joined by `|` are varied.
        varied: setting -> values joined by commas; whole numbers may be a range, `0-2`.
        searched: settings that a search chooses.

    Raises:
        UsageError: a setting is unknown or has no value.
    """
    fixed = read_settings(config) if config else {}
    asked, grid = texts_of_flags(settings, varied)
    return spec_of({**fixed, **asked}, grid, searched)


def texts_of_flags(
    settings: Sequence[str], varied: Mapping[str, str | None]
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return what flags fix and what they vary, as they are written.

    Args:
        settings: as of `spec_from_flags`.
        varied: as of `spec_from_flags`.

    Raises:
        UsageError: a setting has no value.
    """
    fixed: dict[str, str] = {}
    grid = {key: _listed(text) for key, text in varied.items() if text is not None}
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals:
            message = f"--set takes key=value, or key=a|b to vary it, but got {text!r}"
            raise UsageError(message)
        if "|" in value:
            grid[key.strip()] = value.split("|")
        else:
            fixed[key.strip()] = value.strip()
    return fixed, grid


def spec_of(
    fixed: Mapping[str, Any],
    grid: Mapping[str, Any],
    searched: Collection[str] = (),
    cases: Sequence[Mapping[str, Any]] = (),
) -> SweepSpec:
    """Return a sweep of checked names, with ranges written out.

    Args:
        fixed: setting -> value.
        grid: setting -> its values.
        searched: settings that a search chooses: none of them is varied, or fixed any more.
        cases: settings that go together.

    Raises:
        UsageError: a setting is unknown, without a value, or both fixed and varied.
    """
    for key in (*fixed, *grid, *(key for case in cases for key in case)):
        if key not in RunConfig.model_fields:
            message = f"a run has no setting {key!r}; {near_misses(key, RunConfig.model_fields)}"
            raise UsageError(message)
    whole: dict[str, tuple[Any, ...]] = {}
    for key, values in grid.items():
        items = values if isinstance(values, list | tuple) else [values]
        spread = [value for item in items for value in _spread(key, item)]
        whole[key] = tuple(dict.fromkeys(spread))
        if not whole[key]:
            message = f"{key} of a sweep must have a value, but has none"
            raise UsageError(message)
        if key in searched:
            message = f"{key} is searched for and varied by the grid; leave it out of one of them"
            raise UsageError(message)
    has_features = any("features" in settings for settings in (fixed, whole, searched))
    if not has_features and not (cases and all("features" in case for case in cases)):
        message = "a sweep needs features: --features A,B,A+B, or features under grid or fixed"
        raise UsageError(message)
    kept = {key: value for key, value in fixed.items() if key not in (*whole, *searched)}
    return SweepSpec(kept, whole, tuple(cases))


def _listed(text: str) -> list[str]:
    """Return the values of a text; a comma inside a graph of tasks does not part them.

    >>> _listed("se,sbe-hsf:valence>au,au>expression,single")
    ['se', 'sbe-hsf:valence>au,au>expression', 'single']
    """
    found: list[str] = []
    for part in text.split(","):
        if found and ">" in part and ":" not in part:
            found[-1] += f",{part}"
        else:
            found.append(part)
    return found


def _spread(key: str, item: Any) -> list[Any]:  # noqa: ANN401 - whatever YAML holds
    """Return the values that an item stands for: of numbers, `0-2` is 0, 1 and 2."""
    text = item.strip() if isinstance(item, str) else item
    found = _RANGE.match(text) if isinstance(text, str) and key in _NUMBERED else None
    if found is None:
        return [] if text == "" else [tuple(text) if isinstance(text, list) else text]
    return list(range(int(found[1]), int(found[2]) + 1))


def write_spec(path: Path, spec: SweepSpec) -> None:
    """Write a sweep as the YAML that `spec_from_file` reads."""
    values: dict[str, Any] = {} if spec.preset is None else {"preset": spec.preset}
    values |= {"fixed": spec.fixed, "grid": {key: list(v) for key, v in spec.grid.items()}}
    if spec.cases:
        values["cases"] = [dict(case) for case in spec.cases]
    write_text_atomic(path, yaml.safe_dump(values, sort_keys=False))
