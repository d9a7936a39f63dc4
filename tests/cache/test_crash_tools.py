"""The tools are ended before each of their changes in turn.

After each crash: the stores open, no video is lost or wrong beyond what the tool was to do, and the
same command once more ends as if nothing had happened, with nothing left over.
"""

from contextlib import contextmanager

import pytest

from abaw.cache import CacheError, convert, h5_store, leftovers, remove, zarr_store

from .crashing import crash_everywhere, in_child
from .stores import Sources, contents, names
from .tool_jobs import TOOLS


def crash_tool(kit, path, tool, *, fault=lambda: None, stride=1, most=None):
    """End a tool before each of its changes in turn; return how many crashes fired."""
    suffix, sources = path.suffix, Sources(kit)
    start, whole = path.parent / "start", path.parent / "whole"
    for folder in (start, whole):
        (folder / "f").mkdir(parents=True)
        tool.prepare(sources, folder, suffix)
    assert in_child(lambda _: tool.run(whole, suffix))[0] == 0
    expected = contents(sources, whole, is_deep=tool.is_one_tree)
    left = names(whole)

    def job(folder, _):
        tool.run(folder, suffix)

    def check(folder, _):
        tool.law(sources, folder, suffix)
        assert in_child(lambda _: tool.run(folder, suffix))[0] == 0
        assert contents(sources, folder, is_deep=tool.is_one_tree) == expected
        assert not [name for name in names(folder) if ".tmp-" in name]
        assert names(folder) == left or not tool.is_one_tree

    return crash_everywhere(start, job, check, fault=fault, stride=stride, most=most)


def is_fitting(tool, suffix):
    """Return whether a backend has what the tool works on."""
    return tool.name != "repair of a root" or suffix == ".zarr"


@pytest.mark.heavy
@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_tool_that_crashes_at_a_visible_change_loses_nothing(kit, path, tool):
    if not is_fitting(tool, path.suffix):
        pytest.skip("an HDF5 store has no root")
    n_fired = crash_tool(kit, path, tool, stride=1_000, most=7)
    print(f"{n_fired} crash points fired at visible changes: {tool.name}, {path.suffix}")
    assert n_fired >= 1


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_tool_that_crashes_at_any_change_loses_nothing(kit, path, tool, record_property):
    if not is_fitting(tool, path.suffix):
        pytest.skip("an HDF5 store has no root")
    n_fired = crash_tool(kit, path, tool)
    record_property("crash points", n_fired)
    print(f"{n_fired} crash points fired: {tool.name}, {path.suffix}")
    assert n_fired >= 3


# --- faults that the check has to catch ---------------------------------------------------------


def remove_parts_before_the_tree_is_named():
    """Make room too early."""
    for kind in (h5_store.H5Backend, zarr_store.ZarrBackend):

        @contextmanager
        def write_base(self, store, whole=kind.write_base):
            with whole(self, store) as writer:
                yield writer
                self.remove_parts(self.list_parts(store))

        kind.write_base = write_base


def remove_the_old_form_before_the_new_one_is_there():
    """Convert through memory, so to say."""
    write = convert._write_converted

    def write_late(old_backend, old, new_backend, new, spec):
        kept = old.with_name(f"kept{old.suffix}")
        old.rename(kept)
        write(old_backend, kept, new_backend, new, spec)
        leftovers.remove_store(old_backend, kept)

    convert._write_converted = write_late


def remove_the_new_form_before_the_old_one():
    """Leave the old form to be taken for the store again."""

    def remove_whole(backend, store):
        leftovers.remove_store(backend, store)
        for other_backend, other in leftovers.other_forms(store):
            leftovers.remove_store(other_backend, other)

    remove.remove_whole = remove_whole


def set_the_root_aside_before_a_group_is_named():
    """Let go of the only name of the rows."""
    name_base = zarr_store.ZarrBackend.name_base

    def name_late(self, group):
        (group.parent / "zarr.json").unlink(missing_ok=True)
        name_base(self, group)

    zarr_store.ZarrBackend.name_base = name_late


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (remove_parts_before_the_tree_is_named, "merge into a store that is there"),
        (remove_parts_before_the_tree_is_named, "rm a video"),
        (remove_the_old_form_before_the_new_one_is_there, "convert"),
        (remove_the_new_form_before_the_old_one, "rm a store of two forms"),
        (set_the_root_aside_before_a_group_is_named, "repair of a root"),
    ],
)
def test_the_crash_check_catches_a_tool_that_is_wrong(kit, path, fault, name):
    tool = next(tool for tool in TOOLS if tool.name == name)
    if not is_fitting(tool, path.suffix):
        pytest.skip("an HDF5 store has no root")
    with pytest.raises((AssertionError, CacheError)) as caught:
        crash_tool(kit, path, tool, fault=fault, stride=1_000)
    print(f"{fault.__name__}, {path.suffix}: {type(caught.value).__name__}: {caught.value}")
    assert any("ended before change" in note for note in caught.value.__notes__)
