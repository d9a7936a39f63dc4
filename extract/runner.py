"""Stage 1: every frame is decoded once, whatever number of embeddings is made of it."""

import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import torch
from tqdm import tqdm

from ..cache import EmbeddingStore, StoreWriter, open_store
from .batches import EmbeddingLane, Item
from .decode import DecodedFrame, read_frame
from .errors import FramesError
from .frames import FrameSet, SourceVideo, find_videos
from .interrupt import InterruptedRunError, StopSignal
from .options import RunOptions
from .plan import Job, plan_jobs
from .requests import EmbeddingRequest
from .staleness import Work
from .summary import EmbeddingSummary, ExtractSummary

_AHEAD_BATCHES: Final = 4
"""Decoded frames that wait, in batches of the largest lane."""
_AHEAD_BYTES: Final = 1 << 29
"""The same in bytes: big frames wait in smaller number."""


def run(
    trees: Sequence[Path],
    requests: Sequence[EmbeddingRequest],
    cache: Path,
    options: RunOptions,
    *,
    progress: bool = True,
) -> ExtractSummary:
    """Bring every requested embedding up to date with the frames of `trees`.

    Nothing is computed twice: videos that the stores hold as they are now are left alone, and an
    interrupted video goes on where it was.

    Args:
        trees: folders of `<video>/00001.jpg`; one set of videos.
        requests: the embeddings, all made in one decode pass.
        cache: folder of the stores.
        options: how to run.
        progress: show a progress bar on stderr.

    Raises:
        AbawError: see the parts; a store that holds something else is never changed.
        InterruptedRunError: after Ctrl-C or SIGTERM, with everything computed committed.
    """
    start = time.perf_counter()
    frames = find_videos(trees, every=options.every)
    done = _Done({}, 0)
    try:
        with ExitStack() as stack:
            pool = stack.enter_context(ThreadPoolExecutor(options.n_workers, "decode"))
            jobs = plan_jobs(requests, cache, options, frames, pool, stack, progress=progress)
            if not options.dry_run:
                done = _compute(jobs, frames, pool, options, progress=progress)
                for job in jobs:
                    if job.writer and (job.name in done.lanes or _has_parts(job.path)):
                        job.writer.compact()
    except KeyboardInterrupt:
        message = "interrupted: what was committed is kept; run the same command to go on"
        raise InterruptedRunError(message) from None
    summary = ExtractSummary(
        embeddings=[_summary(job, frames, done, is_dry=options.dry_run) for job in jobs],
        n_videos=len(frames.videos),
        n_source_frames=frames.n_frames,
        n_stray=frames.n_stray,
        n_decoded=done.n_decoded,
        seconds=time.perf_counter() - start,
        is_dry=options.dry_run,
    )
    if options.on_error == "fail":
        summary.raise_for_failures()
    return summary


class _Done(NamedTuple):
    """What `_compute` did."""

    lanes: dict[str, EmbeddingLane]
    """By name of the embedding; only those that had work."""
    n_decoded: int


def _compute(
    jobs: list[Job],
    frames: FrameSet,
    pool: ThreadPoolExecutor,
    options: RunOptions,
    *,
    progress: bool,
) -> _Done:
    """Decode what any job needs, once, and give each frame to the jobs that need it."""
    lanes: list[tuple[EmbeddingLane, dict[str, Work]]] = []
    by_name: dict[str, EmbeddingLane] = {}
    for job in jobs:
        if job.writer and job.n_frames:
            by_name[job.name] = EmbeddingLane(job.loaded, job.writer, job.settings)
            lanes.append((by_name[job.name], job.works))
    if not lanes:
        return _Done({}, 0)
    works = [job.works for job in jobs]
    n_ahead = _AHEAD_BATCHES * max(lane.settings.batch_size for lane in by_name.values())
    bar = tqdm(
        total=sum(len(_positions(works, video)) for video in frames.videos),
        unit="frame",
        desc="+".join(by_name),
        disable=not progress,
        smoothing=0.05,
    )
    n_decoded = 0
    decoded = _decoded(_needed(works, frames), pool, n_ahead, 2 * options.n_workers)
    with bar, StopSignal() as stop, _threads_restored():
        for source, position, frame in decoded:
            if frame.reason and options.on_error == "fail":
                message = (
                    f"every frame must be readable with --on-error fail, but "
                    f"{source.name(position)} is not: {frame.reason}"
                )
                raise FramesError(message)
            for lane, lane_works in lanes:
                work = lane_works[source.video]
                if any(begin <= position < end for begin, end in work.ranges):
                    lane.push(Item(source, work.version, position, frame))
            n_decoded += 1
            bar.update()
            if stop.number is not None:
                decoded.close()
                _keep(list(by_name.values()))
                message = (
                    f"interrupted after {n_decoded:,} of {bar.total:,} frames: what was computed "
                    f"is kept; run the same command to go on"
                )
                raise InterruptedRunError(message, stop.number)
        for lane, _ in lanes:
            lane.finish()
    return _Done(by_name, n_decoded)


def _keep(lanes: list[EmbeddingLane]) -> None:
    for lane in lanes:
        lane.drain()
        lane.writer.flush()


@contextmanager
def _threads_restored() -> Iterator[None]:
    """Leave torch's number of threads as it was: lanes set their own."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def _has_parts(path: Path) -> bool:
    with open_store(path) as store:
        return isinstance(store, EmbeddingStore) and store.n_parts > 0


def _positions(works: list[dict[str, Work]], video: str) -> list[int]:
    """Return the positions of a video's frames that any embedding needs, rising."""
    ranges = {cut for work in works for cut in work[video].ranges}
    if len(ranges) == 1:
        return list(range(*ranges.pop()))
    return sorted({position for cut in ranges for position in range(*cut)})


def _needed(works: list[dict[str, Work]], frames: FrameSet) -> Iterator[tuple[SourceVideo, int]]:
    """Yield every (video, position) that is needed, in the order of videos and frames."""
    for video, source in frames.videos.items():
        for position in _positions(works, video):
            yield source, position


def _decoded(
    needed: Iterator[tuple[SourceVideo, int]],
    pool: ThreadPoolExecutor,
    n_most: int,
    n_least: int,
) -> Generator[tuple[SourceVideo, int, DecodedFrame]]:
    """Yield the frames in order while later ones are being decoded.

    At most `n_most` wait, fewer if they are big, but at least `n_least`, so that all threads have
    work.
    """
    waiting: deque[tuple[SourceVideo, int, Future[DecodedFrame]]] = deque()
    n_ahead = n_most
    try:
        for source, position in needed:
            future = pool.submit(read_frame, source, position)
            waiting.append((source, position, future))
            while len(waiting) >= n_ahead:
                first, place, future = waiting.popleft()
                frame = future.result()
                if frame.pixels is not None:
                    n_ahead = max(n_least, min(n_most, _AHEAD_BYTES // frame.pixels.nbytes))
                yield first, place, frame
        while waiting:
            first, place, future = waiting.popleft()
            yield first, place, future.result()
    finally:
        for _, _, future in waiting:
            future.cancel()


def _summary(job: Job, frames: FrameSet, done: _Done, *, is_dry: bool) -> EmbeddingSummary:
    """Return what was done for one embedding, from its store as it is now."""
    summary = EmbeddingSummary(
        name=job.name,
        path=job.path,
        is_random=job.loaded.provenance.get("objective") == "random",
        precision=job.settings.precision,
        works=list(job.works.values()),
    )
    lane = done.lanes.get(job.name)
    if lane is not None:
        summary.n_forward, summary.n_frames = lane.n_forward, lane.n_frames
    if job.writer is not None:
        _add_stored(summary, job.writer, frames, is_dry=is_dry)
    return summary


def _add_stored(
    summary: EmbeddingSummary, writer: StoreWriter, frames: FrameSet, *, is_dry: bool
) -> None:
    with open_store(summary.path) as store:
        if not isinstance(store, EmbeddingStore):
            return
        summary.n_absent = len(set(writer.videos) - frames.videos.keys())
        summary.failures = [item for item in store.failures if item.video in frames.videos]
        if not is_dry:
            failed = {item.video for item in summary.failures}
            summary.unreadable_videos = sorted(failed - set(store.videos))
