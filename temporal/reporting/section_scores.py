"""The first things to read: what is best, and all rows in order."""

from typing import Final

from ..errors import PredictionError
from ..metrics import figure as digits_of
from .board import KEYS, Board, Figure, Row
from .drawing import COLOURS, FAINT, GREY, INK, drawing
from .parts import (
    Html,
    Section,
    breakable,
    count,
    details,
    figure,
    joined,
    paragraph,
    signed,
    table,
    tag,
)
from .report_data import ReportData

SUMMARY: Final = "Summary"
LEADERBOARD: Final = "Leaderboard"
NAMES: Final = {
    "CCC_V": "CCC valence",
    "CCC_A": "CCC arousal",
    "F1_EXPR": "F1 expression",
    "F1_AU": "F1 AU",
    "P_MTL": "P_MTL",
}
"""The measures, for people to read."""
_MOST_DRAWN: Final = 20
_ALPHA: Final = 0.05


def summary(data: ReportData) -> Section:
    """Return the best row, what it is measured against, and what to beware of."""
    board = data.board
    key = board.key
    best = board.best
    parts: list[Html] = []
    if (warning := board.warning()) is not None:
        parts.append(tag("p", warning, class_="warning", role="note"))
    if key is None:
        parts.append(paragraph("No measure is there of every row, so none is called the best."))
    else:
        constant = board.constant.figure(key)
        cards = [
            ("Best row", best.name, _made_of(best), "name"),
            (NAMES[key], best.figure(key).text(), _terms(best, key), "value"),
            ("Constant predictor", constant.text(), _above(best, board.constant, key), "value"),
            ("Compared", count(len(board.rows), "row"), _runs(board), "value"),
        ]
        boxes = [
            tag("div", tag("dt", head), tag("dd", breakable(text), class_=kind), tag("dd", note))
            for head, text, note, kind in cards
        ]
        parts.append(tag("dl", *boxes, class_="cards"))
        parts.append(paragraph(_told_apart(data)))
    parts.append(
        paragraph(
            "P_MTL is the mean of the two CCCs plus macro-F1 over 8 expressions plus mean F1 over "
            "12 action units: at most 3. Figures are those of each run's best checkpoint. It was "
            "chosen on the rows that it is scored on, so they are a little high, for all rows "
            "alike."
        )
    )
    if board.not_done:
        rows = [(one.folder.name, one.reason) for one in board.not_done]
        text = f"{count(len(rows), 'run')} without a result"
        parts.append(details(text, table(("run", "reason"), rows, text)))
    return Section(SUMMARY, joined(parts))


def leaderboard(data: ReportData) -> Section:
    """Return all rows, best first, over the constant predictor."""
    board = data.board
    heads = ["", "row", "runs", *(NAMES[key] for key in KEYS), "P_MTL post-processed"]
    rows = [_cells(board, row, place) for place, row in enumerate(board.ranked, 1)]
    rows.append(_cells(board, board.constant, None))
    caption = (
        "Mean ± standard deviation over the runs of a row; bold is the best of a column. "
        "Post-processed: smoothed, with thresholds fitted on other recordings than those scored."
    )
    if any(row.is_ensemble for row in board.rows):
        caption += " An ensemble's figures are nested: its weights, too, were fitted on others."
    classes = [*[""] * len(board.ranked), "baseline"]
    found = table(heads, rows, caption, {0, *range(2, len(heads))}, classes=classes, head=1)
    parts = [found]
    if (drawn := _dots(data)) is not None:
        parts.insert(0, drawn)
    return Section(LEADERBOARD, joined(parts))


def _cells(board: Board, row: Row, place: int | None) -> list[object]:
    cells: list[object] = ["" if place is None else str(place), row.name]
    cells.append(str(len(row.entries)) if row.entries else "")
    for key in KEYS:
        text = spread(row.figure(key))
        cells.append(tag("b", text) if row in board.best_of(key) else text)
    cells.append(spread(row.processed()) if row.entries else "")
    return cells


def _terms(row: Row, key: str) -> str:
    if key != "P_MTL":
        return ""
    affect = [row.figure(name).mean or 0.0 for name in ("CCC_V", "CCC_A")]
    terms = (sum(affect) / 2, *(row.figure(name).mean for name in ("F1_EXPR", "F1_AU")))
    names = ("affect", "expression", "AU")
    return " + ".join(
        f"{name} {digits_of(term, 3)}" for name, term in zip(names, terms, strict=True)
    )


def _above(best: Row, constant: Row, key: str) -> str:
    ours, theirs = best.figure(key).mean, constant.figure(key).mean
    return "" if ours is None or theirs is None else f"best row: {signed(ours - theirs)}"


def _runs(board: Board) -> str:
    n_ensembles = sum(row.is_ensemble for row in board.rows)
    n_runs = sum(len(row.entries) for row in board.rows) - n_ensembles
    parts = [count(n_runs, "run")]
    if n_ensembles:
        parts.append(count(n_ensembles, "ensemble"))
    if board.not_done:
        parts.append(f"{len(board.not_done)} without a result")
    return ", ".join(parts)


def _made_of(row: Row) -> str:
    if not row.is_ensemble:
        return count(len(row.entries), "run")
    return f"ensemble of {count(len(row.entries[0].facts['members']), 'member')}"


def _told_apart(data: ReportData) -> str:
    try:
        found = data.significance
    except PredictionError:
        return ""
    others = [one for one in found.comparisons[1:] if one.row.entries and one.p_holm is not None]
    if not others:
        return ""
    like = [one for one in others if one.p_holm is not None and one.p_holm >= _ALPHA]
    recordings = count(found.n_recordings, "recording")
    if not like:
        return f"On these {recordings}, every other row is significantly below the best one."
    named = ", ".join(one.row.name for one in like[:5])
    more = f" and {len(like) - 5} more" if len(like) > 5 else ""
    what = "other row is" if len(like) == 1 else "other rows are"
    return (
        f"On these {recordings}, {len(like)} {what} not significantly below the best one: "
        f"{named}{more}."
    )


def _dots(data: ReportData) -> Html | None:
    """Draw the measure of every run; None where there is no common one."""
    board = data.board
    key = board.key
    if key is None:
        return None
    rows = board.ranked[:_MOST_DRAWN]
    label = f"{NAMES[key]} of each run, one line a row"
    drawn = [value for row in rows for value in row.figure(key).values if value is not None]
    constant = board.constant.figure(key).mean
    is_near = constant is not None and constant > 2 * min(drawn) - max(drawn)
    with drawing("leaderboard", label, 680, 64 + 24 * len(rows), least=540, most=800) as under_way:
        ax = under_way.axes[0]
        for place, row in enumerate(rows):
            values = [value for value in row.figure(key).values if value is not None]
            mean = row.figure(key).mean
            ax.plot(values, [place] * len(values), "o", color=COLOURS[0], alpha=0.45, ms=6, mew=0)
            ax.plot([mean or 0.0], [place], "|", color=INK, ms=15, mew=2.2)
        if constant is not None and is_near:
            ax.axvline(constant, color=GREY, lw=1.4, ls=(0, (4, 2)))
        ax.set_yticks(range(len(rows)), [short(row.name) for row in rows])
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.grid(axis="y", color=FAINT)
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel(NAMES[key])
    shown = f"the {len(rows)} best of " if len(rows) < len(board.rows) else ""
    where = "is the dashed line" if is_near else "is further left"
    note = "" if constant is None else f"; the constant predictor ({constant:.3f}) {where}"
    caption = (
        f"{NAMES[key]} of {shown}{count(len(board.rows), 'row')}: a dot is one run, the bar their "
        f"mean{note}; {data.scope}."
    )
    return figure([under_way.svg], caption, wide=True)


def spread(found: Figure, digits: int = 3) -> Html:
    """Return mean and deviation, this one smaller."""
    mean, sign, deviation = found.text(digits).partition(" ± ")
    return joined([mean, tag("small", f"{sign}{deviation}")] if sign else [mean])


def short(name: str, most: int = 46) -> str:
    """Return a name that fits beside a plot."""
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-most // 2 + 1 :]}"
