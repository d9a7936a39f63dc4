"""Small caches with known content: labels that follow from a latent path, features that show it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from abaw.cache import EmbeddingSpec, EmbeddingStore, LabelStore, StoreWriter, open_store
from abaw.temporal.config import RunConfig
from abaw.temporal.data.annotations import import_annotations, write_annotations

UNLABELLED = (-5.0, -5.0, -1.0, *[-1.0] * 12)
"""A row in which nothing is annotated."""


class Row(NamedTuple):
    """One annotated row."""

    video: str
    frame: int
    values: Sequence[float] = UNLABELLED
    """Valence, arousal, expression, 12 AUs."""


def spec(dim: int, **changes) -> EmbeddingSpec:
    values = {
        "backbone": "made",
        "weights": "none",
        "input_size": 8,
        "position_table": "none",
        "crop": "full",
        "interpolation": "bilinear",
        "mean": (0.0,),
        "std": (1.0,),
        "channels": "grey",
        "layer": "last",
        "pool": "none",
        "flip": "no",
        "dim": dim,
        "dtype": "float16",
    }
    return EmbeddingSpec(**(values | changes))


def write_store(
    path: Path,
    videos: Mapping[str, tuple[Sequence[int], np.ndarray]],
    objective: str = "none",
    **changes,
) -> EmbeddingStore:
    """Write a store of `video -> (frame numbers, (n, D) embeddings)` and open it."""
    dim = next(iter(videos.values()))[1].shape[1]
    with StoreWriter.open(path, spec(dim, **changes), {"objective": objective}) as writer:
        for number, (video, (frame, embedding)) in enumerate(videos.items()):
            writer.add(
                video,
                version=1,
                source_start=0,
                source_length=len(frame),
                source_total=len(frame),
                frame=np.asarray(frame, np.int32),
                embedding=np.asarray(embedding, np.float32),
                input_hash=number,
                stat_hash=number,
                precision="fp32",
            )
        writer.compact()
    store = open_store(path)
    assert isinstance(store, EmbeddingStore)
    return store


def write_label_store(cache: Path, **splits: Sequence[Row]) -> LabelStore:
    """Write `labels.h5` from the rows of each split, through annotation files; open it."""
    cache.mkdir(parents=True, exist_ok=True)
    files = {}
    for split, rows in splits.items():
        names = [f"{row.video}/{row.frame:05d}.jpg" for row in rows]
        values = None if split == "test" else np.array([row.values for row in rows], np.float64)
        files[split] = cache / f"{split}.txt"
        write_annotations(files[split], names, values)
    import_annotations(
        cache, "labels", None, *(files.get(split) for split in ("train", "val", "test")), ()
    )
    store = open_store(cache / "labels")
    assert isinstance(store, LabelStore)
    return store


def latent_path(rng: np.random.Generator, n: int, dim: int = 6) -> np.ndarray:
    """An AR(1) path (n, dim) of deviation 1."""
    path = np.empty((n, dim))
    now = rng.normal(size=dim)
    for place in range(n):
        path[place] = now
        now = 0.9 * now + (1 - 0.9**2) ** 0.5 * rng.normal(size=dim)
    return path


def annotate(latent: np.ndarray) -> np.ndarray:
    """(n, 15) values that follow from a latent path."""
    values = np.empty((len(latent), 15))
    values[:, :2] = np.round(np.tanh(0.8 * latent[:, :2]), 3)
    values[:, 2] = 4 * (latent[:, 2] > 0) + 2 * (latent[:, 3] > 0) + (latent[:, 4] > 0)
    values[:, 3:] = np.concatenate([latent, -latent], axis=1) > 0.4
    return values


def write_cache(cache: Path, seed: int = 0, n_train: int = 10, n_val: int = 4) -> Path:
    """Write labels and the embeddings `face_a` (12 wide) and `face_b` (7 wide, random weights).

    Some labels are missing, one row is twice, some listed frames have no crop in `face_b`, and
    videos differ in length.
    """
    rng = np.random.default_rng(seed)
    to_a, to_b = rng.normal(size=(6, 12)), rng.normal(size=(6, 7))
    rows: dict[str, list[Row]] = {"train": [], "val": [], "test": []}
    faces_a, faces_b = {}, {}
    for number in range(n_train + n_val + 2):
        split = "train" if number < n_train else "val" if number < n_train + n_val else "test"
        video = f"{split}/{number}"
        frame = np.cumsum(rng.integers(1, 4, size=int(rng.integers(20, 60))))
        latent = latent_path(rng, len(frame))
        values = annotate(latent)
        hidden = rng.random((len(frame), 3)) < 0.3
        values[hidden[:, 0], :2] = -5
        values[hidden[:, 1], 2] = -1
        values[hidden[:, 2], 3:] = -1
        rows[split] += [Row(video, int(f), v) for f, v in zip(frame, values, strict=True)]
        noise = rng.normal(size=(len(frame), 12))
        faces_a[video] = frame, latent @ to_a + 0.3 * noise
        seen = rng.random(len(frame)) > 0.02
        seen[0] = True
        faces_b[video] = frame[seen], (latent @ to_b + 0.3 * noise[:, :7])[seen]
    rows["val"].append(rows["val"][0])
    write_store(cache / "face_a.h5", faces_a)
    write_store(cache / "face_b.h5", faces_b, objective="random", weights="sha256:00ff")
    write_label_store(cache, **rows)
    return cache


def config(**changes) -> RunConfig:
    small = {
        "features": ("face_a", "face_b"),
        "projection": 16,
        "hidden_size": 16,
        "head_hidden": (8,),
        "epochs": 2,
        "device": "cpu",
    }
    return RunConfig(**(small | changes))
