"""What a run of stage 1 did, for people and for the exit code."""

from dataclasses import dataclass, field
from pathlib import Path

from .errors import FramesError
from .staleness import Work

_SHOWN = 5


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
    n_absent: int
    """Videos of the store that are in none of the trees."""
    n_forward: int = 0
    """Batches computed."""
    n_frames: int = 0
    """Frames embedded."""
    n_failures: int = 0
    """Frames of the trees' videos that could not be read, now or in earlier runs."""
    unreadable_videos: list[str] = field(default_factory=list)
    """Videos without any readable frame."""

    @property
    def n_current(self) -> int:
        """Videos for which nothing had to be computed."""
        return sum(not work.ranges for work in self.works)

    def line(self, *, is_dry: bool) -> str:
        """Return the summary in one line."""
        n_todo = len(self.works) - self.n_current
        random = " (RANDOM WEIGHTS)" if self.is_random else ""
        if is_dry:
            n_frames = sum(work.n_frames for work in self.works)
            done = f"would compute {n_todo} videos, {n_frames:,} frames"
        else:
            done = f"{n_todo} videos computed, {self.n_frames:,} frames in {self.precision}"
        parts = [f"{self.n_current} current", done]
        if self.n_failures:
            parts.append(f"{self.n_failures} frames could not be read")
        if self.n_absent:
            parts.append(f"{self.n_absent} stored videos are in none of the trees")
        return f"{self.name}{random}: {', '.join(parts)} -> {self.path}"


@dataclass
class ExtractSummary:
    """What was done, or would be."""

    embeddings: list[EmbeddingSummary]
    n_videos: int
    n_source_frames: int
    n_stray: int
    seconds: float
    is_dry: bool

    def text(self) -> str:
        """Return the summary for people to read."""
        stray = f", {self.n_stray} other files left alone" if self.n_stray else ""
        rate = sum(item.n_frames for item in self.embeddings) / max(self.seconds, 1e-9)
        speed = "" if self.is_dry or not rate else f"; {rate:,.0f} embeddings/s"
        head = f"{self.n_videos} videos, {self.n_source_frames:,} frames{stray}"
        lines = [f"{head}, {self.seconds:.1f} s{speed}"]
        for item in self.embeddings:
            lines.append(item.line(is_dry=self.is_dry))
            if self.is_dry:
                todo = [work for work in item.works if work.ranges]
                lines += [f"  {work.video}: {work.reason}" for work in todo]
        return "\n".join(lines)

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
