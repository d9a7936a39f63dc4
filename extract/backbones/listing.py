"""The registered backbones as a list and as a table."""

from dataclasses import dataclass

from ...core.table import text_table
from ...core.user_code import installed, package_of
from .kinds import BACKBONES
from .user_module import GROUP


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
        size = kind.defaults.input_size
        found.append(BackboneInfo(name, size, kind.dim, kind.pools, kind.objective, kind.formats))
    return found


def backbones_text() -> str:
    """Return the registered backbones as a table, and how others are named."""
    rows = [("backbone", "input", "dim", "pool", "learnt", "weights")]
    rows += [
        (i.name, str(i.input_size), str(i.dim), ", ".join(i.pools), i.objective, i.formats)
        for i in list_backbones()
    ]
    others = [("others", "")]
    others += [
        (name, f"installed with {package_of(point)}")
        for name, point in sorted(installed(GROUP).items())
        if name not in BACKBONES
    ]
    others += [
        ("timm/NAME", "any network of timm by its name there, like timm/resnet50.a1_in1k"),
        ("FILE.py:FUNCTION", "your own: the function returns a torch module; the file is run"),
    ]
    return "\n".join([*text_table(rows), "", *text_table(others)])
