"""Any sequence of writes and tools leaves a store that holds what plain NumPy arrays hold."""

import importlib.util
import shutil
import tempfile
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abaw.cache import (
    Failure,
    convert_store,
    export_features,
    import_features,
    merge_stores,
    open_store,
    remove_videos,
    verify_store,
)

from .conftest import Kit
from .stores import BACKEND, OTHER

pytestmark = pytest.mark.heavy

NAMES = ("0", "a", "a/b", "a/c d", "12-24-1920x1080", "día 1/левый", "x.y", "Z_left")
LAYOUTS = ["npy", "csv", *(["parquet"] if importlib.util.find_spec("pyarrow") else [])]
DIM = 3
OPERATIONS = (
    *("add", "replace", "compact", "convert", "copy as float32", "merge", "rm"),
    *("export and import",),
)


@dataclass(frozen=True)
class Video:
    """A video as plain arrays."""

    number: np.ndarray
    """(T,) of all source frames."""
    is_readable: np.ndarray
    rows: np.ndarray
    """(n, DIM) float32 of the readable ones."""
    time: np.ndarray | None
    version: int = 1

    @property
    def frame(self) -> np.ndarray:
        return self.number[self.is_readable]


@st.composite
def videos(draw) -> Video:
    """Draw a video of 1 to 12 source frames, with gaps, some of them unreadable."""
    total = draw(st.integers(1, 12))
    steps = draw(st.lists(st.integers(1, 1000), min_size=total, max_size=total))
    readable = np.array(draw(st.lists(st.booleans(), min_size=total, max_size=total)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scale = draw(st.sampled_from([1e-2, 1.0, 1e3]))
    rows = (scale * rng.normal(size=(int(readable.sum()), DIM))).astype(np.float32)
    time = np.sort(rng.random(len(rows)) * 100) if draw(st.booleans()) else None
    return Video(np.cumsum(steps).astype(np.int32), readable, rows, time)


class Model:
    """A store, and beside it what it must hold."""

    def __init__(self, folder: Path, suffix: str, dtype: str) -> None:
        self.cache = folder / "features"
        self.path = self.cache / f"mae{suffix}"
        self.spec = Kit.make_spec(dim=DIM, dtype=dtype)
        self.held: dict[str, Video] = {}

    def write(self, path: Path, name: str, video: Video, data) -> None:
        """Add a video in pieces."""
        total = len(video.number)
        cuts = data.draw(st.sets(st.integers(1, total - 1), max_size=3)) if total > 1 else set()
        edges = [0, *sorted(cuts), total]
        with Kit.open_writer(path, self.spec) as writer:
            for start, stop in pairwise(edges):
                keep = video.is_readable[start:stop]
                before = int(video.is_readable[:start].sum())
                at = slice(before, before + int(keep.sum()))
                numbers = video.number[start:stop]
                writer.add(
                    name,
                    version=video.version,
                    source_start=start,
                    source_length=stop - start,
                    source_total=total,
                    frame=numbers[keep],
                    embedding=video.rows[at],
                    failures=[Failure(name, int(n), "cannot be read") for n in numbers[~keep]],
                    input_hash=stop - start,
                    stat_hash=0,
                    precision="fp32",
                    time=None if video.time is None else video.time[at],
                )
                if data.draw(st.booleans()):
                    writer.flush()
            if data.draw(st.booleans()):
                writer.compact()

    def check(self, path: Path, dtype: str | None = None, *, is_import: bool = False) -> None:
        """Compare a store with the arrays, by every way of reading."""
        stored = self.spec.dtype
        visible = {name: video for name, video in self.held.items() if len(video.rows)}
        with open_store(path) as store:
            assert list(store) == sorted(visible)
            assert store.n_frames == sum(len(video.rows) for video in visible.values())
            for name, video in visible.items():
                record = store[name]
                rows = video.rows.astype(stored).astype(dtype or stored)
                np.testing.assert_array_equal(record.embedding, rows, strict=True)
                np.testing.assert_array_equal(record.frame, video.frame, strict=True)
                if video.time is None:
                    assert record.time is None or np.isnan(record.time).all()
                else:
                    np.testing.assert_array_equal(record.time, video.time, strict=True)
                cut = slice(1, -1)
                ((part, frame),) = store.read([name], [cut])
                np.testing.assert_array_equal(part, rows[cut], strict=True)
                np.testing.assert_array_equal(frame, video.frame[cut], strict=True)
                assert is_import or record.version == video.version
                assert is_import or record.source_total == len(video.number)
            if not is_import:
                failed = sorted((failure.video, failure.frame) for failure in store.failures)
                assert failed == sorted(
                    (name, int(n))
                    for name, video in self.held.items()
                    for n in video.number[~video.is_readable]
                )
        assert verify_store(path).is_sound

    def change(self, operation: str, data) -> None:
        """Do something to the store and to the arrays alike."""
        free = [name for name in NAMES if name not in self.held]
        if operation == "add" and free:
            name = data.draw(st.sampled_from(free))
            self.held[name] = data.draw(videos())
            self.write(self.path, name, self.held[name], data)
        elif operation == "replace" and self.held:
            name = data.draw(st.sampled_from(sorted(self.held)))
            version = self.held[name].version + 1
            self.held[name] = replace(data.draw(videos()), version=version)
            self.write(self.path, name, self.held[name], data)
        elif operation == "compact":
            with Kit.open_writer(self.path, self.spec) as writer:
                writer.compact()
        elif operation == "convert":
            self.path = convert_store(self.path, backend=BACKEND[OTHER[self.path.suffix]])
        elif operation == "copy as float32" and self.spec.dtype == "float16":
            copy = convert_store(self.path, dtype="float32", name="copy")
            self.check(copy, "float32")
            copy.unlink() if copy.is_file() else _remove(copy)
        elif operation == "merge" and free:
            name = data.draw(st.sampled_from(free))
            video = data.draw(videos())
            other = self.cache.parent / f"other-{name.encode().hex()}" / self.path.name
            self.write(other, name, video, data)
            self.held[name] = video
            merge_stores([other], self.path)
            _remove(other.parent)
        elif operation == "rm" and any(len(video.rows) for video in self.held.values()):
            seen = sorted(name for name, video in self.held.items() if len(video.rows))
            name = data.draw(st.sampled_from(seen))
            del self.held[name]
            remove_videos(self.path, [name])
        elif operation == "export and import" and any(len(v.rows) for v in self.held.values()):
            self.exported(data.draw(st.sampled_from(LAYOUTS)), data)

    def exported(self, layout: str, data) -> None:
        """Export the store, import what came of it, and compare that."""
        out = self.cache.parent / "out"
        export_features(self.cache, ["mae"], out, layout)
        suffix = data.draw(st.sampled_from(sorted(BACKEND)))
        again = self.cache.parent / "again"
        summary = import_features(
            again, "mae", out / "mae", layout, store=BACKEND[suffix], dtype=self.spec.dtype
        )
        summary.raise_for_videos()
        self.check(again / f"mae{suffix}", is_import=True)
        _remove(out)
        _remove(again)


def _remove(folder: Path) -> None:

    shutil.rmtree(folder)


def tried(suffix: str, dtype: str, operations: list[str], data) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as text:
        model = Model(Path(text), suffix, dtype)
        with Kit.open_writer(model.path, model.spec):
            pass
        for operation in ["add", *operations]:
            model.change(operation, data)
            model.check(model.path)


SEQUENCES = (
    st.sampled_from(sorted(BACKEND)),
    st.sampled_from(["float16", "float32"]),
    st.lists(st.sampled_from(OPERATIONS), min_size=1, max_size=8),
    st.data(),
)


@settings(max_examples=15, deadline=None)
@given(*SEQUENCES)
def test_a_store_holds_what_plain_arrays_hold(suffix, dtype, operations, data):
    tried(suffix, dtype, operations, data)


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(*SEQUENCES)
def test_a_store_holds_what_plain_arrays_hold_in_500_sequences(suffix, dtype, operations, data):
    tried(suffix, dtype, operations, data)
