"""From a trained network to predictions for the frames that a split lists."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.device import Precision, autocast
from ..core.tasks import N_AUS, N_EXPRESSIONS, TASK_WIDTH, Task
from .data.dataset import Plan, Segment, SequenceDataset
from .data.segments import windows
from .nets.frameworks import Framework
from .nets.state import State, selected
from .predictions import PredictionTable
from .settings.training import TrainingSettings

_STREAM_FRAMES: Final = 256
"""Frames that a causal network gets of a video at once; its state is carried over to the next."""
_BATCH_FRAMES: Final = 8192
"""About as many frames are computed together."""
_LEAST_PROBABILITY: Final = 0.5

Sums = dict[Task, torch.Tensor]
"""Task -> (N + 1, C) outputs of all frames of a dataset; the last row is that of padding."""


@torch.no_grad()  # not inference mode, in which autocast casts weights anew for every operation
def predict_sequences(
    network: Framework,
    dataset: SequenceDataset,
    settings: TrainingSettings,
    precision: Precision = "fp32",
) -> PredictionTable:
    """Return predictions for every listed frame; one whose frame was dropped gets the nearest's.

    A network that sees only what came before streams whole videos. Any other sees windows that
    overlap, and the outputs of a frame (values and logits) are averaged. Valence and arousal are
    clipped to [-1, 1]; an AU is present from a probability of 0.5.

    What is predicted for a video depends on nothing else, but for the last digits: a processor
    may add up a product of other sizes in another order.
    """
    network.eval()
    if not dataset.lines:
        return _table(network.tasks, [], np.empty(0, np.int32), {})
    with autocast(dataset.device, precision):
        means = (_streamed if network.is_causal else _windowed)(network, dataset, settings)
    videos: list[str] = []
    places = []
    for first, line in zip(dataset.first, dataset.lines, strict=True):
        places.append(first + line.nearest(line.asked))
        videos += [line.video] * len(line.asked)
    chosen = torch.from_numpy(np.concatenate(places)).to(dataset.device)
    found = {task: mean.index_select(0, chosen).cpu().numpy() for task, mean in means.items()}
    frame = np.concatenate([line.asked for line in dataset.lines])
    return _table(network.tasks, videos, frame, found)


def _streamed(network: Framework, dataset: SequenceDataset, settings: TrainingSettings) -> Sums:
    """Return the outputs of a causal network: videos of like length stream side by side."""
    means = _zeros(network, dataset)
    length = np.array([len(line) for line in dataset.lines])
    order = np.argsort(-length, kind="stable")
    for group in _cut(order.tolist(), max(1, _BATCH_FRAMES // _STREAM_FRAMES)):
        state: State = None
        lines = group
        for start in range(0, int(length[group[0]]), _STREAM_FRAMES):
            # The longest come first, so those that have not ended are the first rows.
            alive = [line for line in lines if length[line] > start]
            if len(alive) < len(lines):
                state = selected(state, torch.arange(len(alive), device=dataset.device))
                lines = alive
            cuts = [
                Segment(line, start, min(start + _STREAM_FRAMES, int(length[line])))
                for line in lines
            ]
            state = _add(network, dataset, dataset.plan(cuts), means, state)
    return means


def _windowed(network: Framework, dataset: SequenceDataset, settings: TrainingSettings) -> Sums:
    """Return the mean outputs of overlapping windows."""
    sums = _zeros(network, dataset)
    size = settings.prediction_length or settings.segment_length
    stride = max(1, round(size * (1 - settings.overlap)))
    n_phases = -(-size // stride)
    count = np.zeros(dataset.padding + 1, np.float32)
    phases: list[list[Segment]] = [[] for _ in range(n_phases)]
    for line, first in enumerate(dataset.first):
        for number, (start, stop) in enumerate(windows(len(dataset.lines[line]), size, stride)):
            # Windows of one phase share no frame, so their outputs can be added at once.
            phases[number % n_phases].append(Segment(line, start, stop))
            count[first + start : first + stop] += 1
    for segments in phases:
        segments.sort(key=lambda segment: segment.start - segment.stop)
        for batch in _cut(segments, max(1, _BATCH_FRAMES // size)):
            _add(network, dataset, dataset.plan(batch), sums, None)
    divisor = torch.from_numpy(count.clip(1)).to(dataset.device)[:, None]
    return {task: total / divisor for task, total in sums.items()}


def _zeros(network: Framework, dataset: SequenceDataset) -> Sums:
    return {
        task: torch.zeros(dataset.padding + 1, TASK_WIDTH[task], device=dataset.device)
        for task in network.tasks
    }


def _add(
    network: Framework, dataset: SequenceDataset, plan: Plan, sums: Sums, state: State
) -> State:
    """Add the outputs of segments that share no frame to the sums, and return the state."""
    rows = plan.rows.flatten()
    is_frame = plan.rows != dataset.padding
    if network.is_causal:  # what pads a video's end comes after all that is asked for
        is_frame = torch.ones_like(is_frame)
    if network.config.oracle:
        batch = dataset.batch(plan)
        outputs, state = network(batch.features, is_frame, state, batch.labels)
    else:
        outputs, state = network(dataset.features(plan), is_frame, state)
    for task, output in outputs.items():
        own = output.float().reshape(len(rows), -1)
        # Not `index_add_`: CUDA adds up in any order, and rows but the padding are there once.
        sums[task][rows] = sums[task].index_select(0, rows) + own
    return state


def _cut(items: Sequence[Any], size: int) -> Iterator[Any]:
    for first in range(0, len(items), size):
        yield items[first : first + size]


def _table(
    tasks: Sequence[Task],
    videos: list[str],
    frame: NDArray[np.int32],
    outputs: dict[Task, NDArray[np.float32]],
) -> PredictionTable:
    """Return outputs (n, C) as a table; a task that is not predicted gets 0."""
    n = len(videos)
    empty = {task: np.zeros((n, TASK_WIDTH[task]), np.float32) for task in TASK_WIDTH}
    found = empty | outputs
    logits = found["expression"].astype(np.float64).reshape(n, N_EXPRESSIONS)
    odds = np.exp(logits - logits.max(axis=1, initial=-np.inf, keepdims=True))
    p_expression = odds / odds.sum(axis=1, keepdims=True)
    p_au = 1 / (1 + np.exp(-found["au"].astype(np.float64).reshape(n, N_AUS)))
    is_there = {task: task in tasks for task in TASK_WIDTH}
    return PredictionTable(
        video=videos,
        frame=frame.astype(np.int32),
        valence=found["valence"].reshape(n).clip(-1, 1),
        arousal=found["arousal"].reshape(n).clip(-1, 1),
        expression=logits.argmax(axis=1).astype(np.int8),
        au=((p_au >= _LEAST_PROBABILITY) & is_there["au"]).astype(np.int8),
        p_expression=(p_expression * is_there["expression"]).astype(np.float32),
        p_au=(p_au * is_there["au"]).astype(np.float32),
        tasks=frozenset(tasks),
    )
