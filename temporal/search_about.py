"""What a search would do, and what its trials must share; Optuna is not needed for it."""

from pathlib import Path
from typing import Any

from .config import CARRIED_OUT, RunConfig
from .run_folder import describe_data, open_embeddings, open_labels
from .search_space import Choice, Range, scalar
from .search_spec import SearchSpec
from .selection import select
from .settings.data import DataSettings


def plan_search(spec: SearchSpec, cache: Path) -> str:
    """Return what a search would do, for people to read.

    Raises:
        CacheError, TemporalError: stores are missing, or labels are not as needed.
    """
    what_is_compared(spec, cache)
    return spec.text()


def most_epochs(spec: SearchSpec) -> int:
    """Return the most epochs that a run of a search has."""
    default = RunConfig.model_fields["epochs"].default
    searched = spec.space.get("epochs")
    if isinstance(searched, Range):
        return int(searched.high)
    values: Any = spec.runs.grid.get("epochs") or (spec.runs.fixed.get("epochs", default),)
    if isinstance(searched, Choice):
        values = searched.values
    return max(int(value) for value in values)


def what_is_compared(spec: SearchSpec, cache: Path) -> dict[str, Any]:
    """Return what trials of a study must share, lest they cannot be compared.

    Raises:
        CacheError, TemporalError: stores are missing.
        UsageError: a setting cannot be.
    """
    fixed = {key: scalar(key, value) for key, value in spec.runs.fixed.items()}
    grid = {key: [scalar(key, v) for v in values] for key, values in spec.runs.grid.items()}
    alone = {key: values[0] for key, values in grid.items() if len(values) == 1}
    settings: dict[str, Any] = {**fixed, **grid, **alone}
    space = spec.space.get("features")
    features: Any = space.values if isinstance(space, Choice) else settings["features"]
    texts = features if isinstance(features, list | tuple) else [features]
    names = sorted({name for text in texts for name in str(text).split("+")})
    labels = open_labels(cache, settings.get("labels", "labels"))
    data = describe_data(open_embeddings(cache, names), labels)
    folds = settings.get("fold", 0)
    file = settings.get("folds", "folds")
    videos = []
    for fold in folds if isinstance(folds, list) else [folds]:
        chosen = DataSettings(features=tuple(names), fold=fold, folds=file)
        videos.append((select(labels, chosen, cache).fold_fingerprint or "official")[:12])
    return {
        **{key: one.text() for key, one in spec.space.items()},
        **{key: value for key, value in settings.items() if key not in CARRIED_OUT},
        "frames of embeddings": {n: store["frames"][:12] for n, store in data["stores"].items()},
        "labels as read": data["labels"]["fingerprint"][:12],
        "videos of folds": videos,
    }
