"""Before anything is computed: networks, stores, settings of the run, and what is to do."""

from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from PIL import features
from tqdm import tqdm

from ..cache import EmbeddingStore, StoreMissingError, StoreWriter, open_store
from ..core.device import resolve_device, resolve_precision
from ..core.errors import UsageError
from ..core.provenance import cpu_name, git_commit, now
from .backbones import LoadedBackbone, load_backbone
from .batches import BATCH_MULTIPLE, RunSettings
from .frames import FrameSet
from .options import RunOptions
from .requests import EmbeddingRequest
from .staleness import SourceHashes, Work, find_work

_BATCH_SIZE: Final = {"cpu": 16, "cuda": 128, "mps": 32}
_SUFFIX: Final = {"hdf5": ".h5", "zarr": ".zarr"}
_SILENT_SECONDS: Final = 2.0
"""Looking for changes that takes longer shows a progress bar."""


@dataclass
class Job:
    """One embedding of a run."""

    name: str
    loaded: LoadedBackbone
    path: Path
    """Of the store."""
    stored: dict[str, Any] | None
    """Run settings that the store was begun with; None if there is no store yet."""
    settings: RunSettings
    writer: StoreWriter | None = None
    """None in a dry run without a store."""
    works: dict[str, Work] = field(default_factory=dict)
    """Video -> what is to do, for every video of the trees."""

    @property
    def n_frames(self) -> int:
        """Source frames to go through."""
        return sum(work.n_frames for work in self.works.values())


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
        frames: the videos there are.
        pool: reads files whose sizes or times differ from those stored.
        stack: closes the stores.
        progress: show a bar if looking for changes takes long.

    Raises:
        AbawError: a network, a store or a setting is not as needed.
    """
    _check_distinct(requests)
    device = resolve_device(options.device)
    jobs = []
    for request in requests:
        loaded = load_backbone(request)
        path, stored = _find_store(cache, request.name, options)
        settings = _run_settings(path, stored or {}, device, options)
        jobs.append(Job(request.name, loaded, path, stored, settings))
    for job in sorted(jobs, key=lambda job: job.stored is None):
        if job.stored is not None or not options.dry_run:
            job.writer = stack.enter_context(_open_writer(job, options))
    hashes = SourceHashes(pool)
    videos = tqdm(
        frames.videos.values(),
        desc="looking for changes",
        unit="video",
        delay=_SILENT_SECONDS,
        leave=False,
        disable=not progress,
    )
    for source in videos:
        for job in jobs:
            state = job.writer.state(source.video) if job.writer else None
            job.works[source.video] = find_work(state, source, hashes)
    for job in jobs:
        if job.n_frames and job.stored is not None:
            _check_is_fast(job, device, options)
    return jobs


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


def _find_store(cache: Path, name: str, options: RunOptions) -> tuple[Path, dict[str, Any] | None]:
    """Return where a store is, or will be, and the run settings it was begun with."""
    try:
        with open_store(cache / name) as store:
            settings = store.run_settings if isinstance(store, EmbeddingStore) else {}
            return store.path, settings
    except StoreMissingError:
        return cache / f"{name}{_SUFFIX[options.store]}", None


def _run_settings(
    path: Path, stored: dict[str, Any], device: torch.device, options: RunOptions
) -> RunSettings:
    """Return the settings a store was begun with, unless others are asked for."""
    text = options.precision
    precision = resolve_precision(
        stored.get("precision", "auto") if text == "auto" else text, device
    )
    begun = stored.get("precision", precision)
    if precision != begun and not options.allow_precision:
        message = (
            f"{path} was begun in {begun}, but {precision} was asked for; leave --precision out, "
            f"or add --allow-precision to have both in one store"
        )
        raise UsageError(message)
    default = stored.get("batch_size", _BATCH_SIZE.get(device.type, BATCH_MULTIPLE))
    batch_size = int(options.batch_size or default)
    return RunSettings(
        device=str(device),
        precision=precision,
        batch_size=-(-batch_size // BATCH_MULTIPLE) * BATCH_MULTIPLE,
        threads=int(stored.get("threads", torch.get_num_threads())),
    )


def _check_is_fast(job: Job, device: torch.device, options: RunOptions) -> None:
    """Refuse to go on silently in a precision that another kind of device was fast at."""
    begun_on = torch.device((job.stored or {}).get("device", str(device)))
    if options.precision != "auto" or begun_on.type == device.type:
        return
    fast = resolve_precision("auto", device)
    if job.settings.precision not in {"fp32", fast}:
        message = (
            f"{job.path} was begun in {job.settings.precision} on {begun_on.type}, but {device} is "
            f"fast in {fast}; add --precision {fast} --allow-precision to have both in one store, "
            f"or --precision {job.settings.precision} to go on as it was begun, slowly"
        )
        raise UsageError(message)


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
    job.path.parent.mkdir(parents=True, exist_ok=True)
    return StoreWriter.open(
        job.path,
        job.loaded.spec,
        {**job.loaded.provenance, **made_by},
        run_settings=vars(job.settings),
        commit_every=options.commit_every,
    )
