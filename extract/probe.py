"""How fast a run would be: a few seconds of it, thrown away."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from ..core.device import compute_thread
from .compute import frame_stream, timed
from .frames import FrameSet
from .lane import Lane, Outlet
from .meter import Meter
from .options import RunOptions
from .plan import Job, lane_groups
from .writing import BackgroundWriter

PROBE_SECONDS: Final = 5.0


def probe_rate(
    jobs: Sequence[Job], frames: FrameSet, pool: ThreadPoolExecutor, options: RunOptions
) -> float:
    """Return frames/s of decoding and computing what the jobs need; 0 if there is nothing to do.

    Runs the first frames for `PROBE_SECONDS` after a batch of every network that does not count,
    since the first one allocates and chooses kernels. Nothing is stored.
    """
    groups = lane_groups(jobs)
    if not groups:
        return 0.0
    meter = Meter()
    with BackgroundWriter() as background, compute_thread() as computing:
        lanes = [
            Lane(
                [job.loaded for job in group],
                [Outlet(job.name, _forget, job.works, job.loaded.spec) for job in group],
                group[0].settings,
                computing,
                background,
                meter,
            )
            for group in groups
        ]
        stream = frame_stream(jobs, frames, pool, options, lanes)
        start, n_frames, n_before = time.perf_counter(), 0, 0
        is_warm = False
        for source, position, frame in timed(stream, meter):
            n_forward = sum(lane.n_forward for lane in lanes)
            for lane in lanes:
                lane.push(source, position, frame)
            n_frames += 1
            if n_forward == sum(lane.n_forward for lane in lanes):
                continue  # looked at when a batch is done: in between, frames cost nothing
            if not is_warm and all(lane.n_forward for lane in lanes):
                is_warm, n_before, start = True, n_frames, time.perf_counter()
            elif is_warm and time.perf_counter() - start >= PROBE_SECONDS:
                break
        stream.close()
        for lane in lanes:
            lane.drain() if is_warm and n_frames > n_before else lane.finish()
        seconds = time.perf_counter() - start
    return (n_frames - n_before if is_warm and n_frames > n_before else n_frames) / seconds


def _forget(video: str, **values: Any) -> None:  # noqa: ANN401 - as `StoreWriter.add` takes them
    """Stand for a store."""
