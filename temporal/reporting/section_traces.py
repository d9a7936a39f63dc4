"""Valence and arousal of single videos over time: annotated, predicted, and smoothed."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...core.tasks import Task
from ..ensemble_file import NESTED_FILE
from ..metrics import ccc_score
from ..postprocess import PostProcess
from ..predictions import PredictionTable, read_predictions
from .drawing import COLOURS, INK, drawing
from .evidence import Repeat
from .parts import Html, Section, count, decimal, figure, joined, tag
from .report_data import ReportData

TITLE: Final = "Traces"
_AFFECT: Final[tuple[Task, ...]] = ("valence", "arousal")
_LEAST_ROWS: Final = 30
"""Labelled rows that a video needs to be chosen."""
_BREAK: Final = 30
"""Frame numbers without a value after which a line is broken."""

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class _Video:
    name: str
    frame: Array
    """(N,) of the labelled rows, rising."""
    truth: Array
    """(N, 2)"""
    found: Array
    """(N, 2)"""

    @property
    def ccc(self) -> tuple[float, float]:
        first, second = (ccc_score(self.truth[:, n], self.found[:, n]) for n in range(2))
        return first, second


def traces(data: ReportData) -> Section:
    """Return the traces of the videos that are asked for, or of the best, a middling and the worst.

    Raises:
        PredictionError: the best row's predictions cannot be used.
    """
    first = data.best[0]
    if not set(_AFFECT) <= first.table.tasks:
        return Section(TITLE, left_out="the best row predicts no valence and arousal")
    videos = _videos(first)
    if data.videos:
        missing = [name for name in data.videos if name not in videos]
        chosen = [videos[name] for name in data.videos if name in videos]
        why = dict.fromkeys(data.videos, "")
    else:
        missing = []
        why = choice(videos)
        chosen = [videos[name] for name in why]
    if not chosen:
        reason = f"no video has {_LEAST_ROWS} rows with valence and arousal"
        if missing:
            reason = f"{', '.join(missing)}: no rows with valence and arousal that were predicted"
        return Section(TITLE, left_out=reason)
    smoothed, how = _smoothed(first)
    parts = [
        _one(place, video, why[video.name], first, smoothed, how)
        for place, video in enumerate(chosen)
    ]
    if missing:
        parts.append(tag("p", f"Without valence and arousal here: {', '.join(missing)}."))
    return Section(TITLE, joined(parts))


def choice(videos: dict[str, _Video]) -> dict[str, str]:
    """Return the videos with the best, the median and the worst mean CCC -> why."""
    long = [video for video in videos.values() if len(video.frame) >= _LEAST_ROWS]
    ranked = [v.name for v in sorted(long, key=lambda video: (-sum(video.ccc), video.name))]
    if not ranked:
        return {}
    found = {ranked[0]: "best", ranked[len(ranked) // 2]: "median", ranked[-1]: "worst"}
    n = len(ranked)
    return {name: f"the {word} of {n} by its mean CCC" for name, word in found.items()}


def _videos(one: Repeat) -> dict[str, _Video]:
    masks = one.rows.is_labelled
    rows = np.flatnonzero(np.asarray(masks.valence) & np.asarray(masks.arousal))
    found = one.found()
    of_video: dict[str, dict[int, int]] = {}
    for row in rows.tolist():  # of a frame that is listed twice, the first
        video, frame = one.rows.keys[row]
        of_video.setdefault(video, {}).setdefault(frame, row)
    videos = {}
    for video, places in of_video.items():
        numbers = sorted(places)
        order = np.array([places[number] for number in numbers])
        truth, pred = (
            np.stack([getattr(some, name)[order] for name in _AFFECT], axis=1)
            for some in (one.rows.labels, found)
        )
        videos[video] = _Video(video, np.array(numbers), truth, pred)
    return videos


def _smoothed(one: Repeat) -> tuple[PredictionTable | None, str]:
    """Return the predictions as their run smooths them, and how; None where there is no one way."""
    entry = one.entries[0]
    stored = entry.facts.get("postprocess")
    if entry.is_ensemble:
        how = "smoothed as was fitted on other recordings"
        return read_predictions(entry.folder / NESTED_FILE), how
    if len(one.entries) > 1 or not stored:
        return None, ""
    process = PostProcess.from_dict(stored["parameters"], str(entry.folder))
    widths = f"{process.valence} and {process.arousal}"
    how = (
        f"smoothed by {process.kind} of widths {widths} in frame numbers, which were fitted on "
        f"these validation rows"
    )
    return process.apply(one.table), how


def _one(
    place: int,
    video: _Video,
    why: str,
    first: Repeat,
    smoothed: PredictionTable | None,
    how: str,
) -> Html:
    raw = "ensemble, nested" if first.entries[0].is_ensemble else "prediction"
    with drawing(
        f"trace-{place}", f"Valence and arousal of {video.name} over its frames", 900, 400,
        n_rows=2, least=700, most=1020,
    ) as under_way:  # fmt: skip
        for number, (ax, name) in enumerate(zip(under_way.axes, _AFFECT, strict=True)):
            if smoothed is not None:
                frame, values = _of_video(smoothed, video.name, name)
                ax.plot(
                    *_broken(frame, values), color=COLOURS[5], lw=4.5, alpha=0.8, label="smoothed"
                )
            frame, values = _of_video(first.table, video.name, name)
            ax.plot(*_broken(frame, values), color=COLOURS[1], lw=1.2, label=raw)
            truth = _broken(video.frame, video.truth[:, number])
            ax.plot(*truth, color=INK, lw=1.6, ls=(0, (4, 1.2)), label="annotated")
            ax.set_ylabel(name)
            ax.set_ylim(-1.05, 1.05)
            ax.set_yticks((-1, -0.5, 0, 0.5, 1))
            ax.margins(x=0.01)
        under_way.axes[-1].set_xlabel("frame number")
        handles, labels = under_way.axes[0].get_legend_handles_labels()
        under_way.figure.legend(handles[::-1], labels[::-1], loc="outside upper left", ncols=3)
    valence, arousal = (decimal(value) for value in video.ccc)
    about = f"{f' ({why})' if why else ''}, {count(len(video.frame), 'labelled row')}"
    figures = f"CCC {valence} of valence, {arousal} of arousal"
    parts = [tag("b", video.name), f"{about}: {figures}. {_about(first, how)}"]
    return figure([under_way.svg], joined(parts), wide=True)


def _about(first: Repeat, how: str) -> str:
    entry = first.entries[0]
    if len(first.entries) > 1:
        return f"Each fold's own run of seed {entry.facts['config']['seed']}."
    kind = "Nested predictions of" if entry.is_ensemble else "Run"
    return f"{kind} {entry.folder.name}{f'; {how}' if how else ''}."


def _of_video(table: PredictionTable, video: str, task: Task) -> tuple[Array, Array]:
    """Return the frame numbers, rising, and values of one video."""
    rows = np.array([place for place, name in enumerate(table.video) if name == video], np.intp)
    frame, first = np.unique(table.frame[rows], return_index=True)
    return frame, getattr(table, task)[rows[first]]


def _broken(frame: Array, values: Array) -> tuple[Array, Array]:
    """Return the points of a line that is broken where frames are missing."""
    gaps = np.flatnonzero(np.diff(frame) > _BREAK) + 1
    x = np.insert(np.asarray(frame, np.float64), gaps, np.nan)
    return x, np.insert(np.asarray(values, np.float64), gaps, np.nan)
