"""What a run of stage 1 did, for people and for the exit code."""

from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from ..cache import Failure
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

    def line(self, *, is_dry: bool) -> str:
        """Return the summary in one line."""
        random = " (RANDOM WEIGHTS)" if self.is_random else ""
        if is_dry:
            n_frames = sum(work.n_frames for work in self.works)
            size = tqdm.format_sizeof(n_frames * self.n_row_bytes, "B", 1000)
            done = f"would compute {self.n_done} videos, {n_frames:,} frames, {size}"
        else:
            done = f"{self.n_done} videos computed, {self.n_frames:,} frames in {self.precision}"
        parts = [f"{self.n_current} current", done]
        if self.failures:
            parts.append(f"{self.n_failures} frames could not be read")
        if self.n_pruned:
            parts.append(f"{self.n_pruned} stored videos {'would be ' if is_dry else ''}dropped")
        if self.n_absent - self.n_pruned:
            parts.append(f"{self.n_absent} stored videos are in none of the trees (--prune drops)")
        return f"{self.name}{random}: {', '.join(parts)} -> {self.path}"


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
        for item in self.embeddings:
            lines.append(item.line(is_dry=self.is_dry))
            lines += item.explanation
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
