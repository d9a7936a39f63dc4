"""What an import did."""

from dataclasses import dataclass, field
from pathlib import Path

from .errors import InteropError
from .interop_source import short_list
from .versions import Failure


@dataclass
class ImportSummary:
    """What an import did."""

    path: Path
    notes: list[str]
    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    """Videos without any row that has features."""
    absent: list[str] = field(default_factory=list)
    """Stored videos that the source does not have; they stay."""
    refused: dict[str, str] = field(default_factory=dict)
    """Video -> why it could not be read; the rest was imported."""
    n_rows: int = 0
    failures: list[Failure] = field(default_factory=list)

    def text(self) -> str:
        """Return it for people to read."""
        done = f"{len(self.new)} new, {len(self.changed)} changed, {len(self.unchanged)} unchanged"
        lines = [f"{self.path}: {done}"]
        if self.changed:
            lines.append(f"  changed: {short_list(self.changed)}")
        lines += [f"  {note}" for note in self.notes]
        if self.new or self.changed:
            lines.append(f"  rows imported: {self.n_rows:,}, gaps: {len(self.failures):,}")
        lines += [f"    {f.video} frame {f.frame}: {f.reason}" for f in self.failures[:5]]
        if len(self.failures) > 5:
            lines.append("    and more (`abaw cache info --json` lists all)")
        lines += [
            f"  not imported: {video!r}: {why}" for video, why in list(self.refused.items())[:5]
        ]
        if len(self.refused) > 5:
            lines.append(
                f"  and {len(self.refused) - 5} more: {short_list(list(self.refused)[5:])}"
            )
        if self.absent:
            lines.append(f"  stored, but not in the source: {short_list(self.absent)}")
        return "\n".join(lines)

    def raise_for_videos(self) -> None:
        """Raise InteropError if a video could not be read, or has no row with features."""
        if self.refused:
            video, why = next(iter(self.refused.items()))
            message = f"{len(self.refused)} videos could not be imported, first {video!r}: {why}"
            raise InteropError(message)
        if self.empty:
            message = (
                f"{len(self.empty)} videos have no row with features and are recorded without any: "
                f"{short_list(self.empty)}; see the reasons by `abaw cache info`"
            )
            raise InteropError(message)
