"""How the best rows learnt: the measure and the losses, epoch by epoch."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ...core.tasks import TASKS
from ..run_folder import METRICS_FILE
from .board import KEYS, Row
from .drawing import COLOURS, LINES, MARKERS, drawing
from .parts import Html, Section, figure
from .report_data import ReportData
from .section_scores import NAMES, short

TITLE: Final = "Learning curves"
_MOST_ROWS: Final = 4
_MOST_MARKERS: Final = 8


@dataclass(frozen=True)
class _Curves:
    row: Row
    runs: tuple[list[dict[str, Any]], ...]
    """The epochs of each run."""

    def values(self, group: str, key: str) -> NDArray[np.float64]:
        """Return a figure of each run and epoch, (runs, epochs); NaN where it is not."""
        n = max(map(len, self.runs))
        found = np.full((len(self.runs), n), np.nan)
        for place, lines in enumerate(self.runs):
            for epoch, line in enumerate(lines):
                value = line.get(group, {}).get(key)
                if value is not None:
                    found[place, epoch] = value
        return found

    def has(self, group: str, key: str) -> bool:
        """Return whether a figure is there of any epoch."""
        return bool(np.isfinite(self.values(group, key)).any())


def curves(data: ReportData) -> Section:
    """Return the validation measure and the training losses of the best rows."""
    board = data.board
    found = [one for row in board.ranked if not row.is_ensemble if (one := _read(row)) is not None]
    shown = found[:_MOST_ROWS]
    if not shown:
        return Section(TITLE, left_out=f"no run has its {METRICS_FILE} beside it")
    order = [board.key or "P_MTL", *KEYS]
    there = [key for key in order if any(one.has("val", key) for one in shown)]
    if not there:
        return Section(TITLE, left_out="no epoch of the best rows has a validation measure")
    key = there[0]
    first = _plot(shown, "val", key, NAMES[key], "validation", is_first=True)
    plots = []
    for task in TASKS:
        if any(one.has("loss", task) for one in shown):
            plots.append(_plot(shown, "loss", task, "loss", f"training loss: {task}"))
    caption = (
        f"{NAMES[key]} on the validation rows and the training loss of each task, of the best "
        f"{len(shown)} rows that are runs: mean over the runs of a row, the band from the lowest "
        f"to the highest; {data.scope}."
    )
    return Section(TITLE, figure(plots, caption, first=first))


def _read(row: Row) -> _Curves | None:
    runs = [lines for entry in row.entries if (lines := _lines(entry.folder / METRICS_FILE))]
    return _Curves(row, tuple(runs)) if runs else None


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _plot(
    shown: Sequence[_Curves],
    group: str,
    key: str,
    unit: str,
    title: str,
    *,
    is_first: bool = False,
) -> Html:
    height = 300 + 18 * len(shown) if is_first else 280
    widths = {"width": 560, "most": 680} if is_first else {"width": 440, "most": 480}
    label = f"{title} by epoch"
    with drawing(f"curve-{group}-{key}", label, height=height, **widths) as under_way:
        ax = under_way.axes[0]
        for place, one in enumerate(shown):
            _band(ax, one.values(group, key), place, short(one.row.name, 40))
        ax.set_xlabel("epoch")
        ax.set_ylabel(unit)
        ax.set_title(title)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        if is_first:
            under_way.figure.legend(loc="outside lower left")
    return under_way.svg


def _band(ax: Axes, values: NDArray[np.float64], place: int, name: str) -> None:
    is_there = np.isfinite(values).any(axis=0)
    if not is_there.any():
        return
    epoch = np.flatnonzero(is_there) + 1
    some = values[:, is_there]
    colour = COLOURS[place]
    if len(some) > 1:
        ax.fill_between(
            epoch, np.nanmin(some, 0), np.nanmax(some, 0), color=colour, alpha=0.15, lw=0
        )
    ax.plot(
        epoch,
        np.nanmean(some, 0),
        color=colour,
        ls=LINES[place],
        lw=1.8,
        marker=MARKERS[place],
        ms=4.5,
        markevery=max(1, len(epoch) // _MOST_MARKERS),
        label=name,
    )
