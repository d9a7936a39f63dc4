"""The winner's layout, read by plain h5py as its own loader does, and files that are not of it."""

import h5py
import numpy as np
import pytest

from abaw.cache import CacheError, InteropError, export_features, import_features, open_store
from abaw.cache.errors import StoreExistsError
from abaw.core.names import VideoIdError

from .interop_made import write_label_store, write_store

D = 5
FRAMES = {"a": [2, 3, 5, 9], "b": [1, 4], "c": [1, 2, 3]}
LABELLED = {"a": ("train", [1, 2, 4, 9]), "b": ("val", [1, 4]), "c": ("test", [2, 3, 8])}


def embeddings(video):
    rows = np.arange(len(FRAMES[video]) * D, dtype=np.float32).reshape(-1, D)
    rows[:, 1] = 7  # without spread
    return rows


@pytest.fixture
def cache(kit, tmp_path):
    cache = tmp_path / "features"
    for name in ("mae", "iresnet"):
        videos = {v: (np.array(f), embeddings(v), None) for v, f in FRAMES.items()}
        write_store(cache / f"{name}.h5", kit.make_spec(), videos)
    write_label_store(cache / "labels.h5", LABELLED)
    return cache


def test_the_published_loader_finds_what_it_asserts(cache, tmp_path):
    root = tmp_path / "root"
    export_features(cache, ["mae", "iresnet"], root, "abaw4")
    labels = open_store(cache / "labels")
    files = {
        "a": "targets/resplit/trn_split6_target.h5",
        "b": "targets/resplit/val_split6_target.h5",
    }
    for name in ("mae", "iresnet"):
        with h5py.File(root / "features" / f"{name}.h5") as features:
            assert sorted(features) == ["a", "b", "c"]
            for video, file in files.items():
                with h5py.File(root / file) as targets:
                    assert list(targets) == [video]
                    label = targets[video]["label"][()]
                    assert label.shape == (len(features[video]["feature"]), 15)
            with h5py.File(root / "targets/partition.h5") as partition:
                assert list(partition["tst"]) == ["c"]
                listed = partition["tst"]["c"][()]
                assert listed.tolist() == [2, 3, 8]
                assert len(set(listed)) == len(features["c"]["feature"])
    with h5py.File(root / "targets/trn_val_target.h5") as targets:
        assert list(targets) == ["a", "b"]
        label = targets["a"]["label"][()]
    record = labels["a"]
    np.testing.assert_array_equal(
        label[:, 0], np.where(record.is_labelled["valence"], record.values["valence"], -5)
    )
    np.testing.assert_array_equal(
        label[:, 2], np.where(record.is_labelled["expression"], record.values["expression"], -1)
    )
    np.testing.assert_array_equal(
        label[:, 3:], np.where(record.is_labelled["au"], record.values["au"], -1)
    )
    assert (label == -5).any()
    assert (label == -1).any()


def test_a_frame_without_embedding_holds_the_nearest_earlier_one_else_the_nearest(cache, tmp_path):
    text = export_features(cache, ["mae"], tmp_path / "root", "abaw4")
    with h5py.File(tmp_path / "root/features/mae.h5") as file:
        # labelled 1, 2, 4, 9; there are 2, 3, 5, 9: 1 is before all of them, 4 holds 3
        np.testing.assert_array_equal(file["a/feature"][()], embeddings("a")[[0, 0, 1, 3]])
        np.testing.assert_array_equal(file["c/feature"][()], embeddings("c")[[1, 2, 2]])
    assert "mae: 3 labelled frames hold another frame's: a (2 of 4), c (1 of 3)" in text


def test_moments_are_of_the_training_rows_and_a_deviation_of_0_is_replaced(cache, tmp_path):
    export_features(cache, ["mae"], tmp_path / "root", "abaw4")
    rows = embeddings("a")[[0, 0, 1, 3]].astype(np.float64)
    with h5py.File(tmp_path / "root/features/mean_std_on_trn/mae.h5") as file:
        mean, std = file["train"]["mean"][()], file["train"]["std"][()]
    np.testing.assert_allclose(mean, rows.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(np.delete(std, 1), np.delete(rows.std(axis=0), 1), rtol=1e-6)
    assert std[1] == 1


@pytest.mark.parametrize(
    ("labelled", "words"),
    [
        ({"a": ("train", [1]), "x": ("val", [1])}, r"mae.h5 has none of 1, such as 'x'"),
        ({"a/b": ("train", [1])}, r"ids have no '/', but .*labels-x.h5 has 'a/b'"),
        ({"a": (["train", "val"], [1, 2])}, r"'a' of .*labels-x.h5 is in train and val"),
    ],
)
def test_what_the_layout_cannot_hold_is_refused_and_nothing_is_left(
    cache, tmp_path, labelled, words
):
    write_label_store(cache / "labels-x.h5", labelled)
    with pytest.raises(CacheError, match=words):
        export_features(cache, ["mae"], tmp_path / "out" / "root", "abaw4", "labels-x")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_export_never_mixes_with_what_is_there(cache, tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "old").touch()
    with pytest.raises(StoreExistsError, match=r"root is not empty; name another --out"):
        export_features(cache, ["mae"], tmp_path / "root", "abaw4")


def write_features(path, videos):
    with h5py.File(path, "w") as file:
        for video, rows in videos.items():
            file[f"{video}/feature"] = rows
    return path


def test_lengths_that_do_not_agree_are_counted_from_1_and_named(cache, tmp_path):
    source = write_features(tmp_path / "x.h5", {"a": np.ones((4, 2)), "b": np.ones((3, 2))})
    summary = import_features(cache, "x", source, "abaw4", labels="labels")
    assert "frame numbers of labels: 1 videos" in summary.text()
    assert "1 to n" in summary.text()
    assert "b (3 rows, 2 labelled frames)" in summary.text()
    with open_store(cache / "x") as store:
        assert store["a"].frame.tolist() == [1, 2, 4, 9]
        assert store["b"].frame.tolist() == [1, 2, 3]


def test_without_labels_frames_are_counted_from_1_and_the_report_says_so(tmp_path):
    source = write_features(tmp_path / "x.h5", {"day/a": np.ones((4, 2))})
    summary = import_features(tmp_path / "cache", "x", source, "abaw4")
    assert "1 to n (--labels NAME takes the labels')" in summary.text()
    with open_store(tmp_path / "cache" / "x") as store:
        assert store["day/a"].frame.tolist() == [1, 2, 3, 4]


def test_other_labels_are_another_content_but_not_other_features(cache, tmp_path):
    source = write_features(tmp_path / "x.h5", {"a": np.ones((4, 2)), "b": np.ones((3, 2))})
    import_features(cache, "x", source, "abaw4")
    summary = import_features(cache, "x", source, "abaw4", labels="labels")
    assert summary.changed == ["a"]
    assert summary.unchanged == ["b"]


def test_a_row_that_is_not_finite_is_a_gap(tmp_path):
    rows = np.ones((4, 2))
    rows[2, 1] = np.nan
    source = write_features(tmp_path / "x.h5", {"a": rows})
    summary = import_features(tmp_path / "cache", "x", source, "abaw4")
    assert [tuple(f) for f in summary.failures] == [("a", 3, "row 3: dimension 1 is nan")]
    with open_store(tmp_path / "cache" / "x") as store:
        assert store["a"].frame.tolist() == [1, 2, 4]
        assert store.failures == summary.failures


def test_a_damaged_file_is_named(cache, tmp_path):
    source = write_features(tmp_path / "x.h5", {"a": np.ones((400, 20))})
    source.write_bytes(source.read_bytes()[:5000])
    with pytest.raises(InteropError, match=r"x\.h5 must be a whole HDF5 file, but"):
        import_features(cache, "x", source, "abaw4")
    with pytest.raises(InteropError, match=r"nowhere\.h5 must be a whole HDF5 file, but"):
        import_features(cache, "x", tmp_path / "nowhere.h5", "abaw4")


def test_a_file_without_features_is_refused_with_what_it_holds(cache, tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a/label"] = np.ones((2, 15))
    with pytest.raises(InteropError, match=r"<video>/feature, but holds none .*are a\)"):
        import_features(cache, "x", tmp_path / "x.h5", "abaw4")


def test_links_are_not_followed_and_data_of_other_files_is_refused(cache, tmp_path):
    write_features(tmp_path / "other.h5", {"a": np.ones((2, 3))})
    raw = tmp_path / "secret.bin"
    raw.write_bytes(np.ones(6).tobytes())
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["linked"] = h5py.ExternalLink("other.h5", "a")
        file["soft"] = h5py.SoftLink("/own")
        file["own/feature"] = np.ones((2, 3))
        file["kept/b"] = 1
        file["kept"].create_dataset("feature", (2, 3), "f8", external=[(str(raw), 0, 48)])
    summary = import_features(cache, "x", tmp_path / "x.h5", "abaw4")
    assert summary.new == ["own"]
    assert "must be in the file itself" in summary.refused["kept"]
    with pytest.raises(InteropError, match="1 videos could not be imported, first 'kept'"):
        summary.raise_for_videos()


def test_an_id_that_could_leave_its_folder_is_refused(cache, tmp_path):
    source = write_features(tmp_path / "x.h5", {"..": np.ones((2, 3))})
    with pytest.raises(VideoIdError, match=r"'\.\.' in .*x\.h5 is not"):
        import_features(cache, "x", source, "abaw4")


def test_features_of_another_form_or_width_are_refused_by_name(cache, tmp_path):
    videos = {"a": np.ones((2, 3)), "b": np.ones((2, 4)), "c": np.ones(3)}
    source = write_features(tmp_path / "x.h5", videos)
    summary = import_features(cache, "x", source, "abaw4")
    assert "b/feature of" in summary.refused["b"]
    assert "has 4 and those before it 3" in summary.refused["b"]
    assert "is float64 of shape (3,)" in summary.refused["c"]
    assert summary.new == ["a"]


def test_a_name_that_is_no_text_is_refused(cache, tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file[b"a\xff/feature"] = np.ones((2, 3))
    with pytest.raises(InteropError, match=r"x\.h5 must be .*names must be UTF-8, but one is b'a"):
        import_features(cache, "x", tmp_path / "x.h5", "abaw4")
