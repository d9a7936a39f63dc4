"""The registered backbones as a list and as a table."""

from dataclasses import dataclass
from functools import cache

import torch

from .base import BACKBONES


@dataclass(frozen=True)
class BackboneInfo:
    """What a user must know to choose a backbone."""

    name: str
    input_size: int
    dim: int
    """Length of an embedding at the default settings."""
    pools: tuple[str, ...]
    objective: str
    """How published weights were learnt: supervised, unsupervised or none."""
    formats: str
    """Which weights it reads."""


def list_backbones() -> list[BackboneInfo]:
    """Return the registered backbones in order of name."""
    found = []
    for name in sorted(BACKBONES):
        kind = BACKBONES[name]
        size, dim = kind.defaults.input_size, _dim(name)
        found.append(BackboneInfo(name, size, dim, kind.pools, kind.objective, kind.formats))
    return found


@cache
def _dim(name: str) -> int:
    """Return the length of an embedding at the default settings."""
    kind = BACKBONES[name]
    with torch.device("meta"):  # shapes only: nothing is allocated
        return kind.build(kind.defaults).dim


def backbones_text() -> str:
    """Return the registered backbones as a table."""
    rows = [("backbone", "input", "dim", "pool", "learnt", "weights")]
    rows += [
        (i.name, str(i.input_size), str(i.dim), ", ".join(i.pools), i.objective, i.formats)
        for i in list_backbones()
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)
