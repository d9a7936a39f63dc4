"""A dependency study as a part of a page: heat maps with their numbers, and what they suggest."""

import io
import re
from collections.abc import Callable
from html import escape
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..core.tasks import Task
from .dependency import Study
from .dependency_text import suggestion
from .paired_gain import SIGNIFICANT
from .suggested_graph import Edge
from .task_measure import MEASURE

TITLE: Final = "Task dependency"
_STYLE: Final[Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 11,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
}
_INCHES: Final = (4.6, 3.6)
_LIGHT: Final = 0.4
"""Brightness of a colour from which numbers on it are black."""


def study_section(study: Study) -> tuple[str, str]:
    """Return the title of a study's section, and its HTML without the heading."""
    config = study.config
    largest = max(abs(t.gain.value) for t in (*study.hidden.values(), *study.truth.values()))
    limit = max(largest, 1e-6)

    def gains(what: dict[Edge, Any]) -> Callable[[Edge], tuple[float, str]]:
        def cell(edge: Edge) -> tuple[float, str]:
            tested = what[edge]
            star = "*" if tested.is_significant else ""
            return tested.gain.value, f"{tested.gain.value:+.3f}{star}"

        return cell

    def labels(edge: Edge) -> tuple[float, str]:
        value = study.association.matrix[edge]
        return (np.nan, "n/a") if value is None else (value, f"{value:.2f}")

    maps = [
        _heat_map(study, "labels alone", labels, "cividis", (0.0, 1.0)),
        _heat_map(study, "gain from hidden states", gains(study.hidden), "PuOr_r", (-limit, limit)),
        _heat_map(
            study,
            "gain from true labels (oracle)",
            gains(study.truth),
            "PuOr_r",
            (-limit, limit),
        ),
    ]
    levels = ", ".join(
        f"{task} {MEASURE[task]} {mean:.3f} ± {spread:.3f}"
        for task, (mean, spread) in study.alone.items()
    )
    about = (
        f"Targets alone, on {'+'.join(config.features)} with {config.encoder}, {study.n_seeds} "
        f"seeds: {levels}. Rows are sources, columns targets. Labels alone: the first "
        f"canonical correlation of the annotations. Hidden states: what a target's measure gains "
        f"from a source's; * marks p < {SIGNIFICANT:g} over seeds and recordings, adjusted for all "
        f"pairs (Holm). True labels: what it gains from the source's, an upper bound that no "
        f"run without them reaches."
    )
    lines = "".join(f"<li>{escape(line)}</li>" for line in suggestion(study))
    drawn = "".join(f'<div class="drawing">{one}</div>' for one in maps)
    text = (
        f'<figure><div class="drawings">{drawn}</div><figcaption>{escape(about)}</figcaption>'
        f"</figure><ul>{lines}</ul>"
    )
    return f"{TITLE}: {study.folder.name}", text


def _heat_map(
    study: Study,
    title: str,
    cell: Callable[[Edge], tuple[float, str]],
    colours: str,
    limits: tuple[float, float],
) -> str:
    """Return an SVG element of a source a row and a target a column."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    tasks = study.tasks
    values: NDArray[np.float64] = np.full((len(tasks), len(tasks)), np.nan)
    texts: list[tuple[int, int, str]] = []
    for row, source in enumerate(tasks):
        for column, target in enumerate(tasks):
            if source != target:
                values[row, column], text = cell((source, target))
                texts.append((row, column, text))
    with rc_context(_STYLE | {"svg.hashsalt": title}):
        figure = Figure(figsize=_INCHES)
        axes = figure.subplots()
        image = axes.imshow(values, cmap=colours, vmin=limits[0], vmax=limits[1])
        for row, column, text in texts:
            axes.text(
                column, row, text, ha="center", va="center", color=_ink(image, values[row, column])
            )
        _name_axes(axes, tasks, title)
        stream = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(stream, format="svg", metadata=nothing)
    return _inline(stream.getvalue(), title)


def _name_axes(axes: Any, tasks: tuple[Task, ...], title: str) -> None:  # noqa: ANN401
    places = range(len(tasks))
    axes.set_title(title, loc="left")
    axes.set_xticks(places, tasks)
    axes.set_yticks(places, tasks)
    axes.tick_params(length=0, labelsize=9.5)
    axes.set_xlabel("target")
    axes.set_ylabel("source")
    for spine in axes.spines.values():
        spine.set_visible(False)


def _ink(image: Any, value: float) -> str:  # noqa: ANN401
    """Return black or white, whichever is read on the colour of a value."""
    if np.isnan(value):
        return "black"
    red, green, blue, _ = image.cmap(image.norm(value))
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > _LIGHT else "white"


def _inline(text: str, title: str) -> str:
    """Return the SVG element alone, with ids of its own and a label."""
    name = "dependency-" + re.sub(r"[^a-z]+", "-", title).strip("-")
    body = text[text.index("<svg") :]
    body = re.sub(r' id="([^"]+)"', rf' id="{name}-\1"', body)
    body = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", body)
    label = escape(f"{title}: sources by targets")
    return body.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
