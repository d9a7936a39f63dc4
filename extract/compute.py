"""The main loop of stage 1: every frame is decoded once, whatever number of embeddings it gives."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol

from ..core.device import compute_thread
from .errors import FramesError
from .frames import FrameSet
from .interrupt import InterruptedRunError, StopSignal
from .lane import Lane, Outlet
from .meter import Meter
from .options import RunOptions
from .plan import Job, lane_groups
from .stream import FrameStream, Place, StreamFrame
from .writing import BackgroundWriter

_AHEAD_BATCHES: Final = 4
"""Decoded frames that wait, in batches of the largest lane."""
_BURST: Final = 4
"""Batches of a network before the next one's turn, where there are several."""


class Progress(Protocol):
    """Is told how far a run is."""

    def begin(self, n_frames: int) -> None:
        """The number of frames to be decoded."""

    def advance(self, meter: Meter) -> None:
        """One more frame has been decoded and handed to its lanes."""


@dataclass
class Done:
    """What a run computed."""

    n_decoded: int = 0
    """Frame images read and decoded."""
    n_frames: dict[str, int] = field(default_factory=dict)
    """Name of an embedding -> frames embedded."""
    n_forward: dict[str, int] = field(default_factory=dict)
    """Name of an embedding -> batches that gave it; several embeddings may share them."""
    meter: Meter = field(default_factory=Meter)

    def add(self, other: "Done") -> None:
        """Add what another process computed."""
        self.n_decoded += other.n_decoded
        for mine, theirs in (
            (self.n_frames, other.n_frames),
            (self.n_forward, other.n_forward),
        ):
            for name, count in theirs.items():
                mine[name] = mine.get(name, 0) + count
        self.meter.add(other.meter)


def compute(
    jobs: Sequence[Job],
    frames: FrameSet,
    pool: ThreadPoolExecutor,
    options: RunOptions,
    progress: Progress,
) -> Done:
    """Decode what any job needs, once, and give each frame to the networks that need it.

    Args:
        jobs: the embeddings, their stores open.
        frames: the videos of the works.
        pool: threads that decode.
        options: how to run.
        progress: is told of every frame.

    Raises:
        FramesError: with `on_error="fail"`, a frame cannot be read.
        InterruptedRunError: after Ctrl-C or SIGTERM, with everything computed committed.
    """
    done = Done()
    groups = lane_groups(jobs)
    n_frames = sum(len(positions(jobs, video)) for video in frames.videos)
    progress.begin(n_frames)
    if not groups:
        return done
    with StopSignal() as stop:
        with BackgroundWriter() as background, compute_thread() as computing:
            lanes = [
                Lane(
                    [job.loaded for job in group],
                    [_outlet(job) for job in group],
                    group[0].settings,
                    computing,
                    background,
                    done.meter,
                    _BURST if len(groups) > 1 and group[0].settings.device == "cpu" else 1,
                )
                for group in groups
            ]
            stream = frame_stream(jobs, frames, pool, options, lanes)
            for source, position, frame in timed(stream, done.meter):
                if frame.reason and options.on_error == "fail":
                    message = (
                        f"every frame must be readable with --on-error fail, but "
                        f"{source.name(position)} is not: {frame.reason}"
                    )
                    raise FramesError(message)
                for lane in lanes:
                    lane.push(source, position, frame)
                done.n_decoded += 1
                progress.advance(done.meter)
                if stop.number is not None:
                    break
            stream.close()
            for lane in lanes:
                if stop.number is None:
                    lane.finish()
                else:
                    lane.drain()
            with done.meter.timing("write"):
                background.join()
        if stop.number is not None:
            for job in jobs:
                if job.writer:
                    job.writer.flush()
            message = (
                f"interrupted after {done.n_decoded:,} of {n_frames:,} frames: what was computed "
                f"is kept; run the same command to go on"
            )
            raise InterruptedRunError(message, stop.number)
    for lane in lanes:
        for outlet in lane.outlets:
            done.n_frames[outlet.name] = outlet.n_frames
            done.n_forward[outlet.name] = lane.n_forward
    return done


def frame_stream(
    jobs: Sequence[Job],
    frames: FrameSet,
    pool: ThreadPoolExecutor,
    options: RunOptions,
    lanes: Sequence[Lane],
) -> FrameStream:
    """Return the stream of every frame that any job needs, in the order of videos and frames."""
    n_ahead = _AHEAD_BATCHES * max(lane.settings.batch_size for lane in lanes)
    return FrameStream(_needed(jobs, frames), pool, options.n_workers, n_ahead)


def timed(stream: FrameStream, meter: Meter) -> Iterator[StreamFrame]:
    """Yield the frames; waiting for them is time spent on decoding."""
    frames = iter(stream)
    while True:
        with meter.timing("decode"):
            frame = next(frames, None)
        if frame is None:
            return
        yield frame


def positions(jobs: Sequence[Job], video: str) -> Sequence[int]:
    """Return the positions of a video's frames that any embedding needs, rising."""
    ranges = {cut for job in jobs for cut in job.works[video].ranges}
    if len(ranges) == 1:
        return range(*ranges.pop())
    return sorted({position for cut in ranges for position in range(*cut)})


def _needed(jobs: Sequence[Job], frames: FrameSet) -> Iterator[Place]:
    for video, source in frames.videos.items():
        for position in positions(jobs, video):
            yield source, position


def _outlet(job: Job) -> Outlet:
    if job.writer is None:
        message = f"the store of {job.name} is not open"
        raise ValueError(message)
    return Outlet(job.name, job.writer.add, job.works, job.loaded.spec)
