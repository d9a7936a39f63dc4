"""Plots as SVG for a page: one look, colours that the colour-blind tell apart, no two ids alike.

Lengths are in CSS pixels; a figure grows and shrinks with the page between two widths. Text stays
text, so it can be selected and found; the page gives it its font.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .parts import Html, shown

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Of Okabe and Ito, without yellow, which is too light on paper."""
LINES: Final = ("solid", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)), (0, (9, 2)), (0, (3, 1)))
MARKERS: Final = ("o", "s", "^", "D", "v", "P")
INK: Final = "#1b1f24"
GREY: Final = "#6b7280"
FAINT: Final = "#d8dce2"
MAP: Final = "cividis"
"""Colour map of densities: even in lightness, and the same to the colour-blind."""

_STYLE: Final[Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # names come from data
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.titlelocation": "left",
    "axes.labelsize": 12,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 12,
    "legend.handlelength": 2.6,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "figure.constrained_layout.use": True,
}
_REFERENCE: Final = re.compile(r'(?:href="#|url\(#)([^")]+)')
_ID: Final = re.compile(r' id="([^"]+)"')


@dataclass
class Drawing:
    """A figure under way."""

    figure: Figure
    axes: list[Axes]
    svg: Html = field(init=False)
    """The figure as it stands on the page; there when the block of `drawing` has ended."""


@contextmanager
def drawing(
    name: str,
    label: str,
    width: int,
    height: int,
    *,
    n_rows: int = 1,
    least: int = 340,
    most: int = 0,
) -> Iterator[Drawing]:
    """Draw a figure in the page's look.

    Args:
        name: of its own on the page.
        label: what it shows, for those who do not see it.
        width: CSS pixels at which its text has the size that it is set in.
        height: CSS pixels at this width.
        n_rows: axes below each other, with one x axis.
        least: CSS pixels below which it does not shrink; its box scrolls then.
        most: CSS pixels that it grows to where there is room; by default `width`.
    """
    with rc_context(_STYLE | {"svg.hashsalt": name}):
        figure = Figure(figsize=(width / 72, height / 72))
        axes = figure.subplots(n_rows, 1, sharex=True, squeeze=False)[:, 0]
        under_way = Drawing(figure, list(axes))
        yield under_way
        stream = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(stream, format="svg", metadata=nothing)
        under_way.svg = _inline(stream.getvalue(), name, label, (least, most or width))


def _inline(text: str, name: str, label: str, widths: tuple[int, int]) -> Html:
    """Return the SVG element alone, with its own ids only where something refers to them."""
    body = text[text.index("<svg") :]
    view = re.search(r'viewBox="[^"]+"', body)
    assert view is not None
    inside = body[body.index(">") + 1 :]
    used = set(_REFERENCE.findall(inside))
    inside = _ID.sub(lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", inside)
    inside = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", inside)
    style = f"min-width:{widths[0]}px;max-width:{widths[1]}px"
    return Html(
        f'<svg role="img" aria-label="{escape(shown(label))}" {view[0]} style="{style}" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink">{inside}'
    )
