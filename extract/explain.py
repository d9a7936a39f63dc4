"""Why a video would be computed again: which part of its identity differs."""

from typing import Any, Final

from .plan import Job

_PART: Final = {
    "backbone": "backbone",
    "weights": "weights",
    "position_table": "weights",
    "input_size": "preprocessing",
    "crop": "preprocessing",
    "interpolation": "preprocessing",
    "mean": "preprocessing",
    "std": "preprocessing",
    "channels": "preprocessing",
    "flip": "preprocessing",
    "layer": "layer",
    "pool": "layer",
    "dim": "layer",
    "dtype": "stored type",
    "version": "format",
}
_PROVENANCE: Final = ("weights_source", "objective", "licence", "weights_file_sha256")
_SHOWN: Final = 60


def differing_parts(job: Job) -> list[str]:
    """Return which parts of the embedding's identity differ from the store's, each once."""
    parts = [_PART.get(name.split(".")[0], "options") for name, _, _ in job.differences]
    return list(dict.fromkeys(parts))


def explain_job(job: Job) -> list[str]:
    """Return what a dry run says of one embedding: identity, provenance, then every video."""
    lines = []
    for name, stored, asked in job.differences:
        part = _PART.get(name.split(".")[0], "options")
        lines.append(f"  {part} differs: {name} is {stored!r} in the store, {asked!r} asked for")
    if job.differences:
        lines.append(
            f"  a run would be refused: give it another --name, or remove {job.path} to replace it"
        )
    if job.stored is not None:
        lines += _provenance(job)
    parts = ", ".join(differing_parts(job))
    for video, work in job.works.items():
        if parts:
            stored_as = job.stored.precisions if job.stored else {}
            why = f"stale: {parts}" if video in stored_as else "new, and refused with the others"
        elif work.ranges:
            why = f"{work.n_frames} frames, {work.reason}"
        else:
            why = "current" + _other_precision(job, video)
        lines.append(f"  {video}: {why}")
    return lines


def _other_precision(job: Job, video: str) -> str:
    """Return a note if a video was computed in another precision than this run's."""
    stored = job.stored.precisions.get(video, "") if job.stored else ""
    mine = job.settings.precision
    return f", computed in {stored} (this run: {mine})" if stored not in {"", mine} else ""


def _provenance(job: Job) -> list[str]:
    """Return where the weights came from, then and now, where that differs."""
    stored: dict[str, Any] = job.stored.provenance if job.stored else {}
    lines = []
    for key in _PROVENANCE:
        then, now = stored.get(key), job.loaded.provenance.get(key)
        if then != now:
            lines.append(
                f"  provenance (never compared): {key} is {str(then)[:_SHOWN]} in the store, "
                f"{str(now)[:_SHOWN]} now"
            )
    return lines
