"""Files that are no store, or not quite: no wrong value, no hang, no memory, nothing from outside.

Each is judged in a child, by verify and by a read of everything. What is not refused and has no
problem must be what was written.
"""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from .damages import BYTES, Place
from .damages_h5 import H5
from .damages_zarr import ZARR
from .judge import MOST_MEMORY, Judge, Verdict, judging
from .watch import can_watch, watching

OF_FORM = {".h5": H5, ".zarr": ZARR}

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(not can_watch(), reason="there is no inotify"),
]


@pytest.fixture(scope="module")
def judge():
    with judging() as found:
        yield found


def write(kit, path: Path, *, compacted: bool) -> None:
    with kit.open_writer(path) as writer:
        for number, video in enumerate(("a/b", "c")):
            kit.add_whole(writer, kit.make_source(video, 20 + number, unreadable=[1]))
            writer.flush()
        if compacted:
            writer.compact()


def videos(verdict: Verdict) -> set[tuple[str, str]]:
    """Return what was read of each video."""
    assert verdict.contents is not None
    return {item for item in verdict.contents.items() if item[0].startswith("video ")}


def run(kit, path: Path, judge: Judge, n_trials: int, seed: int) -> Counter:
    """Damage copies of a store, one at a time; return what became of them."""
    rng = np.random.default_rng(seed)
    pristine = {}
    for compacted in (True, False):
        folder = path.parents[1] / f"pristine-{compacted}"
        write(kit, folder / path.name, compacted=compacted)
        pristine[folder] = judge(folder / path.name)
        assert (pristine[folder].problems, pristine[folder].bug) == ([], None)
    found: Counter = Counter()
    for trial in range(n_trials):
        source = list(pristine)[trial % 2]
        place = Place(path, path.parents[1] / "outside", rng)
        shutil.copytree(source, path.parent)
        shutil.copytree(next(iter(pristine)), place.outside)
        (place.outside / "rows").write_bytes(bytes(10_000))
        kinds = OF_FORM[path.suffix] if trial % 4 >= 2 else BYTES
        damage = kinds[trial // 4 % len(kinds)]
        damage(place)
        with watching(place.outside) as watch:
            verdict = judge(path)
            seen = watch.seen()
        where = f"trial {trial}, {damage.__name__}, {source.name}"
        assert not seen, f"{where}: read outside: {seen}"
        assert not verdict.hangs, where
        assert verdict.memory < MOST_MEMORY, f"{where}: {verdict.memory} bytes"
        assert verdict.bug is None, f"{where}\n{verdict.bug}"
        if verdict.crashed:
            found["ended in a native library"] += 1
        elif verdict.is_found:
            found["found"] += 1
        elif verdict.contents is not None and verdict.contents == pristine[source].contents:
            found["changes nothing"] += 1
        else:
            # A part that is gone is a video that was never written; two that took each other's
            # name are read in another order. What is there is as it was.
            assert damage.__name__ in {"file_lost", "exchanged"}, where
            assert source.name == "pristine-False", where
            assert verdict.contents is not None, where
            assert videos(verdict) <= videos(pristine[source]), where
            found["fewer parts, or in another order"] += 1
        shutil.rmtree(path.parent)
        shutil.rmtree(place.outside)
    return found


def test_a_damaged_store_is_found_or_as_it_was(kit, path, judge):
    found = run(kit, path, judge, 64, seed=0)
    assert found["found"] > 32


@pytest.mark.slow
def test_1_000_damaged_stores_are_found_or_as_they_were(kit, path, judge, record_property):
    found = run(kit, path, judge, 1000, seed=1)
    record_property("fuzz", str(found))
    print(f"{path.suffix}: {found.total()} stores: {dict(found)}")
