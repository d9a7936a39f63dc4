"""Small stores, labels and foreign files with known content."""

from itertools import pairwise
from pathlib import Path

import numpy as np

from abaw.cache import (
    SPLITS,
    EmbeddingStore,
    LabelStore,
    LabelTable,
    StoreWriter,
    open_store,
    write_labels,
)

OPENFACE_HEAD = "frame, face_id, timestamp, confidence, success, gaze_0_x, AU01_r, AU12_r, AU12_c"
OPENFACE_ROWS = (
    "1, 0, 0.000, 0.98, 1, 0.125, 0.50, 1.25, 1",
    "2, 0, 0.033, 0.10, 0, 0.000, 0.00, 0.00, 0",
    "3, 0, 0.067, 0.97, 1, 0.250, nan, 1.50, 1",
    "5, 0, 0.133, 0.96, 1, 0.375, 0.75, 2.00, 0",
)
PYFEAT_HEAD = ",frame,FaceScore,AU01,AU12,anger,input,approx_time,Identity"
PYFEAT_ROWS = (
    "0,0,0.99,0.5,0.25,0.125,clip.mp4,00:00,Person_0",
    "1,1,,,,,clip.mp4,00:00,",
    "2,2,0.98,0.75,0.5,0.0625,clip.mp4,00:00,Person_0",
)


def write_text(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def write_store(path: Path, spec, videos, failures=()) -> EmbeddingStore:
    """Write `video -> (frame numbers, (n, D) embeddings, times or None)` and open the store.

    Times that are NaN are those of rows that have none.
    """
    with StoreWriter.open(path, spec, {"objective": "random"}, commit_every=1e9) as writer:
        for number, (video, (frame, embedding, time)) in enumerate(videos.items()):
            n = len(frame)
            cuts = [0, n]
            if time is not None and np.isnan(time).any():
                cuts = [0, *(np.flatnonzero(np.diff(np.isnan(time))) + 1).tolist(), n]
            for start, stop in pairwise(cuts):
                cut = slice(start, stop)
                timed = time is not None and not np.isnan(time[start])
                own = [f for f in failures if f.video == video and stop == n]
                writer.add(
                    video,
                    version=1,
                    source_start=start,
                    source_length=stop - start + len(own),
                    source_total=n + sum(f.video == video for f in failures),
                    frame=np.asarray(frame[cut], np.int32),
                    embedding=embedding[cut],
                    failures=own,
                    input_hash=number,
                    stat_hash=0,
                    precision="fp32",
                    time=time[cut] if timed else None,
                )
        writer.compact()
    store = open_store(path)
    assert isinstance(store, EmbeddingStore)
    return store


def videos_with_gaps(dim: int, seed: int = 0):
    """Return three videos: without times, with times, and with a time for some frames only."""
    rng = np.random.default_rng(seed)
    found = {}
    for number, video in enumerate(("12-24-1920x1080", "day 1/left", "day 1/right")):
        n = 7 + 3 * number
        frame = np.cumsum(rng.integers(1, 4, n))
        time = None if number == 0 else frame / 29.97
        if number == 2:
            time = np.where(np.arange(n) < 4, np.nan, time)
        found[video] = frame, rng.normal(size=(n, dim)).astype(np.float32), time
    return found


def assert_same(store: EmbeddingStore, other: EmbeddingStore) -> None:
    """Assert that two stores hold the same arrays, frames and times."""
    assert store.videos == other.videos
    for video in store:
        mine, theirs = store[video], other[video]
        np.testing.assert_array_equal(mine.embedding, theirs.embedding, strict=True)
        np.testing.assert_array_equal(mine.frame, theirs.frame, strict=True)
        assert (mine.time is None) == (theirs.time is None)
        if mine.time is not None:
            np.testing.assert_array_equal(mine.time, theirs.time, strict=True)


def write_label_store(path: Path, videos, seed: int = 0) -> LabelStore:
    """Write labels of `video -> (split, frame numbers)`, some of them missing, and open them."""
    rng = np.random.default_rng(seed)
    names = sorted(videos)
    length = np.array([len(videos[name][1]) for name in names])
    n = int(length.sum())
    values = {
        "valence": rng.uniform(-1, 1, n).astype(np.float32),
        "arousal": rng.uniform(-1, 1, n).astype(np.float32),
        "expression": rng.integers(0, 8, n).astype(np.int8),
        "au": rng.integers(0, 2, (n, 12)).astype(np.int8),
    }
    for task in tuple(values):
        is_labelled = rng.random(values[task].shape) < 0.7
        values[task][~is_labelled] = 0
        values[f"{task}_is_labelled"] = is_labelled
    splits = [videos[name][0] for name in names]
    codes = [[s] * k if isinstance(s, str) else s for s, k in zip(splits, length, strict=True)]
    values["split"] = np.array([SPLITS.index(s) for row in codes for s in row], np.int8)
    values["frame"] = np.concatenate([videos[name][1] for name in names]).astype(np.int32)
    rows = {f"row_{name}": array for name, array in values.items()}
    table = LabelTable(
        videos=tuple(names),
        start=np.cumsum(length) - length,
        length=length,
        row_path=[f"row {k}" for k in range(n)],
        row_video=np.repeat(np.arange(len(names)), length).astype(np.int32),
        meta={"sources": []},
        **values,
        **rows,
    )
    store = open_store(write_labels(path, table))
    assert isinstance(store, LabelStore)
    return store
