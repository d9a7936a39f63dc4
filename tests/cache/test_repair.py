"""Repair keeps all that is sound: roots of Zarr stores, newer versions, second copies."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from abaw.cache import CorruptStoreError, open_store, repair_store, verify_store, write_labels

from .stores import Sources, copy, damage_index, damage_rows, flip, visible
from .test_labels import make_table


@pytest.fixture
def sources(kit):
    return Sources(kit)


@pytest.fixture
def zarr_path(tmp_path: Path) -> Path:
    return tmp_path / "features" / "mae.zarr"


def repaired(path: Path) -> list[str]:
    """Repair a store that needs it, and assert that it is sound then; return what was dropped."""
    found = verify_store(path)
    assert not found.is_sound
    dropped = repair_store(path, found)
    assert verify_store(path).problems == []
    return dropped


def damage_root(path: Path, how: str) -> None:
    root = path / "zarr.json"
    text = root.read_text()
    if how == "cut short":
        root.write_text(text[: len(text) // 2])
    elif how == "empty":
        root.write_text("")
    elif how == "names another folder":
        root.write_text(text.replace('"current": "rows-', '"current": "../rows-'))
    elif how == "names a group that is not there":
        name = json.loads(text)["attributes"]["current"]
        root.write_text(text.replace(name, name[:-1] + ("0" if name[-1] != "0" else "1")))


HOW = ["cut short", "empty", "names another folder", "names a group that is not there"]


@pytest.mark.heavy
@pytest.mark.parametrize("how", HOW)
def test_a_damaged_root_names_its_group_again_and_the_parts_are_kept(sources, zarr_path, how):
    sources.write(zarr_path, ["a", "b"], [("b", 2), ("c", 1)])
    root = (zarr_path / "zarr.json").read_bytes()
    damage_root(zarr_path, how)
    assert repaired(zarr_path) == []
    assert visible(sources, zarr_path) == {"a": 1, "b": 2, "c": 1}
    assert (zarr_path / "zarr.json").read_bytes() == root
    assert open_store(zarr_path).n_parts == 2
    with sources.kit.open_writer(zarr_path) as writer:  # an extraction has nothing to do
        assert all(writer.state(video).complete for video in "abc")


def second_group(sources, path: Path) -> tuple[Path, Path]:
    """Leave the group of an earlier compaction beside the one that the root names."""
    sources.write(path, ["a", "b"])
    (old,) = path.glob("rows-*")
    copy(old, path.parent / old.name)
    sources.write(path, ["c"])
    (new,) = path.glob("rows-*")
    (path.parent / old.name).rename(old)
    return old, new


@pytest.mark.heavy
def test_of_several_groups_the_newest_that_is_whole_is_named(sources, zarr_path):
    old, _new = second_group(sources, zarr_path)
    damage_root(zarr_path, "empty")
    assert repaired(zarr_path) == []
    assert visible(sources, zarr_path) == {"a": 1, "b": 1, "c": 1}
    sources.write(zarr_path, ["d"])
    assert not old.exists()


@pytest.mark.heavy
def test_a_group_with_one_flipped_bit_is_passed_over_for_an_older_one_that_is_whole(
    sources, zarr_path
):
    _old, new = second_group(sources, zarr_path)
    flip(new / "embedding/c/0/0", sources("a").rows.astype("f2").tobytes())
    damage_root(zarr_path, "empty")
    assert repaired(zarr_path) == []
    assert visible(sources, zarr_path) == {"a": 1, "b": 1}


@pytest.mark.heavy
def test_of_a_group_that_no_other_can_stand_for_only_what_is_damaged_is_dropped(sources, zarr_path):
    sources.write(zarr_path, ["a", "b"])
    damage_rows(sources, zarr_path, "a")
    damage_root(zarr_path, "cut short")
    assert repaired(zarr_path) == ["a"]
    assert visible(sources, zarr_path) == {"b": 1}


@pytest.mark.heavy
def test_a_group_of_another_embedding_than_the_parts_is_not_named(sources, zarr_path):
    sources.write(zarr_path, [], [("a", 1)])
    other = zarr_path.parent / "x" / "mae.zarr"
    sources.write(other, ["b"], pool="mean")
    (group,) = other.glob("rows-*")
    group.rename(zarr_path / group.name)
    (other / "zarr.json").rename(zarr_path / "zarr.json")
    damage_root(zarr_path, "cut short")
    repaired(zarr_path)
    assert visible(sources, zarr_path) == {"a": 1}
    assert (zarr_path / "zarr.json.broken").exists()


@pytest.mark.heavy
def test_a_group_whose_index_is_damaged_is_set_aside_with_its_root(sources, zarr_path):
    sources.write(zarr_path, ["a"], [("b", 1)])
    damage_index(sources, zarr_path, "a")
    damage_root(zarr_path, "cut short")
    repaired(zarr_path)
    assert visible(sources, zarr_path) == {"b": 1}


def test_labels_get_their_root_again(tmp_path):
    path = write_labels(tmp_path / "labels.zarr", make_table())
    damage_root(path, "empty")
    repaired(path)
    np.testing.assert_array_equal(open_store(path).table.valence, make_table().valence)


def test_a_damaged_old_version_does_not_take_the_newer_one_with_it(sources, path):
    sources.write(path, ["a", "b"], [("a", 2)])
    damage_rows(sources, path, "a", 1)
    assert repaired(path) == []
    assert visible(sources, path) == {"a": 2, "b": 1}


def test_a_damaged_new_version_does_not_bring_the_old_one_back(sources, path):
    sources.write(path, ["a", "b"], [("a", 2)])
    damage_rows(sources, path, "a", 2)
    assert repaired(path) == ["a"]
    assert visible(sources, path) == {"b": 1}


def test_a_damaged_copy_does_not_take_the_other_copy_with_it(sources, path):
    """After a compaction that was ended, the same rows are in the tree and in a part."""
    sources.write(path, [], [("a", 1), ("b", 1)])
    parts = path.with_name("mae.h5.parts") if path.suffix == ".h5" else path / "parts"
    copy(parts, path.parent / "kept")
    with sources.kit.open_writer(path) as writer:
        writer.compact()
    for part in (path.parent / "kept").iterdir():
        parts.mkdir(exist_ok=True)
        if not (parts / part.name).exists():
            part.rename(parts / part.name)
    file = path if path.suffix == ".h5" else next(path.glob("rows-*/embedding/c/0/0"))
    flip(file, sources("a").rows.astype("f2").tobytes())
    assert repaired(path) == []
    assert visible(sources, path) == {"a": 1, "b": 1}


def test_rows_that_belong_to_no_video_are_dropped_and_the_videos_stay(sources, tmp_path):
    path = tmp_path / "mae.h5"
    sources.write(path, ["a", "b"])
    with h5py.File(path, "r+") as file:
        for name in ("embedding", "frame"):
            values = file[name][...]
            del file[name]
            file.create_dataset(name, data=np.concatenate([values, values[-1:]]))
    assert repaired(path) == []
    assert visible(sources, path) == {"a": 1, "b": 1}


def test_a_store_of_nothing_readable_is_set_aside(sources, path):
    sources.write(path, ["a"])
    damage_index(sources, path, "a")
    with pytest.raises(CorruptStoreError):
        open_store(path)
    repair_store(path, verify_store(path))
    assert visible(sources, path) is None
    assert list(path.parent.glob("**/*.broken"))
