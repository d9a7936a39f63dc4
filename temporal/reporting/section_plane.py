"""Where annotated and predicted frames lie in the valence-arousal plane."""

from typing import Any, Final

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.patches import Circle
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from .drawing import FAINT, GREY, MAP, drawing
from .parts import Html, Section, figure
from .report_data import ReportData

TITLE: Final = "Valence-arousal plane"
_GRID: Final = 26


def plane(data: ReportData) -> Section:
    """Return the density of annotated and of predicted rows.

    Raises:
        PredictionError: the best row's predictions cannot be used.
    """
    first = data.best[0]
    if not {"valence", "arousal"} <= first.table.tasks:
        return Section(TITLE, left_out="the best row predicts no valence and arousal")
    masks = first.rows.is_labelled
    both = np.asarray(masks.valence) & np.asarray(masks.arousal)
    if not both.any():
        return Section(TITLE, left_out="no validation row has valence and arousal")
    found = first.found()
    points = {
        "annotated": np.stack([first.rows.labels.valence, first.rows.labels.arousal])[:, both],
        "predicted": np.stack([found.valence, found.arousal])[:, both],
    }
    most = max(_most(*pair) for pair in points.values())
    drawn = [_density(name, pair, most) for name, pair in points.items()]
    seeds = f", seed {first.entries[0].facts['config']['seed']}" if len(data.best) > 1 else ""
    caption = (
        f"Rows by valence and arousal, annotated and as {data.board.best.name} predicts them"
        f"{seeds}: a hexagon counts rows, on a logarithmic scale that both share; "
        f"{int(both.sum()):,} rows with both annotated; {data.scope}."
    )
    return Section(TITLE, figure(drawn, caption))


def _hexagons(ax: Any, valence: NDArray[Any], arousal: NDArray[Any], **options: Any) -> Any:  # noqa: ANN401
    return ax.hexbin(
        valence, arousal, gridsize=_GRID, extent=(-1, 1, -1, 1), mincnt=1, linewidths=0.2, **options
    )


def _most(valence: NDArray[Any], arousal: NDArray[Any]) -> float:
    """Return the number of rows in the fullest hexagon."""
    from matplotlib.figure import Figure

    cells = _hexagons(Figure().subplots(), valence, arousal)
    return float(np.max(np.ma.filled(cells.get_array(), 1.0), initial=1.0))


def _density(name: str, pair: NDArray[Any], most: float) -> Html:
    with drawing(
        f"plane-{name}", f"Density of {name} valence and arousal", 440, 360, most=480
    ) as under_way:
        ax = under_way.axes[0]
        ax.add_patch(Circle((0, 0), 1, fill=False, ec=FAINT, lw=1))
        ax.axhline(0, color=FAINT, lw=1)
        ax.axvline(0, color=FAINT, lw=1)
        cells = _hexagons(ax, *pair, cmap=MAP, norm=LogNorm(1, max(most, 2.0)))
        ax.grid(visible=False)
        ax.set_xlim(-1.05, 1.05)
        ax.set_ylim(-1.05, 1.05)
        ax.set_aspect("equal")
        ax.set_xticks((-1, -0.5, 0, 0.5, 1))
        ax.set_yticks((-1, -0.5, 0, 0.5, 1))
        ax.set_xlabel("valence")
        ax.set_ylabel("arousal")
        ax.set_title(name)
        bar = under_way.figure.colorbar(cells, ax=ax, label="rows", fraction=0.045, pad=0.03)
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        bar.outline.set_edgecolor(GREY)
    return under_way.svg
