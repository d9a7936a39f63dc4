"""Stage 1: every frame is decoded once, whatever number of embeddings is made of it."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ..cache import EmbeddingStore, StoreMissingError, StoreWriter, open_store
from ..core.device import resolve_device, resolve_precision
from ..core.errors import AbawError, UsageError
from .backbones import LoadedBackbone, load_backbone
from .batches import EmbeddingLane, Item, RunSettings
from .errors import FramesError
from .frames import DecodedFrame, FrameSet, SourceVideo, find_videos, read_frame
from .options import RunOptions
from .requests import EmbeddingRequest
from .staleness import Work, content_hasher, find_work
from .summary import EmbeddingSummary, ExtractSummary

_BATCH_SIZE = {"cpu": 16, "cuda": 128, "mps": 32}
_SUFFIX = {"hdf5": ".h5", "zarr": ".zarr"}
_AHEAD = 4
"""Decoded frames waiting, in batches of the largest lane: bounds the memory."""


class InterruptedRunError(AbawError):
    """The user ended the run; what was computed is kept."""

    exit_code = 130


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
        InterruptedRunError: after Ctrl-C, with everything computed committed.
    """
    start = time.perf_counter()
    frames = find_videos(trees)
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(options.n_workers, "decode"))
        jobs = [_Job(request, cache, options) for request in requests]
        for job in jobs:
            job.plan(frames, pool, stack)
        if not options.dry_run:
            _compute(jobs, frames, pool, options, progress=progress)
    return ExtractSummary(
        embeddings=[job.summary(frames) for job in jobs],
        n_videos=len(frames.videos),
        n_source_frames=frames.n_frames,
        n_stray=frames.n_stray,
        seconds=time.perf_counter() - start,
        is_dry=options.dry_run,
    )


class _Job:
    """One embedding of a run: its network, store, and what is to do."""

    def __init__(self, request: EmbeddingRequest, cache: Path, options: RunOptions) -> None:
        self.request = request
        self._options = options
        self.loaded: LoadedBackbone = load_backbone(request)
        self.path, self._exists = _store_path(cache, request.name, options)
        self.works: dict[str, Work] = {}
        self.writer: StoreWriter | None = None
        self.lane: EmbeddingLane | None = None
        self._precision = ""

    def plan(self, frames: FrameSet, pool: ThreadPoolExecutor, stack: ExitStack) -> None:
        """Open the store and find out what has to be computed."""
        settings = _run_settings(self._options, self.path, self._exists)
        self._precision = settings.precision
        if self._exists or not self._options.dry_run:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            writer = StoreWriter.open(
                self.path,
                self.loaded.spec,
                self.loaded.provenance,
                run_settings=vars(settings),
                commit_every=self._options.commit_every,
            )
            self.writer = stack.enter_context(writer)
        hasher = content_hasher(pool)
        for video, source in frames.videos.items():
            state = self.writer.state(video) if self.writer else None
            self.works[video] = find_work(state, source, hasher)
        if self.writer and not self._options.dry_run and self.n_frames:
            self.lane = EmbeddingLane(self.loaded, self.writer, settings)

    @property
    def n_frames(self) -> int:
        """Source frames to go through."""
        return sum(work.n_frames for work in self.works.values())

    def summary(self, frames: FrameSet) -> EmbeddingSummary:
        """Return what was done, from the store as it is now."""
        summary = EmbeddingSummary(
            name=self.request.name,
            path=self.path,
            is_random=self.loaded.provenance.get("objective") == "random",
            precision=self._precision,
            works=list(self.works.values()),
            n_absent=0,
        )
        if self.lane:
            summary.n_forward, summary.n_frames = self.lane.n_forward, self.lane.n_frames
        if self.writer is None:
            return summary
        with open_store(self.path) as store:
            assert isinstance(store, EmbeddingStore)
            summary.n_absent = len(set(self.writer.videos) - frames.videos.keys())
            summary.n_failures = sum(item.video in frames.videos for item in store.failures)
            if not self._options.dry_run:
                failed = {item.video for item in store.failures} - set(store.videos)
                summary.unreadable_videos = sorted(failed & frames.videos.keys())
        return summary


def _store_path(cache: Path, name: str, options: RunOptions) -> tuple[Path, bool]:
    """Return where the store is, or will be, and whether it is there."""
    try:
        with open_store(cache / name) as store:
            return store.path, True
    except StoreMissingError:
        return cache / f"{name}{_SUFFIX[options.store]}", False


def _run_settings(options: RunOptions, path: Path, exists: bool) -> RunSettings:
    """Return the settings of a run: those its store was begun with, unless others are asked for."""
    device = resolve_device(options.device)
    stored: dict[str, Any] = {}
    if exists:
        with open_store(path) as store:
            stored = store.run_settings if isinstance(store, EmbeddingStore) else {}
    precision = resolve_precision(
        stored.get("precision", "auto") if options.precision == "auto" else options.precision,
        device,
    )
    begun = stored.get("precision", precision)
    if precision != begun and not options.allow_precision:
        message = (
            f"{path} was begun in {begun}, but {precision} was asked for; leave --precision out, "
            f"or add --allow-precision to have both in one store"
        )
        raise UsageError(message)
    default_batch = _BATCH_SIZE.get(device.type, 16)
    return RunSettings(
        device=str(device),
        precision=precision,
        batch_size=options.batch_size or int(stored.get("batch_size", default_batch)),
        threads=int(stored.get("threads", torch.get_num_threads())),
    )


def _compute(
    jobs: list[_Job],
    frames: FrameSet,
    pool: ThreadPoolExecutor,
    options: RunOptions,
    *,
    progress: bool,
) -> None:
    """Decode what any job needs, once, and give each frame to the jobs that need it."""
    lanes = [job for job in jobs if job.lane is not None]
    batch = max((job.lane.batch_size for job in lanes if job.lane), default=0)
    bar = tqdm(
        total=sum(job.n_frames for job in lanes),
        unit="frame",
        desc="+".join(job.request.name for job in lanes),
        disable=not progress or not lanes,
    )
    try:
        with bar:
            for source, position, frame in _decoded(_needed(lanes, frames), pool, _AHEAD * batch):
                if frame.reason and options.on_error == "fail":
                    message = (
                        f"every frame must be readable with --on-error fail, but "
                        f"{source.path(position)} is not: {frame.reason}"
                    )
                    raise FramesError(message)
                for job in lanes:
                    work = job.works[source.video]
                    if job.lane and any(a <= position < b for a, b in work.ranges):
                        job.lane.push(Item(source, work.version, position, frame))
                        bar.update()
            for job in lanes:
                if job.lane:
                    job.lane.finish()
    except KeyboardInterrupt:
        for job in lanes:
            if job.writer:
                job.writer.flush()
        message = "interrupted: what was computed is kept; run the same command to go on"
        raise InterruptedRunError(message) from None
    for job in jobs:
        if job.writer and (job.lane or _has_parts(job.path)):
            job.writer.compact()


def _has_parts(path: Path) -> bool:
    with open_store(path) as store:
        return isinstance(store, EmbeddingStore) and store.n_parts > 0


def _needed(lanes: list[_Job], frames: FrameSet) -> Iterator[tuple[SourceVideo, int]]:
    """Yield every (video, position) that a lane needs, in the order of videos and frames."""
    for video, source in frames.videos.items():
        ranges = [cut for job in lanes for cut in job.works[video].ranges]
        positions = {position for a, b in ranges for position in range(a, b)}
        for position in sorted(positions):
            yield source, position


def _decoded(
    needed: Iterator[tuple[SourceVideo, int]], pool: ThreadPoolExecutor, ahead: int
) -> Iterator[tuple[SourceVideo, int, DecodedFrame]]:
    """Yield the frames in order while up to `ahead` later ones are being decoded."""
    waiting: deque[tuple[SourceVideo, int, Future[DecodedFrame]]] = deque()
    try:
        for source, position in needed:
            number = source.frames[position].number
            future = pool.submit(read_frame, source.path(position), number)
            waiting.append((source, position, future))
            if len(waiting) >= ahead:
                yield _result(waiting)
        while waiting:
            yield _result(waiting)
    finally:
        for _, _, future in waiting:
            future.cancel()


def _result(
    waiting: "deque[tuple[SourceVideo, int, Future[DecodedFrame]]]",
) -> tuple[SourceVideo, int, DecodedFrame]:
    source, position, future = waiting.popleft()
    return source, position, future.result()
