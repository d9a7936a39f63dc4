"""Each of the 8 expressions by itself, and what it is taken for."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...core.tasks import EXPRESSIONS, N_EXPRESSIONS
from ..errors import PredictionError
from .board import Row
from .drawing import COLOURS, GREY, INK, MARKERS, drawing
from .evidence import Repeat
from .parts import Html, Section, count, figure, html, joined, paragraph, table, tag
from .report_data import ReportData
from .section_scores import short

TITLE: Final = "Expressions"
_N_OTHERS: Final = 2


def expressions(data: ReportData) -> Section:
    """Return F1 of each class, and the confusion matrix of the best row."""
    board = data.board
    rows = [row for row in board.ranked if any(one["per_expression"] for one in row.scores)]
    if not rows:
        return Section(TITLE, left_out="no row has both annotated and predicted expressions")
    first = rows[0]
    drawn = bars_of_parts(
        "expressions", "F1 of each expression", first, rows[1 : 1 + _N_OTHERS],
        board.constant, "per_expression", EXPRESSIONS,
    )  # fmt: skip
    caption = (
        f"F1 of each expression of {first.name}: the bar is the mean over its runs, a dot one run; "
        f"a class that is neither annotated nor predicted counts 0; {data.scope}."
    )
    parts: list[Html] = [figure([drawn], caption, wide=True)]
    if first is board.best:
        try:
            parts.append(_confusion(data.best, first))
        except PredictionError as error:
            parts.append(paragraph(f"Without a confusion matrix: {error}"))
    return Section(TITLE, joined(parts))


def bars_of_parts(
    name: str,
    label: str,
    first: Row,
    others: Sequence[Row],
    constant: Row,
    key: str,
    names: Sequence[str],
    rate: NDArray[np.float64] | None = None,
) -> Html:
    """Draw F1 of each class or AU: bars of one row, marks of others and of the constant.

    Args:
        name: of the drawing.
        label: what it shows.
        first: the row that has bars, and dots of its runs.
        others: rows that have marks.
        constant: the constant predictor.
        key: of `Scores.to_dict` that holds the parts.
        names: of the parts.
        rate: share of rows in which each is present, if that is shown too.
    """
    height = 84 + 27 * len(names) + 18 * (2 + len(others))
    with drawing(name, label, 540, height, least=360, most=620) as under_way:
        ax = under_way.axes[0]
        place = np.arange(len(names))
        ax.barh(place, mean_parts(first, key, names), 0.62, color=COLOURS[5], alpha=0.55,
                label=short(first.name, 60))  # fmt: skip
        for one in first.scores if len(first.scores) > 1 else ():
            ax.plot(_parts(one[key], names), place, "o", color=COLOURS[0], ms=4.5, mew=0)
        for number, row in enumerate(others, 1):
            ax.plot(
                mean_parts(row, key, names), place, MARKERS[number], ms=7, mew=1.4, mfc="none",
                color=COLOURS[number], label=short(row.name, 60),
            )  # fmt: skip
        ax.plot(mean_parts(constant, key, names), place, "|", color=INK, ms=15, mew=2,
                label="constant predictor")  # fmt: skip
        if rate is not None:
            ax.plot(rate, place, "x", color=GREY, ms=6, mew=1.6, label="base rate")
        ax.set_yticks(place, names)
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.set_xlim(0, 1)
        ax.grid(visible=False, axis="y")
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel("F1" if rate is None else "F1, base rate")
        handles, labels = ax.get_legend_handles_labels()
        order = [len(handles) - 1, *range(len(handles) - 1)]  # bars come last, but are the subject
        under_way.figure.legend(
            [handles[n] for n in order], [labels[n] for n in order], loc="outside lower left"
        )
    return under_way.svg


def mean_parts(row: Row, key: str, names: Sequence[str]) -> NDArray[np.float64]:
    """Return F1 of each class or AU, mean over the runs of a row; NaN where it has none."""
    found = np.array([_parts(one[key], names) for one in row.scores])
    is_there = np.isfinite(found)
    total = np.where(is_there, found, 0.0).sum(axis=0)
    n = is_there.sum(axis=0)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)


def _parts(values: dict[str, float], names: Sequence[str]) -> list[float]:
    return [values.get(name, np.nan) for name in names]


def confusion(some: Sequence[Repeat]) -> NDArray[np.int64]:
    """Return how often each class (rows) was predicted as each (columns), over all seeds."""
    found = np.zeros((N_EXPRESSIONS, N_EXPRESSIONS), np.int64)
    for one in some:
        is_labelled = np.asarray(one.rows.is_labelled.expression)
        true = one.rows.labels.expression[is_labelled].astype(np.intp)
        pred = one.found().expression[is_labelled].astype(np.intp)
        np.add.at(found, (true, pred), 1)
    return found


def _confusion(some: Sequence[Repeat], row: Row) -> Html:
    if "expression" not in some[0].table.tasks:
        message = f"{row.name} predicts no expressions"
        raise PredictionError(message)
    counts = confusion(some)
    total = counts.sum(axis=1)
    body: list[list[object]] = []
    for place, name in enumerate(EXPRESSIONS):
        line: list[object] = [name]
        for column in range(N_EXPRESSIONS):
            share = counts[place, column] / total[place] if total[place] else 0.0
            text = joined(
                [f"{100 * share:.0f} %", html(" "), tag("small", f"{counts[place, column]:,}")]
            )
            kind = "number shade diagonal" if place == column else "number shade"
            line.append(tag("td", text, class_=kind, style=f"--share:{share:.3f}"))
        body.append([*line, f"{total[place]:,}"])
    caption = (
        f"Confusion matrix of {row.name}: of the rows annotated as the class at the left, the "
        f"share, and number, predicted as the class above ({count(len(some), 'seed')} together)"
    )
    return table(("annotated", *EXPRESSIONS, "rows"), body, caption, range(1, N_EXPRESSIONS + 2))
