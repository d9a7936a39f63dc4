"""The rows of a report as CSV, Markdown and LaTeX."""

import csv
import io
import re
from collections.abc import Sequence
from typing import Any, Final

from .board import KEYS, Board, Row

_HEADS: Final = (
    *("row", "kind", "features", "encoder", "framework", "n_runs", "seeds", "folds"),
    *(name for key in KEYS for name in (key, f"{key}_sd")),
    *("P_MTL_processed", "P_MTL_processed_sd", "seconds", "n_parameters", "peak_memory"),
)
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$])")
_LATEX: Final = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}
_TITLES: Final = ("CCC-V", "CCC-A", "F1-EXPR", "F1-AU", r"$P_{\mathrm{MTL}}$")


def csv_table(board: Board) -> str:
    """Return one line a row, with all digits; what is not there is empty.

    `_sd` is the standard deviation over runs (ddof 1); `processed` is after post-processing that
    was fitted on other recordings; seconds are the mean of a run, `peak_memory` the most, in bytes.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_HEADS)
    for row in (board.constant, *board.rows):
        writer.writerow("" if cell is None else cell for cell in _csv_cells(row))
    return stream.getvalue()


def _csv_cells(row: Row) -> list[Any]:
    config = row.config or {}
    runs = [facts["config"] for entry in row.entries for _, facts in entry.runs]
    kind = "ensemble" if row.is_ensemble else "run" if row.entries else "constant"
    figures = [part for key in KEYS for part in _parts(row, key)]
    processed = row.processed()
    return [
        *(row.name, kind, "+".join(config.get("features", ()))),
        *(config.get("encoder"), config.get("framework"), len(row.entries)),
        *(_listed(runs, "seed"), _listed(runs, "fold"), *figures),
        *(processed.mean, processed.deviation),
        *(row.cost("seconds").mean, row.n_parameters, row.most("peak_memory")),
    ]


def _parts(row: Row, key: str) -> tuple[float | None, float | None]:
    found = row.figure(key)
    return found.mean, found.deviation


def _listed(runs: Sequence[Any], key: str) -> str:
    return " ".join(str(value) for value in sorted({run[key] for run in runs}))


def markdown_table(board: Board) -> str:
    """Return a table as GitHub and others show it, the best of each measure bold."""
    return (
        "\n".join(
            f"| {' | '.join(cells)} |"
            for cells in (
                ["", "runs", *KEYS],
                [":--", *["--:"] * (len(KEYS) + 1)],
                *(_cells(board, row, markdown_escaped, "**{}**") for row in _rows(board)),
            )
        )
        + "\n"
    )


def latex_table(board: Board) -> str:
    """Return a tabular with the rules of booktabs, the best of each measure bold."""
    heads = " & ".join(("", "runs", *_TITLES))
    constant, *rows = (
        " & ".join(_cells(board, row, latex_escaped, r"\textbf{{{}}}")) + r" \\"
        for row in _rows(board)
    )
    lines = [
        r"% \usepackage{booktabs}; mean $\pm$ standard deviation over runs, validation rows",
        rf"\begin{{tabular}}{{l{'r' * (len(KEYS) + 1)}}}",
        r"\toprule",
        heads + r" \\",
        r"\midrule",
        constant,
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _rows(board: Board) -> tuple[Row, ...]:
    return (board.constant, *board.ranked)


def _cells(board: Board, row: Row, escaped: Any, bold: str) -> list[str]:  # noqa: ANN401
    cells = [escaped(row.name), str(len(row.entries)) if row.entries else ""]
    for key in KEYS:
        text = row.figure(key).text()
        if escaped is latex_escaped:
            text = text.replace("±", r"$\pm$")
        cells.append(bold.format(text) if row in board.best_of(key) else text)
    return cells


def markdown_escaped(text: str) -> str:
    r"""Return text that Markdown shows as it is, on one line.

    >>> print(markdown_escaped("a_b|<c>"))
    a\_b\|\<c\>
    """
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def latex_escaped(text: str) -> str:
    r"""Return text that LaTeX sets as it is, on one line.

    >>> print(latex_escaped("50 % of a_b"))
    50 \% of a\_b
    """
    return "".join(_LATEX.get(sign, sign) for sign in " ".join(text.split()))
