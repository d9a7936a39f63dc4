"""Caches whose tasks depend on each other by a known rule, or not at all.

Every video has slow latent paths z (AR(1), deviation 1), an own one a label:

AU k             |z_k| > 0.674: either end of a path, so half of the frames     (12 paths)
arousal          tanh(1.2 z), a path of its own                                 (1 path)

`known`: AU > expression > valence
  expression     three bits: AU1, AU6, AU12
  valence        0.9 * a value of the expression (not a smooth one) + a path of its own that
                 nothing shows, of deviation 0.15
  The embedding shows the 13 paths of AUs and arousal only.
`independent`
  expression     three bits, each either end of a path of its own               (3 paths)
  valence        tanh(1.2 z), a path of its own                                 (1 path)
  The embedding shows all 17 paths.

Each path is shown by 2 dimensions of its own, with noise. In both sets, training frames are
annotated by the same rule: AUs and arousal all, expression a part of them, valence a part of
those, in stretches; validation frames all.

No weighted sum of the embedding tells which half of a path's values an AU is, so a network needs
many labels for it. AUs have them, an expression has too few: it gains from what AUs have learnt,
and valence, with fewer still and the less smooth rule, from what the expression has.
"""

from pathlib import Path
from typing import Final, Literal

import numpy as np

from abaw.core.tasks import AUS, N_AUS

from .made import Row, write_label_store, write_store

Kind = Literal["known", "independent"]
OF_EXPRESSION: Final = [AUS.index(name) for name in ("AU1", "AU6", "AU12")]
VALUE_OF_EXPRESSION: Final = np.array([0.1, -0.9, 0.7, -0.3, 0.9, -0.6, 0.4, -0.1])
SMALL: Final = (
    "projection=64",
    "hidden_size=32",
    "head_hidden=32",
    "label_width=16",
    "dropout=0.1",
    "input_dropout=0.05",
    "learning_rate=8e-3",
    "epochs=24",
    "batch_size=16",
    "smoothing=none",
    "tune_thresholds=false",
    "save_every=0",
    "device=cpu",
)
"""Settings of networks that learn these sets in a few seconds."""
HALF: Final = 0.674
"""|z| is above it in half of the frames."""
STRETCH: Final = 10
"""Frames that are annotated together."""


def paths(rng: np.random.Generator, n: int, dim: int, slow: float = 0.95) -> np.ndarray:
    """AR(1) paths (n, dim) of deviation 1."""
    found = np.empty((n, dim))
    now = rng.normal(size=dim)
    for place in range(n):
        found[place] = now
        now = slow * now + (1 - slow**2) ** 0.5 * rng.normal(size=dim)
    return found


def labels_and_latents(
    kind: Kind, rng: np.random.Generator, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """(n, 15) valence, arousal, expression, AUs; (n, K) the paths that an embedding shows."""
    z = paths(rng, n, N_AUS)
    arousal = paths(rng, n, 1)
    au = np.abs(z) > HALF
    values = np.empty((n, 3 + N_AUS))
    values[:, 3:] = au
    values[:, 1] = np.tanh(1.2 * arousal[:, 0])
    if kind == "known":
        bits = au[:, OF_EXPRESSION]
        shown = np.concatenate([z, arousal], axis=1)
    else:
        own = paths(rng, n, 4)
        bits = np.abs(own[:, :3]) > HALF
        shown = np.concatenate([z, arousal, own], axis=1)
    expression = bits @ np.array([4, 2, 1])
    values[:, 2] = expression
    if kind == "known":
        noise = 0.15 * paths(rng, n, 1)[:, 0]
        values[:, 0] = 0.9 * VALUE_OF_EXPRESSION[expression] + noise
    else:
        values[:, 0] = np.tanh(1.2 * shown[:, -1])
    values[:, :2] = values[:, :2].clip(-1, 1).round(3)
    return values, shown


def write_tasks(
    cache: Path,
    kind: Kind,
    seed: int = 0,
    *,
    n_train: int = 60,
    n_val: int = 40,
    n: int = 120,
    expression_share: float = 0.2,
    valence_share: float = 0.05,
    noise: float = 0.1,
    n_other: int = 10,
) -> Path:
    """Write the labels and the embedding `face`.

    Args:
        cache: folder to write.
        kind: which rule.
        seed: draws everything.
        n_train: videos to learn from.
        n_val: videos to judge on, each a recording.
        n: frames of a video.
        expression_share: share of the training frames whose expression is annotated.
        valence_share: share of the training frames whose valence is, too.
        noise: deviation of what hides the paths.
        n_other: dimensions that show paths of no task.
    """
    rng = np.random.default_rng(seed)
    rows: dict[str, list[Row]] = {"train": [], "val": []}
    faces = {}
    for number in range(n_train + n_val):
        split = "train" if number < n_train else "val"
        values, shown = labels_and_latents(kind, rng, n)
        faces[f"{split}/{number}"] = (
            np.arange(1, n + 1),
            np.concatenate(
                [
                    np.tile(shown, 2) + noise * rng.normal(size=(n, 2 * shown.shape[1])),
                    paths(rng, n, n_other),
                ],
                axis=1,
            ),
        )
        if split == "train":
            drawn = np.repeat(rng.random(-(-n // STRETCH)), STRETCH)[:n]
            values[drawn >= expression_share, 2] = -1
            values[drawn >= valence_share, :1] = -5
        rows[split] += [
            Row(f"{split}/{number}", frame, row)
            for frame, row in enumerate(values.tolist(), start=1)
        ]
    write_store(cache / "face.h5", faces)
    write_label_store(cache, **rows)
    return cache
