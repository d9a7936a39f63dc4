"""The rows of a report as text, for terminals."""

from collections.abc import Sequence

from ...core.table import text_table
from .board import KEYS, Board, Row
from .entries import NotDone

_MARK = "*"


def board_text(board: Board) -> str:
    """Return the rows under those of the constant predictor, the best of each measure marked."""
    has_many = any(len(row.scores) > 1 for row in board.rows)
    has_processed = any(row.processed().mean is not None for row in board.rows)
    best = {key: board.best_of(key) for key in KEYS}
    is_marked = any(best.values())

    def cells(row: Row) -> list[str]:
        count = ([str(len(row.entries))] if row.entries else [""]) if has_many else []
        figures = []
        for key in KEYS:
            mark = _MARK if row in best[key] else " "
            figures.append(row.figure(key).text() + (mark if is_marked else ""))
        if has_processed:
            figures.append(row.processed().text() if row.entries else "")
        return [row.name, *count, *figures]

    heads = ["", *(["runs"] if has_many else [])]
    heads += [f"{key} " if is_marked else key for key in KEYS]
    heads += ["processed"] if has_processed else []
    table = [cells(row) for row in (board.constant, *board.rows)]
    lines = text_table([heads, *table], range(1, len(heads)))
    if is_marked:
        lines.append(f"{_MARK} the best of the {len(board.rows)} rows")
    if has_processed:
        lines.append("processed: P_MTL after post-processing that was fitted on other recordings")
    if (warning := board.warning()) is not None:
        lines.append(warning)
    return "\n".join([*lines, *not_done_lines(board.not_done)])


def not_done_lines(not_done: Sequence[NotDone]) -> list[str]:
    """Return the runs without a result, for people to read."""
    if not not_done:
        return []
    rows = [(one.folder.name, one.reason) for one in not_done]
    return ["", *text_table([("no result", ""), *rows])]
