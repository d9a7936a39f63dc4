"""What is added comes back, on both backends."""

import pickle
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr

from abaw.cache import (
    CorruptStoreError,
    Failure,
    FingerprintError,
    FormatVersionError,
    StoreExistsError,
    StoreMissingError,
    VideoMissingError,
    list_stores,
    open_store,
)
from abaw.core.errors import UsageError
from abaw.core.names import VideoIdError


@pytest.mark.parametrize("is_compacted", [False, True], ids=["parts", "compacted"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_embeddings_come_back_bit_identical(kit, path, dtype, is_compacted):
    sources = [
        kit.make_source("b", 7),
        kit.make_source("a/12-24-1920x1080", 4, unreadable=[1]),
        kit.make_source("ünï", 1),
    ]
    with kit.open_writer(path, kit.make_spec(dtype=dtype)) as writer:
        for source in sources:
            kit.add_whole(writer, source)
            writer.flush()
        if is_compacted:
            writer.compact()
    with open_store(path) as store:
        assert store.videos == ("a/12-24-1920x1080", "b", "ünï")
        assert store.lengths.tolist() == [3, 7, 1]
        assert store.n_frames == 11
        assert store.n_parts == (0 if is_compacted else 4)
        assert store.dtype == dtype
        for source in sources:
            kit.assert_holds(store, source)


def test_arrays_are_read_only(kit, path):
    with kit.open_writer(path) as writer:
        source = kit.make_source("a", 4)
        writer.add("a", **source.piece(0, 2))
        writer.flush()
        writer.add("a", **source.piece(2, 4))
        writer.flush()
        joined = open_store(path)["a"]
        writer.compact()
    for record in (joined, open_store(path)["a"]):
        for array in (record.embedding, record.frame):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0


def test_a_video_in_one_piece_is_mapped_not_copied(kit, path):
    with kit.open_writer(path) as writer:
        kit.add_whole(writer, kit.make_source("a", 4))
        writer.compact()
    first, second = (open_store(path)["a"].embedding for _ in range(2))
    assert not first.flags.owndata
    assert first.base is not None
    store = open_store(path)
    assert np.shares_memory(store["a"].embedding, store["a"].embedding)
    assert not np.shares_memory(first, second)


def test_plain_h5py_and_zarr_read_a_store_as_the_docs_show(kit, path, monkeypatch):
    sources = [kit.make_source(name, 4 + n, unreadable=[1]) for n, name in enumerate(("a/b", "c"))]
    store = path.with_name(f"mae_cms{path.suffix}")
    with kit.open_writer(store) as writer:
        for source in sources:
            kit.add_whole(writer, source)
        writer.compact()
    page = (Path(__file__).resolve().parents[2] / "docs" / "interop.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (block,) = [block for block in blocks if f"mae_cms{path.suffix}" in block]
    monkeypatch.chdir(path.parents[1])
    names = {"h5py": h5py, "zarr": zarr}
    exec(block, names)
    assert list(names["videos"]) == ["a/b", "c"]
    for source in sources:
        rows = source.rows.astype("f2")
        np.testing.assert_array_equal(names["videos"][source.video], rows, strict=True)
    tree = names["file"] if path.suffix == ".h5" else names["group"]
    assert tree.attrs["format"] == "abaw-embeddings"
    frame = np.concatenate([source.frame for source in sources])
    np.testing.assert_array_equal(tree["frame"][...], frame, strict=True)


def test_embeddings_of_zeros_are_written_out(kit, path):
    source = kit.make_source("a", 3)
    source.embedding[:] = 0
    with kit.open_writer(path) as writer:
        kit.add_whole(writer, source)
        writer.compact()
    kit.assert_holds(open_store(path), source)


def test_h5_and_zarr_of_the_same_additions_hold_identical_arrays(kit, tmp_path):
    found = []
    for suffix in (".h5", ".zarr"):
        with kit.open_writer(tmp_path / suffix[1:] / f"mae{suffix}") as writer:
            for video, n in (("b", 5), ("a", 3)):
                source = kit.make_source(video, n, unreadable=[1])
                writer.add(video, **source.piece(0, 2))
                writer.flush()
                writer.add(video, **source.piece(2, n))
            writer.compact()
            found.append(kit.snapshot(writer.path))
    assert found[0] == found[1]


def test_zarr_rows_in_several_chunks_come_back(kit, tmp_path, monkeypatch):
    monkeypatch.setattr("abaw.cache.zarr_tree.CHUNK_BYTES", 4 * kit.DIM * 2)
    sources = [kit.make_source(video, n) for video, n in (("a", 9), ("b", 1), ("c", 5))]
    with kit.open_writer(tmp_path / "mae.zarr") as writer:
        for source in sources:
            kit.add_whole(writer, source)
        writer.compact()
    store = open_store(tmp_path / "mae.zarr")
    group = next(tmp_path.glob("mae.zarr/rows-*"))
    assert len(list(group.glob("embedding/c/*/0"))) == 4
    for source in sources:
        kit.assert_holds(store, source)


def test_failures_are_listed_and_a_video_without_frames_is_recorded_but_not_visible(kit, path):
    some, none = (
        kit.make_source("some", 3, unreadable=[1]),
        kit.make_source("n", 2, unreadable=[0, 1]),
    )
    with kit.open_writer(path) as writer:
        kit.add_whole(writer, some)
        kit.add_whole(writer, none)
        writer.add("empty", **kit.make_source("empty", 0).piece(0, 0))
        writer.flush()
        before = open_store(path).failures
        writer.compact()
    store = open_store(path)
    assert store.videos == ("some",)
    expected = [
        Failure(source.video, int(number), f"cannot read frame {number}")
        for source, numbers in ((none, none.number), (some, some.number[1:2]))
        for number in numbers
    ]
    assert store.failures == before == expected
    with kit.open_writer(path) as writer:
        assert writer.state("n").complete
        assert writer.state("n").input_hash == none.hash()
        assert writer.state("empty").complete
        assert writer.videos == ["empty", "n", "some"]


def test_a_store_opens_with_and_without_its_suffix_and_survives_pickling(kit, path):
    with kit.open_writer(path) as writer:
        kit.add_whole(writer, kit.make_source("a", 2))
        writer.compact()
    for given in (path, path.with_suffix(""), str(path)):
        assert open_store(given).path == path
    copy = pickle.loads(pickle.dumps(open_store(path)))
    kit.assert_holds(copy, kit.make_source("a", 2))


def test_provenance_and_run_settings_are_there_from_the_first_moment(kit, path):
    kit.open_writer(path, run_settings={"batch_size": 32})
    store = open_store(path)
    assert store.run_settings == {"batch_size": 32}
    assert store.provenance["objective"] == "random"
    assert len(store) == 0
    resumed = kit.open_writer(path, run_settings={"batch_size": 64})
    assert resumed.run_settings == {"batch_size": 32}
    resumed.compact()
    assert open_store(path).run_settings == {"batch_size": 32}


def test_repr_says_random_weights(kit, path):
    with kit.open_writer(path) as writer:
        kit.add_whole(writer, kit.make_source("a", 2))
    assert "RANDOM WEIGHTS" in repr(open_store(path))
    assert "1 videos, 2 frames x 5 float16" in repr(open_store(path))


def test_a_missing_video_is_named(kit, path):
    kit.open_writer(path)
    with pytest.raises(VideoMissingError, match=r"holds no video 'x' \(it holds 0\)") as caught:
        open_store(path)["x"]
    assert isinstance(caught.value, KeyError)
    assert str(caught.value)[0] not in "\"'"
    assert open_store(path).get("x") is None


def test_a_closed_store_says_so(kit, path):
    with kit.open_writer(path) as writer:
        kit.add_whole(writer, kit.make_source("a", 2))
    with open_store(path) as store:
        record = store["a"]
    with pytest.raises(Exception, match="is closed; open it again"):
        store["a"]
    assert record.embedding.shape == (2, 5)


def test_a_missing_store_lists_what_is_near(kit, path):
    kit.open_writer(path.with_stem("mae_cms"))
    with pytest.raises(StoreMissingError, match=r"no store .*mae_cm; .*did you mean mae_cms\?"):
        open_store(path.with_name("mae_cm"))
    other = ".zarr" if path.suffix == ".h5" else ".h5"
    with pytest.raises(StoreMissingError, match="mae_cms"):
        open_store(path.with_name(f"mae_cms{other}"))
    assert list_stores(path.parent) == ["mae_cms"]


def test_another_fingerprint_is_refused_with_fields_and_both_values(kit, path):
    kit.open_writer(path, kit.make_spec(options={"grid": 3}))
    other = kit.make_spec(weights="sha256:beef", options={"grid": 2})
    with pytest.raises(FingerprintError) as caught:
        kit.open_writer(path, other)
    message = str(caught.value)
    assert "weights is 'sha256:00ff' in the store and 'sha256:beef' asked for" in message
    assert "options.grid is 3 in the store and 2 asked for" in message
    assert "another --name" in message


def test_a_part_of_another_spec_is_refused_by_readers(kit, path):
    kit.open_writer(path)
    other = path.parent / "other"
    kit.open_writer(other / path.name, kit.make_spec(pool="mean_post"))
    folder = "mae.h5.parts" if path.suffix == ".h5" else "mae.zarr/parts"
    (foreign,) = (item for item in (other / folder).iterdir())
    foreign.rename(path.parent / folder / foreign.name.replace("00000001", "00000002"))
    with pytest.raises(CorruptStoreError, match="must hold the same embedding"):
        open_store(path)


def test_the_other_backend_and_other_capitals_of_a_name_are_refused(kit, path):
    kit.open_writer(path)
    other = ".zarr" if path.suffix == ".h5" else ".h5"
    with pytest.raises(StoreExistsError, match=f"mae{path.suffix} exists"):
        kit.open_writer(path.with_suffix(other))
    with pytest.raises(StoreExistsError, match=f"mae{path.suffix} exists"):
        kit.open_writer(path.with_stem("MAE"))


def test_two_backends_of_one_name_are_refused_on_reading(kit, tmp_path):
    kit.open_writer(tmp_path / "mae.h5")
    kit.open_writer(tmp_path / "x" / "mae.zarr")
    (tmp_path / "x" / "mae.zarr").rename(tmp_path / "mae.zarr")
    with pytest.raises(StoreExistsError, match=r"both .*mae\.h5 and .*mae\.zarr exist"):
        open_store(tmp_path / "mae")


@pytest.mark.parametrize("name", ["a+b", "labels", "labels-x", "a.b"])
def test_a_name_that_cannot_be_an_embedding_is_refused(kit, path, name):
    with pytest.raises(UsageError, match="embedding name"):
        kit.open_writer(path.with_name(name + path.suffix))


def test_a_newer_format_version_is_refused(kit, path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(
            __import__("abaw.cache.index").cache.index.FORMAT_VERSION, "abaw-embeddings", 2
        )
        kit.open_writer(path)
    with pytest.raises(FormatVersionError, match=r"version 2, but .* up to 1; update abaw"):
        open_store(path)
    with pytest.raises(FormatVersionError, match="update abaw"):
        kit.open_writer(path)


@pytest.mark.parametrize("video", ["../x", "/x", "a//b", "a/./b", "", "a\\b", "a\nb", "x\x00"])
def test_an_unsafe_id_is_refused_when_written_and_when_opened(kit, path, video, monkeypatch):
    source = kit.make_source("x", 2)
    with kit.open_writer(path) as writer:
        with pytest.raises(VideoIdError, match="video id must be a relative path"):
            writer.add(video, **source.piece(0, 2))
        monkeypatch.setattr("abaw.cache.writer.check_video_id", lambda video: video)
        writer.add(video, **source.piece(0, 2) | {"failures": []})
    with pytest.raises(VideoIdError, match="video id must be a relative path"):
        open_store(path)


def test_2000_videos_open_sorted_and_right(kit, path):
    rng = np.random.default_rng(0)
    ids = [f"set/{n:05d}" for n in rng.permutation(2000)]
    sources = [kit.make_source("x", n) for n in (1, 2, 3)]
    with kit.open_writer(path) as writer:
        for n, video in enumerate(ids):
            writer.add(video, **sources[n % 3].piece(0, n % 3 + 1))
        writer.compact()
    store = open_store(path)
    assert store.videos == tuple(sorted(ids))
    for n in (0, 1, 999, 1999):
        rows = sources[n % 3].rows.astype("f2")
        np.testing.assert_array_equal(store[ids[n]].embedding, rows, strict=True)
