"""What a search chooses from: for each of its settings a list of values, or a range of numbers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from ..core.errors import UsageError
from ..core.names import near_misses
from .config import CARRIED_OUT, RunConfig, setting_value

Scalar = str | int | float | bool
SPACE_KEYS: Final = ("choice", "low", "high", "log", "step")
_REPEATS: Final = ("seed", "data_seed", "fold")
_JUDGED_BY: Final = ("labels", "folds", "max_missing")
_WITHOUT_EFFECT: Final = ("smoothing", "tune_thresholds")
_RANGE: Final = re.compile(r"(?P<low>[^:]+?)\.\.(?P<high>[^:]+)(?P<options>(:[^:]+)*)\Z")


@dataclass(frozen=True)
class Choice:
    """One of some values, in no order."""

    values: tuple[Scalar, ...]

    def text(self) -> str:
        """Return the values for people to read."""
        return ", ".join(str(value) for value in self.values)

    def to_dict(self) -> dict[str, Any]:
        """Return what `space_of` reads."""
        return {"choice": list(self.values)}


@dataclass(frozen=True)
class Range:
    """A number between two, both included."""

    low: float
    high: float
    is_whole: bool
    log: bool = False
    """Whether every factor is as likely, not every difference."""
    step: float | None = None
    """Only every so many, from the lowest on; None is all."""

    def text(self) -> str:
        """Return the range for people to read."""
        log = " (log)" if self.log else ""
        step = "" if self.step is None else f" in steps of {self.step:g}"
        return f"{self.low:g} to {self.high:g}{log}{step}"

    def to_dict(self) -> dict[str, Any]:
        """Return what `space_of` reads."""
        log = {"log": True} if self.log else {}
        step = {} if self.step is None else {"step": self.step}
        return {"low": self.low, "high": self.high, **log, **step}


Space = Choice | Range


def scalar(key: str, value: Any) -> Scalar:  # noqa: ANN401
    """Return the value of a setting as one text or number, checked.

    Raises:
        UsageError: it is not of its type, or out of range.

    >>> scalar("features", ["a", "b"]), scalar("head_hidden", [64, 32]), scalar("layers", "2")
    ('a+b', '64,32', 2)
    """
    found: Any = setting_value(key, value)
    if isinstance(found, tuple):
        return ("+" if key == "features" else ",").join(str(item) for item in found)
    kept: Scalar = found
    return kept


def space_of(key: str, value: Any) -> Space:  # noqa: ANN401 - whatever YAML holds
    """Return what a setting is chosen from.

    Args:
        key: the setting.
        value: `{choice: [...]}`, or `{low: ..., high: ...}` with `log: true` or `step: ...`.

    Raises:
        UsageError: the setting cannot be searched for, or the values are not as needed.
    """
    _check_setting(key)
    if not isinstance(value, Mapping):
        message = (
            f"{key} of a search must be {{choice: [...]}} or {{low: ..., high: ...}}, but is "
            f"{value!r}"
        )
        raise UsageError(message)
    for name in value:
        if name not in SPACE_KEYS:
            message = (
                f"{key} of a search takes {', '.join(SPACE_KEYS)}, but got {name!r}; "
                f"{near_misses(str(name), SPACE_KEYS)}"
            )
            raise UsageError(message)
    if "choice" in value:
        if len(value) > 1:
            message = f"{key} of a search takes choice, or low and high, but got both"
            raise UsageError(message)
        return _choice(key, value["choice"])
    return _range(key, value)


def space_from_text(text: str) -> tuple[str, Space]:
    """Return a setting and what it is chosen from, of a command's `--search`.

    Args:
        text: `KEY=A|B|C`, `KEY=LOW..HIGH`, `KEY=LOW..HIGH:log` or `KEY=LOW..HIGH:step=S`.

    Raises:
        UsageError: it is none of these, or the values are not as needed.

    >>> space_from_text("learning_rate=1e-4..1e-2:log")[1].text()
    '0.0001 to 0.01 (log)'
    """
    key, equals, value = (part.strip() for part in text.partition("="))
    if equals and "|" in value:
        return key, space_of(key, {"choice": value.split("|")})
    found = _RANGE.match(value)
    if not equals or found is None:
        message = (
            f"--search takes KEY=LOW..HIGH, KEY=LOW..HIGH:log, KEY=LOW..HIGH:step=S or KEY=A|B, "
            f"but got {text!r}"
        )
        raise UsageError(message)
    values: dict[str, Any] = {"low": found["low"], "high": found["high"]}
    for option in found["options"].split(":")[1:]:
        name, _, number = option.partition("=")
        values[name.strip()] = number.strip() or True
    return key, space_of(key, values)


def _check_setting(key: str) -> None:
    if key not in RunConfig.model_fields:
        message = f"a run has no setting {key!r}; {near_misses(key, RunConfig.model_fields)}"
        raise UsageError(message)
    if key in _REPEATS:
        reason = "its best value is luck; put it under grid, and a trial is the mean over it"
    elif key in _JUDGED_BY:
        reason = "trials that are judged by other frames cannot be compared; put it under fixed"
    elif key in CARRIED_OUT:
        reason = "it does not decide what a run comes to; put it under fixed"
    elif key in _WITHOUT_EFFECT:
        reason = "trials are compared by predictions before they are post-processed"
    else:
        return
    message = f"{key} cannot be searched for: {reason}"
    raise UsageError(message)


def _choice(key: str, values: Any) -> Choice:  # noqa: ANN401
    if not isinstance(values, list | tuple):
        message = f"choice of {key} must be a list of values, but is {values!r}"
        raise UsageError(message)
    found = tuple(dict.fromkeys(_bound(key, "choice", value) for value in values))
    if len(found) < 2:
        message = f"choice of {key} must hold two different values or more, but holds {len(found)}"
        raise UsageError(message)
    return Choice(found)


def _range(key: str, value: Mapping[str, Any]) -> Range:
    kind = RunConfig.model_fields[key].annotation
    if kind not in (int, float):
        message = f"{key} is no number, so a search takes {{choice: [...]}} for it"
        raise UsageError(message)
    missing = [name for name in ("low", "high") if name not in value]
    if missing:
        message = f"{key} of a search must have low and high, or choice, but has no {missing[0]}"
        raise UsageError(message)
    low, high = (_number(key, name, value[name]) for name in ("low", "high"))
    if not low < high:
        message = f"low of {key} must be less than high, but they are {low:g} and {high:g}"
        raise UsageError(message)
    log = value.get("log", False)
    if not isinstance(log, bool):
        message = f"log of {key} must be true or false, but is {log!r}"
        raise UsageError(message)
    if log and not low > 0:
        message = f"low of {key} must be more than 0 on a log scale, but is {low:g}"
        raise UsageError(message)
    step = None if value.get("step") is None else _step(key, value["step"], low, high, kind is int)
    if log and step is not None:
        message = f"{key} of a search takes log or step, but got both"
        raise UsageError(message)
    return Range(low, high, kind is int, log, step)


def _number(key: str, name: str, value: Any) -> float:  # noqa: ANN401
    number = _bound(key, name, value)
    assert isinstance(number, int | float)  # the settings of ranges are of these types
    return number


def _bound(key: str, name: str, value: Any) -> Scalar:  # noqa: ANN401
    """Return a value that a setting may take, checked."""
    try:
        found = scalar(key, value)
    except UsageError as error:
        message = f"{name} of the search for {key} cannot be: {error}"
        raise UsageError(message) from error
    if key.startswith("weight_") and key != "weight_decay" and found == 0:
        message = (
            f"{name} of the search for {key} must be more than 0: a task of weight 0 is left out "
            f"of what trials are compared by"
        )
        raise UsageError(message)
    return found


def _step(key: str, value: Any, low: float, high: float, is_whole: bool) -> float:  # noqa: ANN401
    """Return the step of a range, checked to lead from its lowest number to its highest."""
    try:
        step = int(str(value)) if is_whole else float(value)
    except (TypeError, ValueError):
        step = 0
    if not 0 < step < float("inf"):
        kind = "a whole number" if is_whole else "a number"
        message = f"step of {key} must be {kind} above 0, but is {value!r}"
        raise UsageError(message)
    if (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step)):
        message = (
            f"step of {key} must lead from {low:g} to {high:g}, but {step:g} does not; "
            f"choose another step, or another high"
        )
        raise UsageError(message)
    return step
