"""Stores that earlier versions wrote are read as they were meant, for ever.

`tests/archives/make.py` wrote them, once for each format version.
"""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from abaw.cache import Failure, FormatVersionError, convert_store, open_store, verify_store
from abaw.cache.locate import find_store

ARCHIVES = Path(__file__).parents[1] / "archives"


@pytest.fixture(params=["h5", "zarr"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    with zipfile.ZipFile(ARCHIVES / "v1" / f"{request.param}.zip") as packed:
        packed.extractall(tmp_path)
    return tmp_path


def rows(n: int, first: int) -> np.ndarray:
    return ((np.arange(n * 3).reshape(n, 3) + first) / 8).astype(np.float16)


def assert_is_the_archive(path: Path) -> None:
    with open_store(path) as store:
        assert list(store) == ["clip/left", "later", "übung"]
        left, later, third = (store[video] for video in store)
        np.testing.assert_array_equal(left.embedding, rows(3, 0), strict=True)
        np.testing.assert_array_equal(left.frame, np.array([1, 2, 7], np.int32), strict=True)
        np.testing.assert_array_equal(left.time, [0.0, 0.04, 0.24])
        np.testing.assert_array_equal(later.embedding, rows(1, 200), strict=True)
        np.testing.assert_array_equal(third.embedding, rows(2, 100), strict=True)
        assert (later.time, third.time) == (None, None)
        assert left.input_hash == (1 << 100) + 5
        assert (left.source_total, left.precision, left.version) == (4, "fp32", 1)
        assert store.failures == [Failure("clip/left", 5, "not a JPEG, PNG or WebP image")]
        assert store.spec.options == {"min_side": 4}
        assert store.provenance == {"objective": "random", "note": "archive"}
        assert store.run_settings == {"precision": "fp32"}


def test_a_store_of_version_1_is_read(archive: Path):
    assert_is_the_archive(archive / "tiny")
    assert open_store(archive / "tiny").n_parts == 1
    assert verify_store(archive / "tiny").problems == []


def test_a_store_of_version_1_is_written_again_without_loss(archive: Path):
    backend, _ = find_store(archive / "tiny")
    convert_store(archive / "tiny", backend="zarr" if backend.name == "hdf5" else "hdf5")
    assert_is_the_archive(archive / "tiny")


def test_labels_of_version_1_are_read(archive: Path):
    store = open_store(archive / "labels")
    record = store["clip/left"]
    np.testing.assert_array_equal(record.values["valence"], np.array([0.5, 0, -1], np.float32))
    np.testing.assert_array_equal(record.is_labelled["expression"], [True, True, False])
    assert store.table.row_path[2] == "clip/left/00002.jpg"
    assert store.videos_of("val") == ("clip/left",)
    assert verify_store(archive / "labels").problems == []


def test_a_newer_version_is_refused(archive: Path):
    root = archive / "tiny.zarr" / "zarr.json"
    if not root.exists():
        pytest.skip("HDF5 takes the same way, tests/cache/test_corruption.py")
    node = json.loads(root.read_text())
    node["attributes"]["format_version"] = 2
    root.write_text(json.dumps(node))
    with pytest.raises(FormatVersionError, match=r"has format version 2, .*update abaw"):
        open_store(archive / "tiny")
