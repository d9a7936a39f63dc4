"""Stage 1: brings the stores of embeddings up to date with trees of frames."""

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from ..cache import EmbeddingStore, LockedError, open_store
from .compute import Done, compute, positions
from .explain import explain_job
from .frames import FrameSet, find_videos
from .interrupt import InterruptedRunError
from .options import RunOptions
from .plan import Job, plan_jobs
from .probe import probe_rate
from .progress import ProgressBar
from .requests import EmbeddingRequest
from .shards import part_of
from .summary import EmbeddingSummary, ExtractSummary
from .workers import check_devices, compute_on_devices


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
        LockedError: a process of another host may be making the store one file; with a shard this
            is only said on stderr.
        AbawError: see the parts; a store that holds something else is never changed.
        InterruptedRunError: after Ctrl-C or SIGTERM, with everything computed committed.
    """
    start = time.perf_counter()
    check_devices(options.devices)
    frames = find_videos(trees, every=options.every)
    mine = part_of(frames, options.shard)
    done, rate = Done(), 0.0
    try:
        with ExitStack() as stack:
            pool = stack.enter_context(ThreadPoolExecutor(options.n_workers, "decode"))
            jobs = plan_jobs(requests, cache, options, mine, pool, stack, progress=progress)
            if options.dry_run:
                _note("measuring the speed", is_shown=progress and any(j.n_frames for j in jobs))
                rate = probe_rate(jobs, mine, pool, options)
            else:
                done = _computed(jobs, mine, requests, cache, options, pool, progress=progress)
                _tidy(jobs, frames, done, options)
    except KeyboardInterrupt:
        message = "interrupted: what was committed is kept; run the same command to go on"
        raise InterruptedRunError(message) from None
    summary = ExtractSummary(
        embeddings=[_summary(job, frames, mine, done, options) for job in jobs],
        n_videos=len(mine.videos),
        n_source_frames=mine.n_frames,
        n_stray=frames.n_stray,
        n_decoded=done.n_decoded,
        seconds=time.perf_counter() - start,
        is_dry=options.dry_run,
        shares=done.meter.text(),
        shard=str(options.shard or ""),
        probe_rate=rate,
        n_to_decode=sum(len(positions(jobs, video)) for video in mine.videos),
    )
    if options.on_error == "fail":
        summary.raise_for_failures()
    return summary


def _note(text: str, *, is_shown: bool) -> None:
    if is_shown:
        print(text, file=sys.stderr)


def _computed(
    jobs: list[Job],
    mine: FrameSet,
    requests: Sequence[EmbeddingRequest],
    cache: Path,
    options: RunOptions,
    pool: ThreadPoolExecutor,
    *,
    progress: bool,
) -> Done:
    """Compute what the jobs need, here or on several devices."""
    names = [job.name for job in jobs if job.n_frames]
    if not names:
        return Done()
    with ProgressBar("+".join(names), is_shown=progress) as bar:
        if options.devices:
            return compute_on_devices(jobs, mine, requests, cache, options, bar)
        return compute(jobs, mine, pool, options, bar)


def _absent(job: Job, frames: FrameSet) -> frozenset[str]:
    """Return the stored videos that are in none of the trees."""
    return frozenset(job.writer.videos if job.writer else ()) - frames.videos.keys()


def _tidy(jobs: list[Job], frames: FrameSet, done: Done, options: RunOptions) -> None:
    """Make stores that are complete one file, without the videos that `--prune` drops."""
    for job in jobs:
        if job.writer is None:
            continue
        dropped = _absent(job, frames) if options.prune else frozenset()
        job.writer.flush()
        is_last = options.shard is None or _is_complete(job, frames)
        if dropped or (is_last and (done.n_frames.get(job.name) or _has_parts(job.path))):
            _compact(job, dropped, options)


def _compact(job: Job, dropped: frozenset[str], options: RunOptions) -> None:
    """Make a store one file; of several jobs, one does it."""
    if job.writer is None:
        return
    try:
        job.writer.compact(drop=dropped, break_lock=options.break_lock)
    except LockedError as error:
        if options.shard is None:
            raise
        # All that was asked of a shard is done: its parts are committed.
        print(
            f"{job.name}: shard {options.shard} is done and readable, but stays in parts: {error}",
            file=sys.stderr,
        )


def _is_complete(job: Job, frames: FrameSet) -> bool:
    """Return whether a store holds every video of the trees: other shards have ended too."""
    with open_store(job.path) as store:
        if not isinstance(store, EmbeddingStore):
            return False
        known = set(store.videos) | {failure.video for failure in store.failures}
        return frames.videos.keys() <= known


def _has_parts(path: Path) -> bool:
    with open_store(path) as store:
        return isinstance(store, EmbeddingStore) and store.n_parts > 0


def _summary(
    job: Job, frames: FrameSet, mine: FrameSet, done: Done, options: RunOptions
) -> EmbeddingSummary:
    """Return what was done for one embedding, from its store as it is now."""
    spec = job.loaded.spec
    summary = EmbeddingSummary(
        name=job.name,
        path=job.path,
        is_random=job.loaded.provenance.get("objective") == "random",
        precision=job.settings.precision,
        works=list(job.works.values()),
        n_row_bytes=spec.dim * (2 if spec.dtype == "float16" else 4),
        n_forward=done.n_forward.get(job.name, 0),
        n_frames=done.n_frames.get(job.name, 0),
    )
    if job.writer is not None:
        _add_stored(summary, job, frames, mine, options)
    if options.dry_run:
        summary.explanation = explain_job(job)
    return summary


def _add_stored(
    summary: EmbeddingSummary, job: Job, frames: FrameSet, mine: FrameSet, options: RunOptions
) -> None:
    with open_store(summary.path) as store:
        if not isinstance(store, EmbeddingStore):
            return
        summary.failures = [item for item in store.failures if item.video in mine.videos]
        if not options.dry_run:
            failed = {item.video for item in summary.failures}
            summary.unreadable_videos = sorted(failed - set(store.videos))
    summary.n_absent = len(_absent(job, frames))
    summary.n_pruned = summary.n_absent if options.prune else 0
