"""Features that runs side by side have in common: the same bits, once in memory."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from abaw.temporal.data.dataset import Segment, SequenceDataset
from abaw.temporal.data.features import FeatureMaker
from abaw.temporal.data.shared_features import SharedFeatures, remove_shared
from abaw.temporal.data.standardize import fit_standardizer
from abaw.temporal.run_folder import describe_data, open_embeddings, open_labels
from abaw.temporal.selection import select
from abaw.temporal.train import train

from .made import config, write_cache
from .test_feeding import line

CHANGES = [
    {},
    {"context_mean": 2, "video_mean": "add"},
    {"video_mean": "subtract", "fill": "zero"},
    {"time_axis": "frames"},
    {"feeding": "lanes", "bidirectional": False},
]
FOUR = """
import sys
from pathlib import Path
from abaw.temporal.data.shared_features import SharedFeatures
from tests.temporal.test_shared_features import wide_case
maker, lines = wide_case()
sys.stdin.readline()
shared = SharedFeatures(Path(sys.argv[1]), {})
matrix = shared.matrix(maker, lines)
print(float(matrix.double().sum()), matrix.numel() * 4, flush=True)
sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cache(tmp_path_factory.mktemp("cache"))


def case(cache: Path, **changes):
    """Return what makes the features of a run, its training and validation lines, its stores."""
    run = config(**changes)
    stores = open_embeddings(cache, run.features)
    labels = open_labels(cache, run.labels)
    selection = select(labels, run, cache)
    names = ("train", "val") if selection.has_val else ("train",)
    splits = [selection.join(stores, name)[0] for name in names]
    maker = FeatureMaker(fit_standardizer(splits[0]), run)
    return maker, splits, describe_data(stores, labels)["stores"]


@pytest.mark.parametrize("changes", CHANGES)
def test_mapped_features_are_those_of_a_copy_of_ones_own(cache: Path, tmp_path: Path, changes):
    maker, splits, stores = case(cache, **changes)
    for lines in splits:
        shared = SharedFeatures(tmp_path, stores)
        for _ in range(2):  # written, then found
            mapped = SequenceDataset(lines, maker, shared=shared)
            own = SequenceDataset(lines, maker)
            plan = own.plan([Segment(n, 0, len(x)) for n, x in enumerate(lines)])
            assert torch.equal(mapped.features(plan), own.features(plan))
        assert not shared.notes
    assert len(list(tmp_path.glob("*.f32"))) == 2
    assert not list(tmp_path.glob("*.tmp-*"))


@pytest.mark.heavy
@pytest.mark.parametrize("changes", CHANGES[-2:])
def test_a_run_on_mapped_features_comes_to_the_same_bits(cache: Path, tmp_path: Path, changes):
    for seed in (0, 1):
        run = config(seed=seed, **changes)
        mapped = train(run, cache, tmp_path / f"m{seed}", progress=False, share=tmp_path / "shared")
        own = train(run, cache, tmp_path / f"o{seed}", progress=False)
        assert not mapped.notes
        for name in ("model.safetensors", "val_predictions.csv", "metrics.jsonl"):
            assert (mapped.folder / name).read_bytes() == (own.folder / name).read_bytes()
    assert len(list((tmp_path / "shared").glob("*.f32"))) == 2


def test_whatever_decides_features_has_a_file_of_its_own(cache: Path, tmp_path: Path):
    maker, (lines, val), stores = case(cache)
    cases = [(maker, lines, stores), (maker, val, stores), (maker, lines[:-1], stores)]
    cases.append((maker, lines, {**stores, "face_a": {"fingerprint": "another"}}))
    for changes in (
        {"context_mean": 1},
        {"video_mean": "subtract"},
        {"video_mean": "add"},
        {"fill": "zero"},
        {"time_axis": "frames"},
        {"features": ("face_b", "face_a")},
        {"fold": "all"},
    ):
        other, splits, facts = case(cache, **changes)
        cases.append((other, splits[0], facts))
    scaled = FeatureMaker(
        type(maker.standardizer)(maker.standardizer.mean, maker.standardizer.scale * 2), config()
    )
    cases.append((scaled, lines, stores))
    for which, x, facts in cases:
        SharedFeatures(tmp_path, facts).matrix(which, x)
    assert len(list(tmp_path.glob("*.f32"))) == len(cases)
    found = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.f32")}
    for which, x, facts in cases:
        SharedFeatures(tmp_path, facts).matrix(which, x)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.f32")} == found


def test_a_file_of_another_size_is_written_again(cache: Path, tmp_path: Path):
    maker, (lines, _), stores = case(cache)
    shared = SharedFeatures(tmp_path, stores)
    expected = shared.matrix(maker, lines).clone()
    (path,) = tmp_path.glob("*.f32")
    path.write_bytes(path.read_bytes()[:-4])
    assert torch.equal(shared.matrix(maker, lines), expected)


def test_what_one_run_writes_by_mistake_no_other_sees(cache: Path, tmp_path: Path):
    maker, (lines, _), stores = case(cache)
    first, second = (SharedFeatures(tmp_path, stores).matrix(maker, lines) for _ in range(2))
    (path,) = tmp_path.glob("*.f32")
    before = path.read_bytes()
    first += 1
    assert torch.equal(second + 1, first)
    assert path.read_bytes() == before
    remove_shared(tmp_path)
    assert torch.equal(second + 1, first)  # who maps it keeps it
    assert not tmp_path.exists()


def test_a_place_that_is_no_folder_is_told_and_the_features_are_ones_own(
    cache: Path, tmp_path: Path
):
    maker, (lines, _), stores = case(cache)
    place = tmp_path / "file"
    place.touch()
    shared = SharedFeatures(place, stores)
    dataset = SequenceDataset(lines, maker, shared=shared)
    assert dataset.is_resident
    (note,) = shared.notes
    assert f"features could not be shared in {place}" in note


def wide_case():
    """Return features of 64 MB, the same in every process."""
    lines = [line(number, 1000) for number in range(32)]
    values = np.random.default_rng(0).normal(size=(1000, 512)).astype(np.float16)
    lines = [replace(x, embeddings=(values,)) for x in lines]
    return FeatureMaker(fit_standardizer(lines), config()), lines


def pss_of_shared(process: int) -> tuple[float, float]:
    """Return the proportional and the resident size, in bytes, of a process's mapped features."""
    text = Path(f"/proc/{process}/smaps").read_text()
    sizes = {"Pss": 0, "Rss": 0}
    is_ours = False
    for row in text.splitlines():
        name, _, rest = row.partition(":")
        if " " in name:  # the head of a mapping
            is_ours = row.endswith(".f32")
        elif is_ours and name in sizes:
            sizes[name] += int(rest.split()[0]) * 1024
    return sizes["Pss"], sizes["Rss"]


@pytest.mark.heavy
@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="the system does not tell it")
def test_four_processes_hold_one_copy_that_one_of_them_has_written(tmp_path: Path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", FOUR, str(tmp_path / "shared")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
        )
        for _ in range(4)
    ]
    try:
        for process in processes:  # all at once
            process.stdin.write("\n")
            process.stdin.flush()
        found = {process.stdout.readline() for process in processes}
        sizes = [pss_of_shared(process.pid) for process in processes]
    finally:
        for process in processes:
            process.communicate("\n")
    assert len(found) == 1
    n_bytes = int(found.pop().split()[1])
    assert n_bytes == 4 * 512 * 32_001
    (path,) = (tmp_path / "shared").glob("*.f32")
    assert path.stat().st_size == n_bytes
    assert not list((tmp_path / "shared").glob("*.tmp-*"))
    assert all(resident >= n_bytes for _, resident in sizes)  # each sees all of it
    assert sum(own for own, _ in sizes) == pytest.approx(n_bytes, rel=0.02)
