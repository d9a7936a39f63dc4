"""Before anything is computed: networks, stores, settings of the run, and what is to do."""

from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import features

from ..cache import EmbeddingSpec, EmbeddingStore, StoreMissingError, StoreWriter, open_store
from ..core.device import check_compiler, resolve_device
from ..core.errors import UsageError
from ..core.machine import cpu_name
from ..core.provenance import git_commit, now
from .backbones import LoadedBackbone, can_share, load_backbones
from .errors import cannot_compile
from .frames import FrameSet
from .lane import RunSettings
from .options import RunOptions
from .progress import shown
from .requests import EmbeddingRequest
from .settings import check_is_fast, run_settings
from .staleness import SourceHashes, Work, find_work

_SUFFIX = {"hdf5": ".h5", "zarr": ".zarr"}


@dataclass(frozen=True)
class StoredState:
    """What a store says of itself before a run."""

    spec: EmbeddingSpec
    provenance: dict[str, Any]
    run_settings: dict[str, Any]
    precisions: dict[str, str]
    """Video -> what it was computed in; of a dry run only."""


@dataclass
class Job:
    """One embedding of a run."""

    name: str
    loaded: LoadedBackbone
    path: Path
    """Of the store."""
    stored: StoredState | None
    """None if there is no store yet."""
    settings: RunSettings
    writer: StoreWriter | None = None
    """None in a dry run without a store, or with one of another embedding."""
    works: dict[str, Work] = field(default_factory=dict)
    """Video -> what is to do, for every video of this run."""

    @property
    def n_frames(self) -> int:
        """Source frames to go through."""
        return sum(work.n_frames for work in self.works.values())

    @property
    def differences(self) -> list[tuple[str, Any, Any]]:
        """Fields of the identity that differ: (name, in the store, asked for)."""
        return self.stored.spec.differences(self.loaded.spec) if self.stored else []


def plan_jobs(
    requests: Sequence[EmbeddingRequest],
    cache: Path,
    options: RunOptions,
    frames: FrameSet,
    pool: Executor,
    stack: ExitStack,
    *,
    progress: bool,
) -> list[Job]:
    """Return the embeddings of a run with their stores open and their work found.

    Stores that exist are checked before any new one is made: a run that is refused leaves nothing
    behind.

    Args:
        requests: the embeddings.
        cache: folder of the stores.
        options: how to run.
        frames: the videos to bring up to date.
        pool: reads files whose sizes or times differ from those stored.
        stack: closes the stores.
        progress: show a bar if looking for changes takes long.

    Raises:
        AbawError: a network, a store or a setting is not as needed.
    """
    _check_distinct(requests)
    device = resolve_device(options.devices[0] if options.devices else options.device)
    jobs = []
    for request, loaded in zip(requests, load_backbones(requests), strict=True):
        path, stored = _find_store(cache, request.name, options)
        begun = stored.run_settings if stored else {}
        settings = run_settings(path, begun, device, options, loaded.cpu_batch_sizes)
        jobs.append(Job(request.name, loaded, path, stored, settings))
    if any(job.settings.compile for job in jobs):
        check_compiler(device, cannot_compile)
    for job in sorted(jobs, key=lambda job: job.stored is None):
        if not options.dry_run or (job.stored is not None and not job.differences):
            job.writer = stack.enter_context(_open_writer(job, options))
    hashes = SourceHashes(pool)
    videos = shown(frames.videos.values(), "looking for changes", "video", is_shown=progress)
    for source in videos:
        for job in jobs:
            state = job.writer.state(source.video) if job.writer else None
            job.works[source.video] = find_work(state, source, hashes)
    for job in jobs:
        if job.n_frames and job.stored is not None and not options.dry_run:
            check_is_fast(job.path, job.settings, job.stored.run_settings, device, options)
    return jobs


def lane_groups(jobs: Sequence[Job]) -> list[list[Job]]:
    """Return the jobs with work, those together that one forward pass of one network serves."""
    groups: list[list[Job]] = []
    for job in jobs:
        if not job.n_frames:
            continue
        for group in groups:
            if can_share(group[0].loaded, job.loaded) and group[0].settings == job.settings:
                group.append(job)
                break
        else:
            groups.append([job])
    return groups


def _check_distinct(requests: Sequence[EmbeddingRequest]) -> None:
    seen: set[str] = set()
    for request in requests:
        if request.name.lower() in seen:
            message = (
                f"each embedding of a run needs a name of its own, in more than capital letters, "
                f"but {request.name!r} is there twice; rename one"
            )
            raise UsageError(message)
        seen.add(request.name.lower())


def _find_store(cache: Path, name: str, options: RunOptions) -> tuple[Path, StoredState | None]:
    """Return where a store is, or will be, and what is in it."""
    try:
        with open_store(cache / name) as store:
            if not isinstance(store, EmbeddingStore):
                message = (
                    f"{store.path} must be a store of embeddings, but holds labels; choose "
                    f"another --name"
                )
                raise UsageError(message)
            precisions = {}
            if options.dry_run:
                precisions = {video: store[video].precision for video in store}
            state = StoredState(store.spec, store.provenance, store.run_settings, precisions)
            return cache / f"{name}{_SUFFIX[store.backend]}", state
    except StoreMissingError:
        return cache / f"{name}{_SUFFIX[options.store]}", None


def _open_writer(job: Job, options: RunOptions) -> StoreWriter:
    device = torch.device(job.settings.device)
    is_cuda = device.type == "cuda"
    made_by = {
        "date": now(),
        "device": torch.cuda.get_device_name(device) if is_cuda else cpu_name(),
        "commit": git_commit(),
        "decoders": {
            name: features.version(name) for name in ("libjpeg_turbo", "jpg", "zlib", "webp")
        },
    }
    return StoreWriter.open(
        job.path,
        job.loaded.spec,
        {**job.loaded.provenance, **made_by},
        run_settings=vars(job.settings),
        commit_every=options.commit_every,
    )
