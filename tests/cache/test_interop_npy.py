"""Folders of .npy and .npz: what is taken, and what is refused without a pickle being loaded."""

import pickle

import numpy as np
import pytest

from abaw.cache import CacheError, InteropError, import_features, open_store


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


def load(folder, **options):
    return import_features(folder.parent / "cache", "x", folder, "npy", **options)


def test_npy_and_npz_are_one_set_of_videos_with_ids_of_their_paths(folder):
    (folder / "day.1").mkdir()
    np.save(folder / "day.1" / "left.npy", np.arange(6.0).reshape(3, 2))
    np.savez(folder / "b.npz", embedding=np.ones((2, 2)), frame=[4, 7], time=[0.5, np.nan])
    (folder / ".b.npy").write_bytes(b"an editor's own file")
    load(folder).raise_for_videos()
    with open_store(folder.parent / "cache" / "x") as store:
        assert store.videos == ("b", "day.1/left")
        assert store["day.1/left"].frame.tolist() == [1, 2, 3]
        assert store["b"].frame.tolist() == [4, 7]
        np.testing.assert_array_equal(store["b"].time, [0.5, np.nan])
        assert store["day.1/left"].time is None


def test_the_only_array_of_two_axes_is_taken_and_its_name_is_identity(folder):
    np.savez(folder / "a.npz", vggish=np.ones((2, 3)), frame=[1, 2], fps=25.0)
    load(folder)
    with open_store(folder.parent / "cache" / "x") as store:
        assert store.spec.options == {"array": "vggish"}
    np.savez(folder / "b.npz", embedding=np.ones((2, 3)))
    summary = load(folder)
    assert "are 'embedding' and those before it 'vggish'" in summary.refused["b"]


def test_two_arrays_that_could_be_meant_are_refused_by_name(folder):
    np.savez(folder / "a.npz", x=np.ones((2, 3)), y=np.ones((2, 3)))
    with pytest.raises(InteropError, match=r"a\.npz must hold .*holds \['x', 'y'\], 2 of them"):
        load(folder)


class Bomb:
    """Leaves a file when a pickle of it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("kind", ["npy", "npz", "pickle"])
def test_python_objects_are_refused_and_no_code_of_theirs_runs(folder, kind):
    mark = folder.parent / "ran"
    array = np.array([[Bomb(mark)]], object)
    if kind == "npy":
        np.save(folder / "a.npy", array, allow_pickle=True)
    elif kind == "npz":
        np.savez(folder / "a.npz", embedding=array)
    else:
        (folder / "a.npy").write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(InteropError, match=rf"a\.{kind[:3] if kind != 'pickle' else 'npy'} holds"):
        load(folder)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
@pytest.mark.parametrize("n_bytes", [0, 40, 300])
def test_a_file_that_is_cut_off_is_named(folder, name, n_bytes):
    write = np.save if name.endswith(".npy") else np.savez
    write(folder / name, np.ones((20, 30)))
    (folder / name).write_bytes((folder / name).read_bytes()[:n_bytes])
    with pytest.raises(InteropError, match=rf"{name} must be a whole \.npy or \.npz file, but"):
        load(folder)


def test_a_flipped_byte_in_an_npz_is_named_and_the_rest_is_imported(folder):
    for name in "ab":
        np.savez_compressed(
            folder / f"{name}.npz", embedding=np.random.default_rng(0).random((9, 9))
        )
    data = bytearray((folder / "b.npz").read_bytes())
    data[300] ^= 255
    (folder / "b.npz").write_bytes(data)
    summary = load(folder)
    assert summary.new == ["a"]
    assert "b.npz must be a whole" in summary.refused["b"]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"frame": [1, 3, 3]}, r"3 of row 3 follows 3"),
        ({"frame": [1, 2]}, r"'frame' of .* must be 3 whole numbers.* shape \(2,\)"),
        ({"frame": [1.0, 2.0, 3.0]}, r"must be 3 whole numbers, one a row, but is float64"),
        ({"frame": [-1, 2, 3]}, r"must be in \[0, 2\*\*31\), but are -1\.\.3"),
        ({"time": ["a", "b", "c"]}, r"'time' of .* must be 3 real numbers"),
        ({"embedding": np.ones((3, 2), complex)}, r"but is complex128 of shape \(3, 2\)"),
        ({"embedding": np.ones((0, 2))}, r"but is float64 of shape \(0, 2\)"),
    ],
)
def test_arrays_that_are_none_of_frames_are_refused_with_what_they_are(folder, arrays, words):
    np.savez(folder / "a.npz", **({"embedding": np.ones((3, 2))} | arrays))
    with pytest.raises(InteropError, match=words):
        load(folder)


def test_two_files_of_one_video_are_refused(folder):
    np.save(folder / "a.npy", np.ones((2, 2)))
    np.savez(folder / "a.npz", np.ones((2, 2)))
    with pytest.raises(InteropError, match=r"a\.npy and .*a\.npz would both be 'a'"):
        load(folder)


def test_a_folder_without_such_files_is_refused(folder):
    (folder / "a.txt").touch()
    with pytest.raises(InteropError, match=r"end in \.npy or \.npz, one a video, but holds none"):
        load(folder)


def test_numbers_beyond_float16_are_refused_and_leave_no_store_behind(folder):
    np.save(folder / "a.npy", np.full((3, 2), 1e6))
    with pytest.raises(CacheError, match=r"frame 1 of video 'a' is 1e\+06; .*--dtype float32"):
        load(folder)
    assert load(folder, dtype="float32").new == ["a"]


def test_float16_that_loses_too_much_is_refused_and_float32_is_not(folder):
    rows = 4000 + np.random.default_rng(0).normal(size=(100, 2))
    np.save(folder / "a.npy", rows)
    with pytest.raises(CacheError, match=r"would lose too much as float16.*--dtype float32"):
        load(folder)
    load(folder, dtype="float32")
    with open_store(folder.parent / "cache" / "x") as store:
        np.testing.assert_array_equal(store["a"].embedding, rows.astype(np.float32))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b"'<f8'", b"'(f8'", id="no-type"),
        pytest.param(b"(20, 30)", b"(20, 30 ", id="not-closed"),
        pytest.param(b"(20, 30)", b"(99, 99)", id="longer-than-the-file"),
    ],
)
def test_a_head_that_is_damaged_is_named(folder, old, new):
    np.save(folder / "a.npy", np.ones((20, 30)))
    data = (folder / "a.npy").read_bytes()
    assert old in data
    (folder / "a.npy").write_bytes(data.replace(old, new))
    with pytest.raises(InteropError, match=r"a\.npy must be a whole \.npy or \.npz file, but"):
        load(folder)


def test_numbers_beyond_float32_are_refused_with_another_remedy(folder):
    np.save(folder / "a.npy", np.full((3, 2), 1e60))
    with pytest.raises(CacheError, match=r"'a' is 1e\+60; scale them down"):
        load(folder, dtype="float32")
