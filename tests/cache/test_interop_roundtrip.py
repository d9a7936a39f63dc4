"""Out and in again: equal arrays, frames and times, on both backends and in every layout."""

import importlib.util

import numpy as np
import pytest

from abaw.cache import Failure, FingerprintError, export_features, import_features, open_store

from .interop_made import assert_same, videos_with_gaps, write_label_store, write_store

PARQUET = pytest.param(
    "parquet",
    marks=pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="no pyarrow"),
)
FORM = {".h5": "hdf5", ".zarr": "zarr"}


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("layout", ["npy", "csv", PARQUET])
def test_what_is_exported_comes_back_equal(kit, tmp_path, suffix, layout, dtype):
    cache, videos = tmp_path / "features", videos_with_gaps(kit.DIM)
    failures = [Failure("day 1/left", 900, "cannot read it")]
    spec = kit.make_spec(dtype=dtype)
    store = write_store(cache / f"mae{suffix}", spec, videos, failures)
    export_features(cache, ["mae"], tmp_path / "out", layout)
    summary = import_features(
        *(cache, "again", tmp_path / "out" / "mae", layout), dtype=dtype, store=FORM[suffix]
    )
    assert sorted(summary.new) == sorted(videos)
    summary.raise_for_videos()
    again = open_store(cache / f"again{suffix}")
    assert_same(store, again)
    assert again.spec.backbone == f"import:{layout}"
    assert again.provenance["objective"] == "unknown"


def test_abaw4_comes_back_equal_with_the_frames_of_the_labels(kit, tmp_path, suffix):
    cache = tmp_path / "features"
    videos = {name.replace("/", "_"): v for name, v in videos_with_gaps(kit.DIM).items()}
    store = write_store(
        cache / f"mae{suffix}",
        kit.make_spec(),
        {v: (f, e, None) for v, (f, e, _) in videos.items()},
    )
    splits = zip(videos, ("train", "val", "test"), strict=True)
    write_label_store(cache / "labels.h5", {v: (split, videos[v][0]) for v, split in splits})
    text = export_features(cache, ["mae"], tmp_path / "out", "abaw4")
    assert "mae: every labelled frame has its own embedding" in text
    source = tmp_path / "out" / "features" / "mae.h5"
    summary = import_features(cache, "again", source, "abaw4", labels="labels", store=FORM[suffix])
    assert "frame numbers of labels: 3 videos" in summary.text()
    assert_same(store, open_store(cache / f"again{suffix}"))


@pytest.fixture
def imported(kit, tmp_path, suffix):
    """A cache with the store `mae` that was imported from .npz files, and their folder."""
    folder = tmp_path / "npz"
    for video, (frame, embedding, _) in videos_with_gaps(kit.DIM).items():
        (folder / video).parent.mkdir(parents=True, exist_ok=True)
        np.savez(folder / f"{video}.npz", embedding=embedding, frame=frame)
    cache = tmp_path / "features"
    import_features(cache, "mae", folder, "npy", store=FORM[suffix], licence="CC BY 4.0")
    return cache, folder


def test_an_import_of_the_same_again_changes_no_byte(imported, suffix):
    cache, folder = imported
    files = [path for path in sorted(cache.rglob("*")) if path.is_file()]
    before = [path.read_bytes() for path in files]
    summary = import_features(cache, "mae", folder, "npy")
    assert "0 new, 0 changed, 3 unchanged" in summary.text()
    assert [path for path in sorted(cache.rglob("*")) if path.is_file()] == files
    assert [path.read_bytes() for path in files] == before


def test_only_a_changed_video_is_imported_again_and_named(kit, imported, suffix):
    cache, folder = imported
    changed = np.ones((2, kit.DIM), np.float32)
    np.savez(folder / "day 1" / "left.npz", embedding=changed, frame=[4, 9])
    (folder / "day 1" / "right.npz").unlink()
    summary = import_features(cache, "mae", folder, "npy")
    assert "0 new, 1 changed, 1 unchanged" in summary.text()
    assert "changed: day 1/left" in summary.text()
    assert "stored, but not in the source: day 1/right" in summary.text()
    with open_store(cache / f"mae{suffix}") as store:
        assert [store[video].version for video in store] == [1, 2, 1]
        assert store["day 1/left"].frame.tolist() == [4, 9]
        np.testing.assert_array_equal(store["day 1/left"].embedding, changed)
        assert store.n_parts == 0


def test_another_width_or_type_is_refused_with_both_values(kit, imported, tmp_path):
    cache, folder = imported
    with pytest.raises(FingerprintError, match="dtype is 'float16' in the store and 'float32'"):
        import_features(cache, "mae", folder, "npy", dtype="float32")
    np.save(tmp_path / "wide.npy", np.ones((3, kit.DIM + 1)))
    with pytest.raises(FingerprintError, match=r"dim is 5 in the store and 6 asked for"):
        import_features(cache, "mae", tmp_path / "wide.npy", "npy")


def test_the_licence_and_a_summary_of_the_sources_hashes_are_recorded(imported):
    cache, _ = imported
    with open_store(cache / "mae") as store:
        assert store.provenance["licence"] == "CC BY 4.0"
        assert store.provenance["source_videos"] == 3
        assert len(store.provenance["source_sha256"]) == 64
        assert "RANDOM" not in repr(store)
