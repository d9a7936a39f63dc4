"""A disk that gets full under a tool: one sentence, and nothing that was there is touched."""

import io
import resource
import sys
import traceback

import pytest

from abaw.cache import verify_store, write_labels
from abaw.cache.lock import compaction_lock
from abaw.cli import main

from .crashing import in_child
from .power import found_under
from .stores import BACKEND, OTHER, Sources, contents, visible
from .test_labels import make_table
from .tool_jobs import TOOLS

ROWS = 6_000
"""Bytes that no file may be larger than: an index fits, the rows of a few videos do not."""
LOCK = 100
"""Not even a lock fits."""


def limited(arguments: list[str], limit: int) -> list:
    """Run a command that can write no file larger than `limit`; return [status, stderr]."""

    def run(tell):
        sys.stderr = io.StringIO()
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            main(arguments)
        except SystemExit as ended:
            code = ended.code or 0
        except BaseException:
            traceback.print_exc()
            code = 70
        tell([code, sys.stderr.getvalue()])

    return in_child(run)[1]


COMMANDS = {
    "merge into a new store": "merge {f}/../one/mae {f}/../two/mae --name mae --store {own}",
    "merge into a store that is there": "merge {f}/../one/mae {f}/../two/mae --name mae",
    "rm a video": "rm mae --video a --yes",
    "repair": "verify mae --repair -q",
    "convert": "convert mae --store {other}",
    "convert to a new name and type": "convert mae --store {other} --dtype float32 --name wide",
    "convert the type": "convert mae --dtype float32",
}


@pytest.mark.heavy
@pytest.mark.parametrize("limit", [ROWS, LOCK], ids=["rows", "lock"])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_is_told_in_a_sentence_and_all_stays_readable(kit, path, name, limit):
    tool = next(tool for tool in TOOLS if tool.name == name)
    sources, suffix = Sources(kit, 400), path.suffix
    start, folder = path.parent / "start", path.parent / "job"
    for place in (start, folder):
        (place / "f").mkdir(parents=True)
        tool.prepare(sources, place, suffix)
    tool.run(start, suffix)
    expected = contents(sources, start, is_deep=tool.is_one_tree)
    before = visible(sources, folder / "f" / "mae") if name != "repair" else None

    words = {"f": folder / "f", "own": BACKEND[suffix], "other": BACKEND[OTHER[suffix]]}
    command = ["cache", *COMMANDS[name].format(**words).split(), "--cache", str(folder / "f")]
    code, told = limited(command, limit)
    assert code == 1, told
    (line,) = told.strip().splitlines()
    assert line.startswith("Error: ")
    assert "needs more room than there is (File too large" in line
    assert "make room and run the same command again" in line

    if name == "repair":
        found = verify_store(folder / "f" / "mae")
        assert {problem.video for problem in found.problems} == {"b", "c", "d"}
    else:
        assert visible(sources, folder / "f" / "mae") == before
    left = [place for place in found_under(folder) if ".tmp-" in place]
    assert not left
    tool.run(folder, suffix)
    assert contents(sources, folder, is_deep=tool.is_one_tree) == expected


def test_labels_that_find_no_room_are_told_in_a_sentence(path):
    labels = write_labels(path.with_stem("labels"), make_table())
    before = found_under(path.parent)
    command = ["cache", "convert", "labels", "--name", "labels_b", "--cache", str(path.parent)]
    code, told = limited(command, LOCK)
    assert (code, len(told.strip().splitlines())) == (1, 1)
    assert "labels_b" in told
    assert "needs more room than there is" in told
    assert found_under(path.parent).keys() - {f"labels_b{labels.suffix}"} == before.keys()


def test_a_lock_is_free_again_though_there_was_no_room_to_say_so(tmp_path):
    def hold(tell):
        try:
            with compaction_lock(tmp_path / "parts", wait=False):
                resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        with compaction_lock(tmp_path / "parts", wait=False) as is_ours:
            tell(is_ours)

    assert in_child(hold) == (0, True)
    assert not list(tmp_path.rglob("*.tmp-*"))
