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
        start, n_frames, n_warm, warming = time.perf_counter(), 0, 0, 0.0
        for source, position, frame in timed(stream, meter):
            n_forward = sum(lane.n_forward for lane in lanes)
            for lane in lanes:
                lane.push(source, position, frame)
            n_frames += 1
            if n_forward == sum(lane.n_forward for lane in lanes):
                continue  # looked at when a batch is begun: in between, frames cost nothing
            if not n_warm and all(lane.n_forward for lane in lanes):
                for lane in lanes:
                    lane.drain()
                warming = time.perf_counter() - start
                n_warm, start = n_frames, time.perf_counter()
            elif n_warm and time.perf_counter() - start >= PROBE_SECONDS:
                for lane in lanes:
                    lane.drain()
                break
        else:
            for lane in lanes:
                lane.finish()
        stream.close()
        seconds = time.perf_counter() - start
    if n_frames == n_warm:  # there was only the warming up
        return n_frames / (seconds + warming)
    return (n_frames - n_warm) / seconds


def _forget(video: str, **values: Any) -> None:  # noqa: ANN401 - as `StoreWriter.add` takes them
    """Stand for a store."""
