"""What a run of stage 1 did, for people and for the exit code."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tqdm import tqdm

from ..cache import Failure
from ..core.table import text_table
from .errors import FramesError
from .staleness import Work

_SHOWN: Final = 5
_HEADS: Final = (
    "embedding",
    "current",
    "computed",
    "frames",
    "failed",
    "size",
    "precision",
    "store",
)
"""Of the final table: videos that were current and that were not, then frames and bytes of those,
frames that could not be read now or earlier, precision, and where it all is."""


@dataclass
class EmbeddingSummary:
    """What was done for one embedding."""

    name: str
    path: Path
    is_random: bool
    """The weights are drawn from a seed."""
    precision: str
    works: list[Work]
    """What was found to do, one per video of the trees."""
    n_row_bytes: int
    """Bytes of one stored embedding."""
    n_absent: int = 0
    """Videos of the store that are in none of the trees."""
    n_pruned: int = 0
    """How many of those were dropped, or would be."""
    explanation: list[str] = field(default_factory=list)
    """Of a dry run: the state of every video, and what of the identity differs."""
    n_forward: int = 0
    """Batches computed."""
    n_frames: int = 0
    """Frames embedded."""
    failures: list[Failure] = field(default_factory=list)
    """Frames of the trees' videos that could not be read, now or in earlier runs."""
    unreadable_videos: list[str] = field(default_factory=list)
    """Videos without any readable frame."""

    @property
    def n_failures(self) -> int:
        """Number of frames that could not be read."""
        return len(self.failures)

    @property
    def n_current(self) -> int:
        """Videos for which nothing had to be computed."""
        return sum(not work.ranges for work in self.works)

    @property
    def n_done(self) -> int:
        """Videos for which something was computed, or would be."""
        return len(self.works) - self.n_current

    def cells(self, *, is_dry: bool) -> tuple[str, ...]:
        """Return the row of the final table, see `_HEADS`."""
        n_frames = sum(work.n_frames for work in self.works) if is_dry else self.n_frames
        return (
            self.name,
            f"{self.n_current:,}",
            f"{self.n_done:,}",
            f"{n_frames:,}",
            f"{self.n_failures:,}",
            tqdm.format_sizeof(n_frames * self.n_row_bytes, "B", 1000),
            self.precision,
            str(self.path),
        )

    def remarks(self, *, is_dry: bool) -> list[str]:
        """Return what must be said below the table."""
        found = []
        if self.is_random:
            found.append(f"{self.name} has RANDOM WEIGHTS: it has learnt nothing")
        if self.n_failures:
            found.append(
                f"{self.name}: {self.n_failures:,} frames could not be read (`abaw cache info` "
                f"tells why)"
            )
        if self.n_pruned:
            would = "would be " if is_dry else ""
            found.append(f"{self.name}: {self.n_pruned:,} stored videos {would}dropped")
        if self.n_absent - self.n_pruned:
            found.append(
                f"{self.name}: {self.n_absent - self.n_pruned:,} stored videos are in none of the "
                f"trees (--prune drops them)"
            )
        return found


@dataclass
class ExtractSummary:
    """What was done, or would be."""

    embeddings: list[EmbeddingSummary]
    n_videos: int
    n_source_frames: int
    n_stray: int
    """Files of the trees that are no frames."""
    n_decoded: int
    """Frame images read and decoded, once for all embeddings."""
    seconds: float
    is_dry: bool
    shares: str = ""
    """Where the time went, in words."""
    shard: str = ""
    """`2/4` if other jobs take the other videos."""
    probe_rate: float = 0.0
    """Of a dry run: frames/s that were measured."""
    n_to_decode: int = 0
    """Of a dry run: frame images that would be read."""

    def text(self) -> str:
        """Return the summary for people to read; a dry run names every video with work."""
        stray = f", {self.n_stray} other files left alone" if self.n_stray else ""
        rate = self.n_decoded / max(self.seconds, 1e-9)
        speed = f"; {rate:,.0f} frames/s ({self.shares})" if self.n_decoded else ""
        shard = f" in shard {self.shard}" if self.shard else ""
        head = f"{self.n_videos} videos{shard}, {self.n_source_frames:,} frames{stray}"
        lines = [f"{head}, {self.seconds:.1f} s{speed}"]
        heads = list(_HEADS)
        if self.is_dry:
            heads[_HEADS.index("computed")] = "to compute"
        rows = [item.cells(is_dry=self.is_dry) for item in self.embeddings]
        lines += text_table([heads, *rows], range(1, _HEADS.index("precision")))
        for item in self.embeddings:
            lines += item.remarks(is_dry=self.is_dry)
            if item.explanation:
                lines += [f"{item.name}:", *item.explanation]
        if self.probe_rate:
            whole = tqdm.format_interval(self.n_to_decode / self.probe_rate)
            lines.append(
                f"{self.n_to_decode:,} frames to go at {self.probe_rate:,.0f} frames/s (measured "
                f"on the first ones): about {whole}"
            )
        return "\n".join(lines)

    def raise_for_failures(self) -> None:
        """Raise FramesError if any frame could not be read, now or in an earlier run.

        Raises:
            FramesError: names the first one.
        """
        for item in self.embeddings:
            for video, frame, reason in item.failures[:1]:
                message = (
                    f"every frame must be readable with --on-error fail, but frame {frame} of "
                    f"{video!r} was not when {item.path} was made: {reason}"
                )
                raise FramesError(message)

    def raise_for_unreadable_videos(self) -> None:
        """Raise FramesError if a video had no readable frame; all others are stored.

        Raises:
            FramesError: names the videos.
        """
        videos = sorted({video for item in self.embeddings for video in item.unreadable_videos})
        if videos:
            more = f" and {len(videos) - _SHOWN} more" if len(videos) > _SHOWN else ""
            message = (
                f"every video needs a readable frame, but {', '.join(videos[:_SHOWN])}{more} has "
                f"none (all other videos are stored); `abaw cache info` tells why for each frame; "
                f"mend or remove the files"
            )
            raise FramesError(message)
