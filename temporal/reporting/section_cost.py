"""What the rows cost: time, parameters, memory."""

from typing import Final

from .board import Row
from .drawing import COLOURS, INK, drawing
from .parts import Html, Section, figure, joined, table
from .report_data import ReportData
from .section_scores import NAMES, spread

TITLE: Final = "Cost"
_LEAST_DRAWN: Final = 3
_MOST_DRAWN: Final = 40
_MIB: Final = 2**20


def cost(data: ReportData) -> Section:
    """Return seconds, parameters and memory of each row."""
    rows = [row for row in data.board.ranked if not row.is_ensemble]
    if not rows:
        return Section(TITLE, left_out="no row is of runs, and an ensemble costs what its runs do")
    heads = [
        *("row", "runs", "seconds a run", "seconds in all", "parameters", "features"),
        *("memory, MiB", "on the device, MiB"),
    ]
    body = [_cells(row) for row in rows]
    if all(cells[-1] == "n/a" for cells in body):  # all on the CPU
        heads, body = heads[:-1], [cells[:-1] for cells in body]
    devices = sorted({str(e.facts.get("made", {}).get("device")) for r in rows for e in r.entries})
    caption = (
        f"Training on {', '.join(devices)}, measured where the runs were made: seconds as mean ± "
        f"standard deviation, memory as the most of any run. n/a: made before it was kept."
    )
    parts: list[Html] = [table(heads, body, caption, range(1, len(heads)))]
    if (drawn := _scatter(data)) is not None:
        parts.insert(0, drawn)
    return Section(TITLE, joined(parts))


def _cells(row: Row) -> list[object]:
    seconds = row.cost("seconds")
    known = [value for value in seconds.values if value is not None]
    facts = row.entries[0].facts
    return [
        row.name,
        str(len(row.entries)),
        spread(seconds, 1),
        f"{sum(known):,.0f}" if len(known) == len(seconds.values) else "n/a",
        _whole(row.n_parameters),
        _whole(facts.get("n_features")),
        _memory(row.most("peak_memory")),
        _memory(row.most("peak_device_memory")),
    ]


def _whole(number: int | None) -> str:
    return "n/a" if number is None else f"{number:,}"


def _memory(size: float | None) -> str:
    return "n/a" if size is None else f"{size / _MIB:,.0f}"


def _scatter(data: ReportData) -> Html | None:
    """Draw the measure over seconds; None of few rows, or without a common measure."""
    key = data.board.key
    points = [
        (place, seconds, mean)
        for place, row in enumerate(data.board.ranked, 1)
        if key is not None
        and (seconds := row.cost("seconds").mean) is not None
        and (mean := row.figure(key).mean) is not None
    ][:_MOST_DRAWN]
    if key is None or len(points) < _LEAST_DRAWN:
        return None
    label = f"{NAMES[key]} by seconds of training"
    with drawing("cost", label, 560, 340, least=360, most=620) as under_way:
        ax = under_way.axes[0]
        right = 0.0
        for place, x, y in points:
            ax.plot([x], [y], "o", color=COLOURS[0], ms=7, mew=0, alpha=0.8)
            right = max(right, x)
            ax.annotate(
                str(place), (x, y), (7, 0), textcoords="offset points", color=INK, va="center"
            )
        ax.set_xlim(0, 1.1 * right)
        ax.set_xlabel("seconds of training, mean of a run")
        ax.set_ylabel(NAMES[key])
    caption = (
        f"{NAMES[key]} over the seconds that one run trained: a dot is a row, with its place in "
        f"the leaderboard; {data.scope}."
    )
    return figure([under_way.svg], caption, wide=True)
