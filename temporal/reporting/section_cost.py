"""What the rows cost: time, parameters, memory."""

from typing import Final

from .board import Row
from .drawing import COLOURS, INK, drawing
from .parts import Html, Section, figure, joined, table
from .report_data import ReportData
from .section_scores import NAMES, short

TITLE: Final = "Cost"
_LEAST_DRAWN: Final = 3
_MOST_NAMED: Final = 3
_MIB: Final = 2**20


def cost(data: ReportData) -> Section:
    """Return seconds, parameters and memory of each row."""
    rows = [row for row in data.board.ranked if not row.is_ensemble]
    if not rows:
        return Section(TITLE, left_out="no row is of runs, and an ensemble costs what its runs do")
    heads = (
        "row", "runs", "seconds a run", "seconds in all", "parameters", "features",
        "peak memory", "device memory", "device",
    )  # fmt: skip
    body = [_cells(row) for row in rows]
    caption = (
        "Time and memory of training, measured on the machines of the runs: mean ± standard "
        "deviation of seconds, most of any run for memory (MiB). n/a: made before it was kept, or "
        "without a device of its own"
    )
    parts: list[Html] = [table(heads, body, caption, range(1, 8))]
    if (drawn := _scatter(data, rows)) is not None:
        parts.insert(0, drawn)
    return Section(TITLE, joined(parts))


def _cells(row: Row) -> list[object]:
    seconds = row.cost("seconds")
    known = [value for value in seconds.values if value is not None]
    facts = row.entries[0].facts
    devices = sorted(
        {str(entry.facts.get("made", {}).get("device", "n/a")) for entry in row.entries}
    )
    return [
        row.name,
        str(len(row.entries)),
        seconds.text(1),
        f"{sum(known):,.0f}" if len(known) == len(seconds.values) else "n/a",
        _whole(row.n_parameters),
        _whole(facts.get("n_features")),
        _memory(row.most("peak_memory")),
        _memory(row.most("peak_device_memory")),
        ", ".join(devices),
    ]


def _whole(number: int | None) -> str:
    return "n/a" if number is None else f"{number:,}"


def _memory(size: float | None) -> str:
    return "n/a" if size is None else f"{size / _MIB:,.0f}"


def _scatter(data: ReportData, rows: list[Row]) -> Html | None:
    """Draw the measure over seconds; None of few rows, or without a common measure."""
    key = data.board.key
    points = [
        (row.name, seconds, mean)
        for row in rows
        if key is not None
        and (seconds := row.cost("seconds").mean) is not None
        and (mean := row.figure(key).mean) is not None
    ]
    if key is None or len(points) < _LEAST_DRAWN:
        return None
    with drawing("cost", f"{NAMES[key]} by seconds of training", 620, 360) as under_way:
        ax = under_way.axes[0]
        ax.plot(
            [point[1] for point in points], [point[2] for point in points], "o",
            color=COLOURS[0], ms=7, mew=0, alpha=0.8,
        )  # fmt: skip
        right = max(point[1] for point in points)
        for name, seconds, mean in points[:_MOST_NAMED]:
            is_right = seconds > 0.55 * right
            ax.annotate(
                short(name, 32), (seconds, mean), (-8 if is_right else 8, 0),
                textcoords="offset points", color=INK, va="center",
                ha="right" if is_right else "left",
            )  # fmt: skip
        ax.set_xlim(0, 1.08 * right)
        ax.set_xlabel("seconds of training, mean of a run")
        ax.set_ylabel(NAMES[key])
    caption = (
        f"{NAMES[key]} over the seconds that one run trained: a dot is a row, the best "
        f"{min(_MOST_NAMED, len(points))} are named; {data.scope}."
    )
    return figure([under_way.svg], caption)
