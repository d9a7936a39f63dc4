"""Parquet tables, one file a video: read batch by batch and written. Needs pyarrow, an extra."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import UsageError
from .errors import InteropError
from .interop_files import new_file, unreadable
from .interop_table import BLOCK_ROWS, Block, column_name, no_rows, remedy
from .store import EmbeddingStore


class ParquetFile:
    """One Parquet file; see `TableFile`."""

    place_word = "row"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._arrow, self._parquet = _pyarrow()
        try:
            with path.open("rb") as stream:
                head = self._parquet.read_metadata(stream)
            self._schema, self._n_rows = head.schema.to_arrow_schema(), head.num_rows
        except (self._arrow.ArrowException, OSError, ValueError) as error:
            raise self._damaged(error) from error
        self.names = [column_name(text) for text in self._schema.names]

    def numeric(self) -> set[str]:
        """Return the columns that are of a type of numbers."""
        if not self._n_rows:
            raise no_rows(self.path)
        return {
            name
            for name, field in zip(self.names, self._schema, strict=True)
            if self._is_number(field.type)
        }

    def blocks(self, columns: Sequence[str]) -> Iterator[Block]:
        """Yield the rows of some columns as numbers, at most `BLOCK_ROWS` at a time."""
        fields = [self._schema.field(self.names.index(name)) for name in columns]
        for name, field in zip(columns, fields, strict=True):
            if not self._is_number(field.type):
                message = (
                    f"column {name!r} of {self.path} must hold numbers, but holds {field.type}; "
                    f"{remedy(name)}"
                )
                raise InteropError(message)
        wanted = list(dict.fromkeys(field.name for field in fields))
        first = 1
        try:
            with self._parquet.ParquetFile(self.path) as file:
                for batch in file.iter_batches(batch_size=BLOCK_ROWS, columns=wanted):
                    values = np.empty((batch.num_rows, len(fields)))
                    for place, field in enumerate(fields):
                        wide = batch.column(field.name).cast(self._arrow.float64())
                        values[:, place] = wide.to_numpy(zero_copy_only=False)  # a gap is NaN
                    yield Block(np.arange(first, first + batch.num_rows), values)
                    first += batch.num_rows
        except (self._arrow.ArrowException, OSError, ValueError) as error:
            raise self._damaged(error) from error

    def _is_number(self, kind: Any) -> bool:  # noqa: ANN401 - a type of pyarrow
        types = self._arrow.types
        return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))

    def _damaged(self, error: Exception) -> InteropError:
        if isinstance(error, OSError) and error.errno is not None:
            return unreadable(self.path, error)
        return InteropError(
            f"{self.path} must be a whole Parquet file, but is not: {error}; copy it again"
        )


def write_parquet(folder: Path, store: EmbeddingStore) -> None:
    """Write `<video>.parquet` of each video: frame, timestamp where there is one, and features."""
    arrow, parquet = _pyarrow()
    for video in store:
        record = store[video]
        columns = {"frame": arrow.array(record.frame)}
        if record.time is not None:
            columns["timestamp"] = arrow.array(record.time, mask=np.isnan(record.time))
        wide = record.embedding.astype(np.float32)
        for number in range(store.dim):
            columns[f"{store.name}_{number}"] = arrow.array(np.ascontiguousarray(wide[:, number]))
        with new_file(folder, video, ".parquet") as stream:
            parquet.write_table(arrow.table(columns), stream)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
        import pyarrow.types
    except ImportError as error:
        message = (
            "the layout parquet needs pyarrow, which is not installed; install abaw with its extra "
            "`parquet`, or pyarrow itself"
        )
        raise UsageError(message) from error
    return pyarrow, pyarrow.parquet
