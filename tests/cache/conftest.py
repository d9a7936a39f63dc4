"""Small stores with known content, on both backends."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from abaw.cache import EmbeddingSpec, Failure, StoreWriter, open_store

DIM = 5


def make_spec(**changes):
    """Return a spec of `DIM` float16 numbers, with `changes`."""
    values = {
        "backbone": "tiny",
        "weights": "sha256:00ff",
        "input_size": 8,
        "position_table": "none",
        "crop": "full",
        "interpolation": "bilinear",
        "mean": (0.5, 0.5, 0.5),
        "std": (0.25, 0.25, 0.25),
        "channels": "rgb",
        "layer": "last",
        "pool": "cls",
        "flip": "no",
        "dim": DIM,
        "dtype": "float16",
    }
    return EmbeddingSpec(**(values | changes))


@dataclass(frozen=True)
class Source:
    """A video as a test knows it: source frames, some of them unreadable."""

    video: str
    number: np.ndarray
    is_readable: np.ndarray
    embedding: np.ndarray
    frame_hash: list[int] = field(repr=False)

    @property
    def total(self):
        """Number of source frames."""
        return len(self.number)

    @property
    def frame(self):
        """Frame numbers that have an embedding."""
        return self.number[self.is_readable]

    @property
    def rows(self):
        """What the store must return, before it is cast."""
        return self.embedding[self.is_readable]

    def hash(self, start=0, stop=None):
        """Return the hash of a range of source frames."""
        return sum(self.frame_hash[start:stop]) % 2**128

    def piece(self, start, stop, version=1, precision="fp32"):
        """Return the arguments of `StoreWriter.add` for a range of source frames."""
        cut = slice(start, stop)
        keep = self.is_readable[cut]
        return {
            "version": version,
            "source_start": start,
            "source_length": stop - start,
            "source_total": self.total,
            "frame": self.number[cut][keep],
            "embedding": self.embedding[cut][keep],
            "failures": [
                Failure(self.video, int(number), f"cannot read frame {number}")
                for number in self.number[cut][~keep]
            ],
            "input_hash": self.hash(start, stop),
            "stat_hash": 3 * self.hash(start, stop) % 2**128,
            "precision": precision,
        }


def make_source(video, total, seed=0, unreadable=()):
    """Return a video of `total` source frames with gaps in its numbers."""
    rng = np.random.default_rng([seed, *video.encode()])
    is_readable = np.ones(total, bool)
    is_readable[list(unreadable)] = False
    number = np.cumsum(rng.integers(1, 4, total)).astype(np.int32)
    return Source(
        video,
        number,
        is_readable,
        rng.normal(size=(total, DIM)).astype(np.float32),
        [
            int.from_bytes(hashlib.blake2b(f"{seed} {video} {n}".encode()).digest()[:16])
            for n in range(total)
        ],
    )


def add_whole(writer, source, version=1):
    """Add all of a video at once."""
    writer.add(source.video, **source.piece(0, source.total, version))


def assert_holds(store, source):
    """Assert that a video comes back bit for bit as it was added."""
    record = store[source.video]
    expected = source.rows.astype(store.dtype)
    np.testing.assert_array_equal(record.embedding, expected, strict=True)
    np.testing.assert_array_equal(record.frame, source.frame, strict=True)
    assert record.source_total == source.total
    assert record.input_hash == source.hash()


def snapshot(path):
    """Return every element and attribute of a compacted store, as bytes."""
    with open_store(path) as store:
        assert store.n_parts == 0
        (tree,) = store._trees
        found = {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in tree.arrays.items()}
        for name, rows in tree.rows.items():
            whole = rows[0 : rows.shape[0]]
            found[name] = (whole.dtype.str, whole.shape, whole.tobytes())
        return found | {f"@{name}": value for name, value in tree.attributes.items()}


class Kit:
    """The helpers above, for tests: they cannot import their conftest."""

    DIM = DIM
    make_spec = staticmethod(make_spec)
    make_source = staticmethod(make_source)
    add_whole = staticmethod(add_whole)
    assert_holds = staticmethod(assert_holds)
    snapshot = staticmethod(snapshot)

    @staticmethod
    def open_writer(path, spec=None, **options):
        """Return a writer that commits only when told to."""
        provenance = {"objective": "random", "source": "test"}
        options = {"run_settings": {"precision": "fp32"}, "commit_every": 1e9} | options
        return StoreWriter.open(path, spec or make_spec(), provenance, **options)


@pytest.fixture(scope="session")
def kit():
    return Kit


ZARR = pytest.param(".zarr", marks=pytest.mark.heavy)
"""A Zarr tree is eighty small files: `make check` leaves these out, `make test` runs them all."""


@pytest.fixture(params=[".h5", ZARR], ids=["h5", "zarr"])
def suffix(request) -> str:
    return request.param


@pytest.fixture
def path(suffix: str) -> Iterator[Path]:
    """Where a store of either backend may be made: in memory if the system has a place there.

    A kill leaves the same files on a disk and in memory; on a disk, most of the time goes to fsync.
    """
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder) / "features" / f"mae{suffix}"
