"""A cache of drawn numbers: one embedding and labels, of which a third is missing."""

from pathlib import Path

import numpy as np
from open_store import SPEC

from abaw.cache import EmbeddingSpec, StoreWriter
from abaw.core.tasks import N_AUS, N_EXPRESSIONS
from abaw.temporal.data.annotations import import_annotations, write_annotations

EMBEDDING = "drawn"


def write_cache(cache: Path, n_train: int, n_val: int, frames: int, dim: int) -> None:
    """Write the store `drawn` and its labels.

    Args:
        cache: folder to make.
        n_train: videos of the training split.
        n_val: videos of the validation split.
        frames: of each video.
        dim: of the embedding.
    """
    cache.mkdir(parents=True)
    rng = np.random.default_rng(0)
    spec = EmbeddingSpec(**{**vars(SPEC), "dim": dim})
    names: dict[str, list[str]] = {"train": [], "val": []}
    with StoreWriter.open(cache / f"{EMBEDDING}.h5", spec, {}, commit_every=1e9) as writer:
        for n in range(n_train + n_val):
            video = f"video{n:04d}"
            writer.add(
                video,
                version=1,
                source_start=0,
                source_length=frames,
                source_total=frames,
                frame=np.arange(1, frames + 1, dtype=np.int32),
                embedding=rng.standard_normal((frames, dim), np.float32),
                input_hash=n,
                stat_hash=n,
                precision="fp32",
            )
            split = "train" if n < n_train else "val"
            names[split] += [f"{video}/{frame:05d}.jpg" for frame in range(1, frames + 1)]
        writer.compact()
    for split, found in names.items():
        n = len(found)
        affect = rng.uniform(-1, 1, (n, 2))
        expression = rng.integers(0, N_EXPRESSIONS, (n, 1))
        row = np.concatenate([affect, expression, rng.integers(0, 2, (n, N_AUS))], axis=1)
        is_missing = rng.random((n, 3)) < 1 / 3
        row[is_missing[:, 0], :2] = -5
        row[is_missing[:, 1], 2] = -1
        row[is_missing[:, 2], 3:] = -1
        write_annotations(cache / f"{split}.txt", found, row)
    import_annotations(cache, "labels", None, cache / "train.txt", cache / "val.txt", None)
