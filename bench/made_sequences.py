"""Random sequences for benchmarks of stage 2: features, labels, videos of very different length."""

import numpy as np

from abaw.core.tasks import N_AUS, N_EXPRESSIONS
from abaw.temporal.data.timeline import Timeline
from abaw.temporal.metrics import AffectRows, LabelMasks
from abaw.temporal.score import RowLabels


def made_lines(
    n_videos: int, dim: int, seed: int = 0, *, mean: float = 150, spread: float = 0.9
) -> list[Timeline]:
    """Return time lines whose lengths are log-normal; a third of the labels is missing.

    Args:
        n_videos: how many.
        dim: of the one embedding.
        seed: draws everything.
        mean: frames of a video on average.
        spread: deviation of the logarithm of a length.
    """
    rng = np.random.default_rng(seed)
    length = np.exp(rng.normal(0, spread, n_videos))
    length = np.maximum(5, length * mean / length.mean()).astype(int)
    lines = []
    for number, n in enumerate(length.tolist()):
        frame = np.arange(1, n + 1, dtype=np.int32)
        lines.append(
            Timeline(
                video=f"video{number:04d}",
                frame=frame,
                embeddings=(rng.normal(size=(n, dim)).astype(np.float16),),
                rows=(np.arange(n),),
                is_frame=np.ones((1, n), np.bool_),
                values={
                    "valence": rng.uniform(-1, 1, n).astype(np.float32),
                    "arousal": rng.uniform(-1, 1, n).astype(np.float32),
                    "expression": rng.integers(0, N_EXPRESSIONS, n).astype(np.int8),
                    "au": rng.integers(0, 2, (n, N_AUS)).astype(np.int8),
                },
                is_labelled={
                    "valence": rng.random(n) > 1 / 3,
                    "arousal": rng.random(n) > 1 / 3,
                    "expression": rng.random(n) > 1 / 3,
                    "au": rng.random((n, N_AUS)) > 1 / 3,
                },
                asked=frame,
            )
        )
    return lines


def rows_of_lines(lines: list[Timeline], *, listed: bool = False) -> RowLabels:
    """Return the labels of time lines as annotated rows; of `listed` frames, or of all.

    Frames that are not listed have no labels, so both give the same scores.
    """
    kept = [np.isin(line.frame, line.asked) | (not listed) for line in lines]

    def joined(name: str, parts: str) -> np.ndarray:
        blocks = zip(lines, kept, strict=True)
        return np.concatenate([getattr(line, parts)[name][mask] for line, mask in blocks])

    tasks = ("valence", "arousal", "expression", "au")
    return RowLabels(
        keys=[
            (line.video, int(frame))
            for line, mask in zip(lines, kept, strict=True)
            for frame in line.frame[mask]
        ],
        labels=AffectRows(*(joined(task, "values") for task in tasks)),
        is_labelled=LabelMasks(*(joined(task, "is_labelled") for task in tasks)),
    )
