"""The prediction table: what it is, and its files.

    video, frame, valence, arousal, expression, p_Neutral … p_Other, AU1 … AU26, p_AU1 … p_AU26

It is written as CSV or Parquet. The columns of a task that is not predicted are empty. The files
that are handed in to the challenges are read too, without probabilities; `submission` writes them.
"""

from pathlib import Path
from typing import Final, Literal

from .errors import PredictionError
from .number_lines import read_text_lines
from .prediction_csv import header_of, read_csv_lines, write_csv
from .prediction_parquet import is_parquet, read_parquet, write_parquet
from .prediction_table import COLUMNS, PredictionTable, concatenated
from .submission_files import PATH_COLUMNS, read_submission_folder, read_submission_lines

__all__ = [
    "COLUMNS",
    "PredictionTable",
    "TableForm",
    "concatenated",
    "read_predictions",
    "write_predictions",
]

TableForm = Literal["csv", "parquet"]
SUFFIXES: Final[dict[str, TableForm]] = {".parquet": "parquet", ".pq": "parquet"}
"""Suffixes that mean another form than CSV."""


def write_predictions(path: Path, table: PredictionTable, form: TableForm | None = None) -> None:
    """Write the table, whole or not at all; read back, it is bit for bit the same.

    Args:
        path: the file.
        table: what to write; in the columns of tasks that are not predicted nothing is written.
        form: by default what the suffix of `path` says, and CSV where that says nothing.

    Raises:
        ValueError: the table has no probabilities, or columns of other shapes.
        UsageError: Parquet is asked for and pyarrow is not installed.
    """
    if table.p_expression is None or table.p_au is None:
        message = "a prediction table is written with its probabilities"
        raise ValueError(message)
    table.check_shapes()
    write = write_parquet if (form or table_form(path)) == "parquet" else write_csv
    write(path, table)


def table_form(path: Path) -> TableForm:
    """Return the form that the suffix of a file says."""
    return SUFFIXES.get(path.suffix.lower(), "csv")


def read_predictions(path: Path) -> PredictionTable:
    """Read a prediction table in CSV or Parquet, or what is handed in to a challenge.

    Args:
        path: a file; or a folder with a `<video>.txt` for each video.

    Raises:
        PredictionError: names file and line.
        UsageError: the file is Parquet and pyarrow is not installed.
    """
    if path.is_dir():
        return read_submission_folder(path)
    if is_parquet(path):
        return read_parquet(path)
    lines = read_text_lines(path)
    header = header_of(lines[0]) if lines else []
    if header == list(COLUMNS):
        return read_csv_lines(path, lines[1:])
    if header and header[0].strip().lower() in PATH_COLUMNS:
        return read_submission_lines(path, lines)
    message = (
        f"{path} must begin with the columns of a prediction table (video,frame,valence,…) or of "
        f"a submission (image,valence,… or image_location,…), but begins "
        f"with {','.join(header)[:80]!r}"
    )
    raise PredictionError(message)
