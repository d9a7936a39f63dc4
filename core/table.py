"""Rows of text in columns, for terminals."""

from collections.abc import Collection, Sequence


def text_table(rows: Sequence[Sequence[str]], numbers: Collection[int] = ()) -> list[str]:
    """Return one line a row, its cells two spaces apart.

    Args:
        rows: all of one length; the first is usually the heads.
        numbers: columns that end at the right, as numbers are read.

    >>> print("\\n".join(text_table([("name", "frames"), ("a", "5"), ("bcdef", "17")], {1})))
    name   frames
    a           5
    bcdef      17
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if place in numbers else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
