"""Single bytes of a store that change: verify tells, or what a reader gets is the same."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from abaw.tests.temporal.made import Row, write_label_store

from .judge import Judge, judging

pytestmark = pytest.mark.heavy

KINDS = ("compacted", "parts", "labels")


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with judging() as found:
        yield found


def write(kit, path: Path, kind: str) -> Path:
    """Write a store of a kind; return it."""
    if kind != "labels":
        with kit.open_writer(path) as writer:
            for number, video in enumerate(("a/b", "c", "d")):
                kit.add_whole(writer, kit.make_source(video, 40 + number, unreadable=[1]))
                writer.flush()
            if kind == "compacted":
                writer.compact()
        return path
    from abaw.cache import convert_store

    values = [0.5, -0.25, 3, *(n % 2 for n in range(12))]
    rows = [Row(f"v{n % 3}", 1 + n // 3, values) for n in range(30)]
    write_label_store(path.parent, train=rows)
    if path.suffix == ".zarr":
        convert_store(path.with_name("labels.h5"), backend="zarr")
    return path.with_name(f"labels{path.suffix}")


def run(kit, path: Path, judge: Judge, kind: str, n_trials: int, seed: int) -> Counter:
    """Flip one byte at a time, all of them equally likely; return what became of it."""
    store = write(kit, path, kind)
    whole = judge(store)
    assert (whole.problems, whole.refusal, whole.bug) == ([], None, None)
    files = sorted(file for file in path.parent.rglob("*") if file.is_file())
    files = [file for file in files if "lock" not in file.name]
    sizes = np.array([file.stat().st_size for file in files])
    rng = np.random.default_rng(seed)
    found: Counter = Counter()
    for place in rng.integers(sizes.sum(), size=n_trials).tolist():
        number = int(np.searchsorted(np.cumsum(sizes), place, side="right"))
        file, offset = files[number], int(place - sizes[:number].sum())
        data = file.read_bytes()
        changed = bytearray(data)
        changed[offset] ^= int(rng.integers(1, 256))
        file.write_bytes(changed)
        verdict = judge(store)
        file.write_bytes(data)
        name = file.relative_to(path.parent)
        where = f"{name}, byte {offset}: {data[offset]} to {changed[offset]}"
        assert not verdict.hangs, where
        assert verdict.memory < whole.memory + (1 << 30), where
        if verdict.crashed:
            found["ended in a native library"] += 1
            continue
        assert verdict.bug is None, f"{where}\n{verdict.bug}"
        if verdict.is_found:
            found["found"] += 1
        else:
            assert verdict.contents == whole.contents, where
            found["changes nothing"] += 1
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_byte_is_found_or_changes_nothing(kit, path, judge, kind: str):
    found = run(kit, path, judge, kind, 15, seed=0)
    assert found.total() == 15
    assert not found["ended in a native library"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_each_of_1_000_changed_bytes_is_found_or_changes_nothing(
    kit, path, judge, kind: str, record_property
):
    found = run(kit, path, judge, kind, 1000, seed=1)
    record_property("flips", str(found))
    print(f"{path.suffix}, {kind}: {found.total()} bytes changed: {dict(found)}")
