"""What each choice brings: features by encoder and framework, and the mean of every choice."""

import json
import statistics
from collections.abc import Sequence
from itertools import product
from typing import Any, Final

from ..config import CARRIED_OUT
from .board import KEYS, REPEATS, Board, Row
from .parts import Html, Section, breakable, details, html, joined, paragraph, signed, table, tag
from .report_data import ReportData
from .section_scores import NAMES, spread

TITLE: Final = "Ablation"
_AXES: Final = ("features", "encoder", "framework")


def ablation(data: ReportData) -> Section:
    """Return tables of the measure by features, encoder and framework, and by every setting."""
    board = data.board
    rows = [row for row in board.ranked if row.config is not None]
    varied = varied_settings(rows)
    axes = [name for name in _AXES if name in varied]
    if not varied:
        return Section(TITLE, left_out="all rows have the same settings, so none can be compared")
    parts = []
    if len(axes) > 1:
        first = board.key or "P_MTL"
        parts.append(_pivot(rows, axes, first))
        others = [_pivot(rows, axes, key) for key in KEYS if key != first]
        parts.append(details("The same for the other measures", joined(others)))
    parts.append(_means(board, rows, varied))
    return Section(TITLE, joined(parts))


def varied_settings(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Return the settings that are not the same in all rows: name -> values, as they come.

    Settings that tell repetitions of one row apart, or how it is carried out, are left out.
    """
    found: dict[str, list[str]] = {}
    for name in {name: None for row in rows for name in row.config or {}}:
        if name in {*REPEATS, *CARRIED_OUT}:
            continue
        values = list(dict.fromkeys(setting(row, name) for row in rows))
        if len(values) > 1:
            found[name] = values
    return found


def setting(row: Row, name: str) -> str:
    """Return a setting of a row, for people to read."""
    value: Any = (row.config or {}).get(name, "n/a")
    if name == "features":
        return "+".join(value)
    if name == "encoder":
        return str(value).rpartition(":")[2]
    return value if isinstance(value, str) else json.dumps(value)


def _pivot(rows: Sequence[Row], axes: Sequence[str], key: str) -> Html:
    """Return a table with the first axis down and the others across."""
    down, *across = axes
    values = {name: sorted({setting(row, name) for row in rows}) for name in axes}
    columns = list(product(*(values[name] for name in across)))
    cells: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        cells.setdefault(tuple(setting(row, name) for name in axes), []).append(row)
    means: dict[tuple[str, ...], float | None] = {}
    for place, some in cells.items():
        found = [mean for row in some if (mean := row.figure(key).mean) is not None]
        means[place] = max(found, default=None)
    numbers = [mean for mean in means.values() if mean is not None]
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
    body = []
    for name in values[down]:
        line: list[object] = [name]
        for column in columns:
            some = cells.get((name, *column), [])
            line.append(_shaded(some, key, means.get((name, *column)), low, high))
        body.append(line)
    heads = [down, *(" · ".join(column) for column in columns)]
    crowded = any(len(some) > 1 for some in cells.values())
    caption = f"{NAMES[key]} by {down}, and {' and '.join(across)}; darker is better"
    if crowded:
        caption += "; where several rows share a cell, the best of them"
    return table(heads, body, caption, range(1, len(heads)))


def _shaded(some: Sequence[Row], key: str, mean: float | None, low: float, high: float) -> Html:
    if mean is None:
        return tag("td", "" if not some else "n/a", class_="number faint")
    best = max(some, key=lambda row: row.figure(key).mean or -1.0)
    text: object = spread(best.figure(key))
    if mean == high:
        text = tag("b", text)
    if len(some) > 1:
        text = joined([text, tag("small", f" of {len(some)}")])
    share = (mean - low) / (high - low) if high > low else 1.0
    return tag("td", text, class_="number shade", style=f"--share:{share:.3f}")


def _means(board: Board, rows: Sequence[Row], varied: dict[str, list[str]]) -> Html:
    """Return the mean of every value of every setting that varies."""
    key = board.key
    if key is None:
        return paragraph("No measure is there of every row, so the settings have no means.")
    body: list[list[object]] = []
    for name, values in varied.items():
        some = {
            value: [row.figure(key).mean for row in rows if setting(row, name) == value]
            for value in values
        }
        means = {
            value: statistics.mean([mean for mean in found if mean is not None])
            for value, found in some.items()
        }
        top = max(means.values())
        order = sorted(means.items(), key=lambda item: -item[1])
        for place, (value, mean) in enumerate(order):
            text: object = f"{mean:.3f}"
            body.append(
                [
                    tag("span", name, class_="name") if place == 0 else "",
                    tag("td", breakable(value), class_="name"),
                    str(len(some[value])),
                    tag("b", text) if mean == top else text,
                    html("" if place == 0 else signed(mean - top)),
                ]
            )
    heads = ("setting", "value", "rows", f"mean {NAMES[key]}", "to the best")
    n_cells = 1
    for values in varied.values():
        n_cells *= len(values)
    is_full = n_cells == len(rows)
    caption = "Each setting that varies: mean over all rows that have the value. " + (
        "Every combination is there once, so means of one setting differ by it alone."
        if is_full
        else "Not every combination is there, so other settings may differ between the means too."
    )
    return table(heads, body, caption, (2, 3, 4))
