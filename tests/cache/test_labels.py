"""The labels store holds what the table says, and refuses what contradicts itself."""

import pickle

import numpy as np
import pytest
from zarr.storage import MemoryStore

from abaw.cache import (
    CacheError,
    CorruptStoreError,
    LabelTable,
    ObjectPath,
    VideoMissingError,
    open_store,
    repair_store,
    verify_store,
    write_labels,
)
from abaw.core.names import VideoIdError


def make_table(**changes):
    """Return three videos of 2, 1 and 3 frames, and 7 rows, one frame twice."""
    n, r = 6, 7
    rng = np.random.default_rng(0)
    row_of = np.array([0, 1, 1, 2, 3, 4, 5])

    def flags(*shape):
        return rng.random(shape) < 0.5

    values = {
        "valence": rng.uniform(-1, 1, n).astype(np.float32),
        "valence_is_labelled": flags(n),
        "arousal": rng.uniform(-1, 1, n).astype(np.float32),
        "arousal_is_labelled": flags(n),
        "expression": rng.integers(0, 8, n).astype(np.int8),
        "expression_is_labelled": flags(n),
        "au": rng.integers(0, 2, (n, 12)).astype(np.int8),
        "au_is_labelled": flags(n, 12),
    }
    for task in ("valence", "arousal", "expression", "au"):
        values[task][~values[f"{task}_is_labelled"]] = 0
    values["frame"] = np.array([1, 4, 9, 2, 3, 8], np.int32)
    values["split"] = np.array([0, 0, 1, 2, 2, 2], np.int8)
    rows = {f"row_{name}": array[row_of] for name, array in values.items()}
    table = {
        "videos": ("a/b", "c", "d"),
        "start": np.array([0, 2, 3]),
        "length": np.array([2, 1, 3]),
        "row_path": [f"v/{k:05d}.jpg" for k in range(r)],
        "row_video": np.array([0, 0, 0, 1, 2, 2, 2], np.int32),
        "meta": {"report": ["1 duplicate"], "sources": [{"split": "train", "sha256": "ab"}]},
    }
    return LabelTable(**(values | rows | table | changes))


@pytest.fixture
def labels_path(path):
    return path.with_stem("labels")


def test_labels_come_back_bit_identical(labels_path):
    table = make_table()
    write_labels(labels_path, table)
    store = open_store(labels_path.with_suffix(""))
    for name, value in vars(table).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(store, name), value, strict=True)
        else:
            assert getattr(store, name) == value
    assert store.fingerprint == table.fingerprint


def test_a_video_has_its_frames_values_and_flags(labels_path):
    table = make_table()
    store = open_store(write_labels(labels_path, table))
    record = store["d"]
    assert record.frame.tolist() == [2, 3, 8]
    assert record.split.tolist() == [2, 2, 2]
    np.testing.assert_array_equal(record.values["au"], table.au[3:])
    np.testing.assert_array_equal(record.is_labelled["valence"], table.valence_is_labelled[3:])
    assert list(store) == ["a/b", "c", "d"]
    assert [store.videos_of(split) for split in ("train", "val", "test")] == [
        ("a/b",),
        ("c",),
        ("d",),
    ]
    with pytest.raises(VideoMissingError, match=r"no labels of video 'x' \(it holds 3 videos\)"):
        store["x"]


def test_a_labels_store_is_replaced_whole(labels_path):
    write_labels(labels_path, make_table())
    first = open_store(labels_path)
    write_labels(labels_path, make_table(meta={"sources": []}))
    assert open_store(labels_path).meta == {"sources": []}
    assert first.meta["report"] == ["1 duplicate"]
    if labels_path.suffix == ".zarr":
        assert len(list(labels_path.glob("rows-*"))) == 1


def test_a_labels_store_is_pickled_by_its_path(labels_path):
    write_labels(labels_path, make_table())
    copy = pickle.loads(pickle.dumps(open_store(labels_path)))
    assert copy.videos == ("a/b", "c", "d")


def test_the_fingerprint_follows_the_content_of_the_files_not_their_names():
    def fingerprint(**source):
        return make_table(
            meta={"sources": [{"split": "train", "sha256": "ab"} | source]}
        ).fingerprint

    assert fingerprint(name="x.txt") == fingerprint(name="y.txt")
    assert fingerprint() != fingerprint(sha256="cd")
    assert fingerprint() != fingerprint(split="val")


def test_a_table_without_videos_is_stored(labels_path):
    table = make_table()
    empty = {
        name: value[:0] if isinstance(value, np.ndarray | tuple | list) else value
        for name, value in vars(table).items()
    }
    store = open_store(write_labels(labels_path, LabelTable(**empty)))
    assert len(store) == 0
    assert store.videos_of("train") == ()


@pytest.mark.parametrize(
    ("change", "error", "pattern"),
    [
        pytest.param({"videos": ("c", "a/b", "d")}, CorruptStoreError, "sorted by id", id="order"),
        pytest.param({"videos": ("../a", "c", "d")}, VideoIdError, "'../a'", id="unsafe"),
        pytest.param(
            {"length": np.array([3, 1, 2])}, CorruptStoreError, "cut its 6 frames", id="cut"
        ),
        pytest.param(
            {"frame": np.array([4, 1, 9, 2, 3, 8], np.int32)},
            CorruptStoreError,
            "of 'a/b' .* 1 follows 4",
            id="frames",
        ),
        pytest.param(
            {"frame": np.array([1, 4, 9, 2, 8, 3], np.int32)},
            CorruptStoreError,
            "of 'd' .* 3 follows 8",
            id="last",
        ),
        pytest.param(
            {"row_video": np.full(7, 3, np.int32)},
            CorruptStoreError,
            r"row_video .* \[0, 3\)",
            id="row",
        ),
        pytest.param(
            {"split": np.full(6, 3, np.int8)},
            CorruptStoreError,
            r"split .* \[0, 2\], but has 3",
            id="split",
        ),
        pytest.param(
            {"valence": np.full(6, np.nan, np.float32)},
            CorruptStoreError,
            r"valence .* \[-1, 1\], but has nan",
            id="nan",
        ),
        pytest.param(
            {"row_expression": np.full(7, 8, np.int8)},
            CorruptStoreError,
            r"row_expression .* \[0, 7\], but has 8",
            id="class",
        ),
        pytest.param(
            {"au": np.ones((6, 12), np.int8)},
            CorruptStoreError,
            "unlabelled values of au",
            id="unlabelled",
        ),
        pytest.param(
            {"arousal": np.zeros(6)},
            CorruptStoreError,
            "arousal as float32, but it is float64",
            id="dtype",
        ),
        pytest.param(
            {"au": np.zeros((6, 11), np.int8)},
            CorruptStoreError,
            r"\(n, 12\), but it is \(6, 11\)",
            id="columns",
        ),
        pytest.param(
            {"split": np.zeros(5, np.int8)},
            CorruptStoreError,
            "6 of split, but holds 5",
            id="length",
        ),
    ],
)
def test_a_table_that_contradicts_itself_is_refused_and_leaves_no_file(
    labels_path, change, error, pattern
):
    with pytest.raises(error, match=pattern):
        write_labels(labels_path, make_table(**change))
    assert not labels_path.exists()


def test_a_name_that_does_not_start_with_labels_is_refused(path):
    with pytest.raises(CacheError, match="starts with 'labels'"):
        write_labels(path, make_table())


def test_a_flipped_byte_of_a_label_is_refused_on_opening(labels_path):
    table = make_table()
    write_labels(labels_path, table)
    raw = table.row_au.tobytes()
    (hit,) = (
        f for f in [labels_path, *labels_path.rglob("*")] if f.is_file() and raw in f.read_bytes()
    )
    data = bytearray(hit.read_bytes())
    data[data.index(raw)] ^= 1
    hit.write_bytes(data)
    with pytest.raises(CorruptStoreError, match="must have the checksum"):
        open_store(labels_path)


def test_verify_reads_labels_and_names_a_file_that_was_changed(labels_path):
    write_labels(labels_path, make_table())
    found = verify_store(labels_path)
    assert (found.problems, found.n_videos, found.n_frames) == ([], 3, 6)
    for file in sorted(labels_path.parent.rglob("*")):
        data = file.read_bytes() if file.is_file() else b""
        valence = make_table().valence.tobytes()
        if valence in data:
            file.write_bytes(data.replace(valence, valence[::-1], 1))
            break
    (problem,) = verify_store(labels_path).problems
    assert problem.kind == "corrupt"
    with pytest.raises(CacheError, match="run `abaw labels` again"):
        repair_store(labels_path, verify_store(labels_path))


def test_labels_in_objects_are_those_in_files(tmp_path):
    place = ObjectPath(MemoryStore(), "features/labels.zarr")
    write_labels(place, make_table(frame=np.array([1, 4, 9, 2, 3, 7], np.int32)))
    in_objects = open_store(write_labels(place, make_table()))
    in_files = open_store(write_labels(tmp_path / "labels.zarr", make_table()))
    assert in_objects.fingerprint == in_files.fingerprint
    for name, value in vars(in_files.table).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(in_objects, name), value, strict=True)
        else:
            assert getattr(in_objects, name) == value
    assert len({key.split("/")[2] for key in place.store._store_dict if "rows-" in key}) == 1
