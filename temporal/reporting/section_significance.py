"""Which rows are told apart from the best one."""

from typing import Final

from .drawing import COLOURS, FAINT, GREY, drawing
from .parts import Html, Section, count, figure, joined, paragraph, signed, table
from .report_data import ReportData
from .section_scores import NAMES, short
from .significance import Comparison, Significance

TITLE: Final = "Significance"
_MOST_DRAWN: Final = 25
_FEW: Final = 20
_ALPHA: Final = 0.05


def significance_section(data: ReportData) -> Section:
    """Return the differences to the best row with their intervals."""
    found = data.significance
    if found.n_recordings < 2:
        reason = "all validation rows are of one recording, so recordings cannot be drawn"
        return Section(TITLE, left_out=reason)
    rows = [_cells(one) for one in found.comparisons]
    heads = ("row", NAMES[found.key], "difference", "95 % interval", "p", "p (Holm)")
    caption = (
        f"Difference to {found.best.name}: paired bootstrap, {found.n_resamples:,} draws of "
        f"{count(found.n_recordings, 'recording')} ({found.n_rows:,} rows), mean over seeds, folds "
        f"pooled"
    )
    parts = [
        table(heads, rows, caption, range(1, 6)),
        paragraph(
            "A recording is drawn whole, for its frames are alike, and both rows are scored on the "
            "same draw. p is two-sided; Holm's correction allows for the number of rows. The best "
            "row was chosen on these same rows, which favours it, and the draws do not cover how "
            "much training varies with the seed."
        ),
    ]
    if _drawn(found):
        parts.insert(0, figure([_forest(found)], _caption(found), wide=True))
    if found.n_recordings < _FEW:
        text = f"Only {count(found.n_recordings, 'recording')}: these intervals are rough."
        parts.insert(0, paragraph(text))
    return Section(TITLE, joined(parts))


def _cells(one: Comparison) -> list[object]:
    value = "n/a" if one.value is None else f"{one.value:.3f}"
    if one.difference is None or one.p is None or one.p_holm is None:
        return [one.row.name, value, f"n/a: {one.reason}" if one.reason else "best", "", "", ""]
    assert one.low is not None
    assert one.high is not None
    interval = f"{signed(one.low)} to {signed(one.high)}"
    return [one.row.name, value, signed(one.difference), interval, _p(one.p), _p(one.p_holm)]


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _drawn(found: Significance) -> list[Comparison]:
    there = [one for one in found.comparisons if one.low is not None and one.row.entries]
    return there[:_MOST_DRAWN]


def _caption(found: Significance) -> str:
    n_left = sum(one.low is not None for one in found.comparisons[:-1]) - len(_drawn(found))
    rest = count(n_left, "row further down", "rows further down")
    more = f" ({rest} in the table only)" if n_left else ""
    return (
        f"Difference of {NAMES[found.key]} to the best row with its 95 % interval over "
        f"{count(found.n_recordings, 'recording')}{more}; filled: significant after correction."
    )


def _forest(found: Significance) -> Html:
    rows = _drawn(found)
    label = f"Difference of {NAMES[found.key]} of each row to the best one, with 95 % intervals"
    with drawing("forest", label, 680, 64 + 24 * len(rows), least=540, most=800) as under_way:
        ax = under_way.axes[0]
        for place, one in enumerate(rows):
            assert one.low is not None
            assert one.high is not None
            assert one.difference is not None
            is_sure = one.p_holm is not None and one.p_holm < _ALPHA
            colour = COLOURS[0]
            ax.plot([one.low, one.high], [place, place], color=colour, lw=2)
            fill = colour if is_sure else "white"
            ax.plot([one.difference], [place], "o", color=colour, mfc=fill, mew=1.6, ms=7)
        ax.axvline(0, color=GREY, lw=1.2)
        ax.set_yticks(range(len(rows)), [short(one.row.name) for one in rows])
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.grid(axis="y", color=FAINT)
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel(f"{NAMES[found.key]} less that of {short(found.best.name)}")
    return under_way.svg
