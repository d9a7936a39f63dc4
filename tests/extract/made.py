"""Small trees of frames, and stage 1 run on them."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from abaw.cache import open_store
from abaw.extract import EmbeddingRequest, RunOptions, run

VIDEOS = {"a": 37, "b/left": 5, "b/right": 1, "c": 18}


def write_tree(tree: Path, videos: dict[str, int] = VIDEOS, size: int = 24) -> Path:
    rng = np.random.default_rng(0)
    for video, n_frames in videos.items():
        (tree / video).mkdir(parents=True)
        for number in range(1, n_frames + 1):
            low = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            Image.fromarray(low).resize((size, size)).save(tree / video / f"{number:05d}.png")
    return tree


def request(name: str, backbone: str = "denseface", weights: str = "random:0", **settings):
    return EmbeddingRequest(name=name, backbone=backbone, weights=weights, settings=settings)


THUMBNAIL = request("thumbnail", "thumbnail", "none")
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
OPTIONS = {"device": "cpu", "precision": "fp32", "batch_size": 8}


def extract(tree: Path, cache: Path, *requests: EmbeddingRequest, **options):
    trees = [tree] if isinstance(tree, Path) else tree
    flags = RunOptions(**{**OPTIONS, **options})
    return run(trees, requests or [THUMBNAIL], cache, flags, progress=False)


def arrays(path: Path) -> dict[str, np.ndarray]:
    store = open_store(path)
    return {
        f"{video}/{name}": np.array(getattr(store[video], name))
        for video in store
        for name in ("embedding", "frame")
    }


def assert_same(one: Path, two: Path) -> None:
    first, second = arrays(one), arrays(two)
    assert first.keys() == second.keys()
    assert first
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], strict=True)
