"""The settings of one run: typed, checked, and saved with it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

import yaml
from pydantic import ValidationError, create_model, model_validator

from ..core.errors import UsageError
from ..core.names import check_embedding_name, folds_file_name, labels_store_name, near_misses
from ..core.tasks import Task
from .settings.base import Settings
from .settings.data import DataSettings
from .settings.loss import LossSettings
from .settings.network import NetworkSettings
from .settings.study import StudySettings
from .settings.training import TrainingSettings

PRESET_FOLDER: Final = Path(__file__).parent / "presets"
CARRIED_OUT: Final = ("device", "threads", "save_every", "resident_gb", "score_train")
"""Settings that say how a run is carried out, not what it is."""


class RunConfig(StudySettings, TrainingSettings, LossSettings, NetworkSettings, DataSettings):
    """One run: what it is trained on, what is trained, and how.

    Raises:
        UsageError: a setting is unknown, not of its type, out of range, or at odds with another.
    """

    def __init__(self, **values: Any) -> None:  # noqa: ANN401
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise UsageError(_sentence(error)) from None

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if not self.features or not all(self.features):
            message = "a run needs the name of an embedding, or several joined by '+'"
            raise UsageError(message)
        for name in self.features:
            check_embedding_name(name)
        if len(set(self.features)) < len(self.features):
            message = f"each embedding can be named once, but got {'+'.join(self.features)}"
            raise UsageError(message)
        if self.stride > self.segment_length:
            message = (
                f"stride must be at most segment_length, else frames between windows are never "
                f"seen, but got {self.stride} and {self.segment_length}"
            )
            raise UsageError(message)
        if self.bidirectional and self.hidden_size % 2:
            message = f"hidden_size must be even in two directions, but got {self.hidden_size}"
            raise UsageError(message)
        if not any(self.task_weights.values()):
            message = "a run needs a task with a weight above 0, but all four weights are 0"
            raise UsageError(message)
        if self.feeding == "lanes" and self.bidirectional and self.encoder != "none":
            message = (
                "feeding=lanes carries the state from segment to segment, which needs "
                "bidirectional=false, but bidirectional is true; set it, or use feeding=windows"
            )
            raise UsageError(message)
        if self.time_axis == "frames" and self.fill == "drop":
            message = (
                "time_axis=frames makes a step of every frame number, so fill must be hold or "
                "zero, but is drop"
            )
            raise UsageError(message)
        idle = [task for task in self.chosen_by if not self.task_weights[task]]
        if idle:
            message = (
                f"chosen_by must name tasks that are trained, but the weight of {idle[0]} is 0; "
                f"raise it, or leave it out"
            )
            raise UsageError(message)
        if self.oracle and self.framework.partition(":")[0] != "label-feedback":
            message = (
                f"oracle=true feeds true labels, which needs framework=label-feedback:GRAPH, but "
                f"got {self.framework}"
            )
            raise UsageError(message)
        return self

    @property
    def task_weights(self) -> dict[Task, float]:
        """Task -> factor of its loss."""
        return {
            "valence": self.weight_valence,
            "arousal": self.weight_arousal,
            "expression": self.weight_expression,
            "au": self.weight_au,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON takes them."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str) -> "RunConfig":
        """Return the config of a mapping, as read from JSON or YAML, or from texts.

        Raises:
            UsageError: a key is unknown or a value is not of its type; the message says `where`.
        """
        for key in values:
            if key not in cls.model_fields:
                message = (
                    f"a run has no setting {key!r} ({where}); {near_misses(key, cls.model_fields)}"
                )
                raise UsageError(message)
        return cls(**values)


def config_from_command(
    features: str,
    config: str | Path | None,
    settings: Sequence[str],
    **named: Any,  # noqa: ANN401
) -> RunConfig:
    """Return the config that a command asks for: preset or file, then `--set`, then options.

    Args:
        features: `A+B`.
        config: YAML file of settings, or the name of a preset, if any.
        settings: `key=value` texts.
        named: options of their own; None where not given.

    Raises:
        UsageError: a setting is unknown or cannot be read.
    """
    values: dict[str, Any] = {}
    if config is not None:
        values |= read_settings(config)
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals:
            message = f"--set takes key=value, but got {text!r}"
            raise UsageError(message)
        values[key.strip()] = value.strip()
    values |= {key: value for key, value in named.items() if value is not None}
    values["features"] = features.split("+")
    if "labels" in values:
        values["labels"] = labels_store_name(str(values["labels"]))
    if "folds" in values:
        values["folds"] = folds_file_name(str(values["folds"]))
    return RunConfig.from_dict(values, str(config) if config else "--set")


def setting_value(key: str, value: Any) -> Any:  # noqa: ANN401
    """Return the value of one setting as a run holds it, whatever the others are.

    Raises:
        UsageError: it is not of its type, or out of range.

    >>> setting_value("learning_rate", "1e-3"), setting_value("head_hidden", "64,32")
    (0.001, (64, 32))
    """
    field = RunConfig.model_fields[key]
    fields: dict[str, Any] = {key: (field.annotation, field)}
    try:
        return getattr(create_model("Setting", __base__=Settings, **fields)(**{key: value}), key)
    except ValidationError as error:
        raise UsageError(_sentence(error)) from None


def presets() -> list[str]:
    """Return the names of the presets that ship with the package, sorted."""
    return sorted(path.stem for path in PRESET_FOLDER.glob("*.yaml"))


def read_settings(config: str | Path) -> dict[str, Any]:
    """Return the settings of a preset, by its name, or of a YAML file.

    Raises:
        UsageError: there is no such preset or file, or it holds no mapping.
    """
    name = str(config)
    is_name = "/" not in name and "." not in name
    path = PRESET_FOLDER / f"{name}.yaml" if is_name and not Path(name).exists() else Path(name)
    if is_name and not path.exists():
        message = (
            f"--config takes a YAML file or a preset, but {name!r} is neither; "
            f"{near_misses(name, presets())}"
        )
        raise UsageError(message)
    try:
        value = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        message = f"{path} must be a YAML file of settings, but cannot be read: {error}"
        raise UsageError(message) from error
    if not isinstance(value, dict):
        message = f"{path} must hold a mapping of settings, but holds a {type(value).__name__}"
        raise UsageError(message)
    return {str(key): item for key, item in value.items()}


_NEEDED: Final = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "string": "a name",
    "tuple": "a whole number, or several joined by commas",
    "finite_number": "a number",
}
_LIMITS: Final = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def _sentence(error: ValidationError) -> str:
    """Return what is wrong with the first wrong setting."""
    found = error.errors()[0]
    key, kind = str(found["loc"][0]), str(found["type"])
    if kind == "missing":
        return f"a run needs the setting {key}, but it is missing"
    if kind == "extra_forbidden":
        return f"a run has no setting {key!r}; {near_misses(key, RunConfig.model_fields)}"
    limits = [
        f"{_LIMITS[name]} {value:g}"
        for name, value in found.get("ctx", {}).items()
        if name in _LIMITS
    ]
    if limits:
        needed = limits[0]
    elif kind == "literal_error" and key != "fold":
        needed = str(found["ctx"]["expected"]).replace("'", "")
    elif key == "fold":
        needed = "a whole number, or all"
    else:
        name = "tuple" if len(found["loc"]) > 1 else kind
        kinds = [text for start, text in _NEEDED.items() if name.startswith(start)]
        needed = kinds[0] if kinds else str(found["msg"])
    return f"{key} of a run must be {needed}, but got {str(found['input'])!r}"
