"""From a trained network to predictions for the frames that a split lists."""

import numpy as np
import torch

from .data.dataset import Segment, SequenceDataset
from .nets.frameworks import Framework
from .predictions import PredictionTable

_MAX_FRAMES = 4096
"""Longest piece that a causal network gets at once; its state is carried over to the next."""
_LEAST_PROBABILITY = 0.5


@torch.inference_mode()
def predict_sequences(
    network: Framework, dataset: SequenceDataset, device: torch.device
) -> PredictionTable:
    """Return predictions for every listed frame; one whose frame was dropped gets the nearest's.

    Each time line is run by itself and whole, so nothing depends on what else is predicted.
    Valence and arousal are clipped to [-1, 1]; an AU is present from a probability of 0.5.
    """
    network.eval()
    videos: list[str] = []
    columns: dict[str, list[np.ndarray]] = {
        name: [] for name in ("frame", "valence", "arousal", "expression", "au")
    }
    for number, line in enumerate(dataset.lines):
        outputs = _outputs(network, dataset, number, len(line), device)
        place = line.nearest(line.asked)
        videos += [line.video] * len(place)
        columns["frame"].append(line.asked)
        for name, output in outputs.items():
            columns[name].append(output[place])
    if not videos:
        return _table([], {name: np.empty((0,)) for name in columns})
    return _table(videos, {name: np.concatenate(blocks) for name, blocks in columns.items()})


def _outputs(
    network: Framework, dataset: SequenceDataset, number: int, length: int, device: torch.device
) -> dict[str, np.ndarray]:
    """Return raw outputs for one whole time line, task -> (T, …)."""
    step = _MAX_FRAMES if network.is_causal else length
    state, pieces = None, []
    for start in range(0, length, step):
        segment = Segment(number, start, min(start + step, length))
        # A copy: where a view begins in memory changes the last bit of a matrix product, and so
        # would what else is predicted.
        features = dataset.features(segment)[None].to(device, copy=True)  # (1, T, F)
        is_frame = torch.ones(features.shape[:2], dtype=torch.bool, device=device)
        output, state = network(features, is_frame, state)
        pieces.append(output)
    return {task: torch.cat([p[task] for p in pieces], 1)[0].cpu().numpy() for task in pieces[0]}


def _table(videos: list[str], columns: dict[str, np.ndarray]) -> PredictionTable:
    if not videos:
        columns = columns | {"expression": np.empty((0, 8)), "au": np.empty((0, 12))}
    logits = columns["expression"].astype(np.float64)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True)) if len(logits) else logits
    p_expression = odds / odds.sum(axis=1, keepdims=True)
    p_au = 1 / (1 + np.exp(-columns["au"].astype(np.float64)))
    return PredictionTable(
        video=videos,
        frame=columns["frame"].astype(np.int32),
        valence=columns["valence"].astype(np.float32).clip(-1, 1),
        arousal=columns["arousal"].astype(np.float32).clip(-1, 1),
        expression=logits.argmax(axis=1).astype(np.int8),
        au=(p_au >= _LEAST_PROBABILITY).astype(np.int8),
        p_expression=p_expression.astype(np.float32),
        p_au=p_au.astype(np.float32),
    )
