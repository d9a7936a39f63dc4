"""Each of the 12 action units by itself."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...core.tasks import AUS
from .parts import Section, figure
from .report_data import ReportData
from .section_expressions import bars_of_parts

TITLE: Final = "Action units"
_N_OTHERS: Final = 2


def aus(data: ReportData) -> Section:
    """Return F1 of each AU beside that of the constant predictor and the base rate."""
    board = data.board
    rows = [row for row in board.ranked if any(one["per_au"] for one in row.scores)]
    if not rows:
        return Section(TITLE, left_out="no row has both annotated and predicted action units")
    first = rows[0]
    drawn = bars_of_parts(
        "aus", "F1 of each action unit", first, rows[1 : 1 + _N_OTHERS],
        board.constant, "per_au", AUS, base_rates(data),
    )  # fmt: skip
    caption = (
        f"Positive-class F1 of each action unit of {first.name}: the bar is the mean over its "
        f"runs, a dot one run. The constant says present or absent, whichever scores better; the "
        f"base rate is the share of labelled rows with the unit; {data.scope}."
    )
    return Section(TITLE, figure([drawn], caption, wide=True))


def base_rates(data: ReportData) -> NDArray[np.float64]:
    """Return the share of labelled validation rows in which each AU is present; NaN without one."""
    parts = [selection.rows("val") for selection in data.board.selections.values()]
    has = np.concatenate([np.asarray(part.is_labelled.au) for part in parts])
    is_there = np.concatenate([np.asarray(part.labels.au) > 0 for part in parts]) & has
    n = has.sum(axis=0)
    return np.where(n > 0, is_there.sum(axis=0) / np.maximum(n, 1), np.nan)
