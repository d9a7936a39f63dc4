"""Scores of many runs: one table, in the forms that are asked for, and a page with plots."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import UsageError
from ..core.files import write_text_atomic
from .dependency import Study, read_study
from .dependency_spec import is_dependency_sweep
from .dependency_text import study_text
from .reporting.board import Board, read_board
from .reporting.table_files import csv_table, latex_table, markdown_table
from .reporting.terminal import board_text


@dataclass(frozen=True)
class ReportFiles:
    """What is written beside the table in the terminal; None is not."""

    html: Path | None = None
    csv: Path | None = None
    markdown: Path | None = None
    latex: Path | None = None
    videos: tuple[str, ...] = ()
    """Videos whose traces the page shows; by default some are chosen."""


def score_table(runs: Sequence[Path], cache: Path) -> str:
    """Return the validation scores of runs, under those of the constant predictor.

    Runs that differ in their seeds or folds only are one row: mean and standard deviation (ddof 1)
    over them. Rows are named by their features where that tells them apart, else by encoder and
    framework too, else by their folders. The best row of each measure is marked.

    Args:
        runs: folders of runs or ensembles, or folders that hold them, such as that of a sweep.
        cache: folder of the labels store.

    Raises:
        TemporalError: a folder holds no finished run, a run has no validation split, runs were
            scored on different labels, or a fold has other videos now.
        CacheError: the labels store cannot be read.
    """
    return board_text(read_board(runs, cache))


def report(runs: Sequence[Path], cache: Path, files: ReportFiles | None = None) -> str:
    """Write the files that are asked for; return the table, and what was written.

    A dependency study is no row of the table: its matrices come after it, and are a section of the
    page.

    Raises:
        TemporalError, CacheError: as `score_table`.
        PredictionError: a run's predictions are not those of its scores.
        UsageError: a video is asked for that is not there, or without a page.
    """
    files = files or ReportFiles()
    if files.videos and files.html is None:
        message = "--video chooses what a page shows, so it needs --html FILE"
        raise UsageError(message)
    studies = [read_study(run, cache) for run in runs if is_dependency_sweep(run)]
    others = [run for run in runs if not is_dependency_sweep(run)]
    board = read_board(others, cache) if others or not studies else None
    lines = [board_text(board)] if board is not None else []
    for study in studies:
        lines += ["", study_text(study)] if lines else [study_text(study)]
    for path, text in (
        (files.csv, csv_table),
        (files.markdown, markdown_table),
        (files.latex, latex_table),
    ):
        if path is None:
            continue
        if board is None:
            message = f"{path} is a table of runs, but only a dependency study is given; add runs"
            raise UsageError(message)
        write_text_atomic(path, text(board))
        lines.append(f"wrote {path}")
    if files.html is not None:
        write_text_atomic(files.html, _page(board, files.videos, studies))
        lines.append(f"wrote {files.html}")
    return "\n".join(lines)


def _page(board: Board | None, videos: tuple[str, ...], studies: Sequence[Study]) -> str:
    # These draw, which a table in the terminal has no need of.
    from .dependency_plot import study_section
    from .reporting.page import page

    return page(board, videos, [study_section(study) for study in studies])
