"""What a join found and did, and whether too much was missing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...cache import Split
from ...core.tasks import Task
from ..errors import TemporalError
from ..settings.data import Fill, Fold

_SHOWN = 3
_FILLED = {"hold": "held", "zero": "set to the training mean"}


@dataclass
class JoinReport:
    """What a join found; counts of frames."""

    split: Split
    fold: Fold = 0
    fill: Fill = "hold"
    n_videos: int = 0
    n_frames: int = 0
    """Length of all time lines."""
    n_listed: int = 0
    """Frames that the split lists."""
    n_labelled: int = 0
    """Frames with a label of any task."""
    n_labelled_missing: int = 0
    """Labelled frames that at least one embedding lacks."""
    missing: dict[str, int] = field(default_factory=dict)
    """Embedding -> listed frames it lacks."""
    n_unlisted: int = 0
    """Frames with an embedding that the split does not list; context only."""
    n_partial: int = 0
    """Frames that some of the embeddings have and others lack."""
    n_filled: int = 0
    """Frames on the time lines of which `hold` or `zero` gave at least one embedding."""
    n_dropped: int = 0
    """Frames that `drop` took off the time lines."""
    n_inserted: int = 0
    """Steps of `time_axis=frames` that stand for a frame number without label and embedding."""
    n_supplemented: dict[Task, int] = field(default_factory=dict)
    """Task -> labels that were taken from a near frame; of action units, single ones."""
    videos_left_out: list[str] = field(default_factory=list)
    """Listed videos that are not trained on, as no frame of them has all it needs."""
    videos_without: dict[str, list[str]] = field(default_factory=dict)
    """Embedding -> listed videos it lacks altogether."""
    n_videos_unlabelled: dict[str, int] = field(default_factory=dict)
    """Embedding -> its videos that the labels do not know; they are not used."""

    @property
    def title(self) -> str:
        """Which split, and of which fold unless it is the official one."""
        return self.split if self.fold == 0 else f"{self.split} of fold {self.fold}"

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as JSON takes them."""
        return dict(vars(self))

    def text(self) -> str:
        """Return the counts for people to read."""
        parts = [f"{self.title}: {self.n_videos} videos, {self.n_listed:,} listed frames"]
        for name, count in self.missing.items():
            if count:
                parts.append(f"{count:,} of them not in {name}")
        if self.n_partial:
            parts.append(f"{self.n_partial:,} frames in some embeddings only")
        if self.n_filled:
            parts.append(f"{self.n_filled:,} frames {_FILLED[self.fill]}")
        if self.n_dropped:
            parts.append(f"{self.n_dropped:,} frames dropped")
        if self.n_inserted:
            parts.append(f"{self.n_inserted:,} steps for frame numbers in between")
        if self.n_unlisted:
            parts.append(f"{self.n_unlisted:,} frames as context only")
        taken = [f"{count:,} of {task}" for task, count in self.n_supplemented.items() if count]
        if taken:
            parts.append(f"labels from near frames: {', '.join(taken)}")
        for name, videos in self.videos_without.items():
            parts.append(f"{len(videos)} videos not in {name} ({names(videos)})")
        if self.videos_left_out:
            parts.append(f"{len(self.videos_left_out)} left out ({names(self.videos_left_out)})")
        for name, n in self.n_videos_unlabelled.items():
            parts.append(f"{n} videos of {name} without labels")
        return "; ".join(parts)


def check_missing(report: JoinReport, limit: float) -> None:
    """Raise TemporalError if more than `limit` of the labelled frames lack an embedding."""
    if report.n_labelled_missing > limit * report.n_labelled:
        share = report.n_labelled_missing / report.n_labelled
        message = (
            f"at most {limit:.1%} of the labelled frames may lack an embedding, but "
            f"{report.n_labelled_missing:,} of {report.n_labelled:,} ({share:.1%}) of the "
            f"{report.split} split do ({report.text()}); extract them, or allow it with --set "
            f"max_missing={min(1.0, share + 0.005):.2f}"
        )
        raise TemporalError(message)


def names(videos: Sequence[str]) -> str:
    """Return the first few ids and how many more there are."""
    more = f" and {len(videos) - _SHOWN} more" if len(videos) > _SHOWN else ""
    return ", ".join(videos[:_SHOWN]) + more
