"""Predictions with known faults, and the annotations that they are of."""

from collections.abc import Sequence

import numpy as np

from abaw.temporal.metrics import AffectRows, LabelMasks
from abaw.temporal.predictions import PredictionTable
from abaw.temporal.score import RowLabels

from .made import annotate, latent_path


def truth_of(
    seed: int = 0, videos: Sequence[str] = tuple("abcdef"), n: int = 120, missing: float = 0.2
) -> RowLabels:
    """Annotations that follow slow paths, on irregular frame numbers; a share is missing."""
    rng = np.random.default_rng(seed)
    keys, values = [], []
    for video in videos:
        frame = np.cumsum(rng.integers(1, 4, size=n))
        keys += [(video, int(number)) for number in frame]
        values.append(annotate(latent_path(rng, n)))
    found = np.concatenate(values)
    is_there = rng.random((len(found), 4)) >= missing
    au_is_there = is_there[:, 3:] & (rng.random((len(found), 12)) >= missing / 4)
    return RowLabels(
        keys,
        AffectRows(
            found[:, 0].astype(np.float32),
            found[:, 1].astype(np.float32),
            found[:, 2].astype(np.int8),
            found[:, 3:].astype(np.int8),
        ),
        LabelMasks(is_there[:, 0], is_there[:, 1], is_there[:, 2], au_is_there),
    )


def table_from(
    keys: Sequence[tuple[str, int]], affect: np.ndarray, expression: np.ndarray, au: np.ndarray
) -> PredictionTable:
    """A table of affect (N, 2), and logits of expressions (N, 8) and AUs (N, 12)."""
    odds = np.exp(expression - expression.max(axis=1, keepdims=True))
    p_au = (1 / (1 + np.exp(-au))).astype(np.float32)
    return PredictionTable(
        video=[video for video, _ in keys],
        frame=np.array([frame for _, frame in keys], np.int32),
        valence=affect[:, 0].astype(np.float32).clip(-1, 1),
        arousal=affect[:, 1].astype(np.float32).clip(-1, 1),
        expression=expression.argmax(axis=1).astype(np.int8),
        au=(p_au >= 0.5).astype(np.int8),
        p_expression=(odds / odds.sum(axis=1, keepdims=True)).astype(np.float32),
        p_au=p_au,
    )


def noisy(truth: RowLabels, noise: float, seed: int = 1, au_bias: float = 0.0) -> PredictionTable:
    """The truth, with independent noise on each frame; AU logits are moved by `au_bias`."""
    rng = np.random.default_rng(seed)
    n = len(truth.keys)
    labels = truth.labels
    affect = np.stack([labels.valence, labels.arousal], axis=1) + noise * rng.normal(size=(n, 2))
    is_class = labels.expression[:, None] == np.arange(8)
    expression = 2 * is_class + 3 * noise * rng.normal(size=(n, 8))
    au = 4 * (labels.au - 0.5) + 4 * noise * rng.normal(size=(n, 12)) + au_bias
    return table_from(truth.keys, affect, expression, au)


def rows_where(rows: RowLabels, is_chosen: np.ndarray) -> RowLabels:
    """Some of the annotated rows."""

    def cut(columns, kind):
        names = ("valence", "arousal", "expression", "au")
        return kind(*(getattr(columns, name)[is_chosen] for name in names))

    keys = [key for key, chosen in zip(rows.keys, is_chosen, strict=True) if chosen]
    return RowLabels(keys, cut(rows.labels, AffectRows), cut(rows.is_labelled, LabelMasks))
