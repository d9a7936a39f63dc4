"""Groups of embeddings by how they were learnt, and sweeps of several grids."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from abaw.cache import StoreWriter, open_store
from abaw.core.errors import UsageError
from abaw.temporal.feature_groups import expanded, with_features
from abaw.temporal.sweep_spec import spec_from_file, write_spec

from .made import write_cache

PAPER = Path(__file__).parents[2] / "docs" / "paper.yaml"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_cache(tmp_path_factory.mktemp("cache"))
    with open_store(folder / "face_a") as store:
        spec = store.spec
    rows = np.random.default_rng(0).normal(size=(3, spec.dim)).astype(np.float32)
    for name, objective in (("mae", "unsupervised"), ("net", "supervised"), ("net2", "supervised")):
        with StoreWriter.open(folder / f"{name}.h5", spec, {"objective": objective}) as writer:
            writer.add(
                "v",
                version=1,
                source_start=0,
                source_length=3,
                source_total=3,
                frame=np.arange(1, 4),
                embedding=rows,
                input_hash=1,
                stat_hash=1,
                precision="fp32",
            )
            writer.compact()
    return folder


def names(cache: Path) -> list[str]:
    return sorted(p.stem for p in cache.glob("*.h5") if not p.stem.startswith("labels"))


def test_groups_are_what_the_cache_holds(cache: Path):
    every = names(cache)
    assert expanded(["@each"], cache) == [(name,) for name in every]
    assert expanded(["@all"], cache) == [tuple(every)]
    assert expanded(["@unsupervised", "@supervised"], cache) == [("mae",), ("net", "net2")]
    assert expanded(["face_a+mae", ("net",), "net"], cache) == [("face_a", "mae"), ("net",)]


def test_a_group_that_is_a_single_embedding_is_trained_once(cache: Path):
    assert expanded(["@each", "@unsupervised"], cache) == expanded(["@each"], cache)


def test_an_unknown_group_is_answered_with_the_nearest(cache: Path):
    with pytest.raises(UsageError, match=r"no group '@supervized'.*did you mean supervised"):
        expanded(["@supervized"], cache)


def test_a_group_without_embeddings_is_left_out_and_none_at_all_is_refused(
    cache: Path, tmp_path: Path
):
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump({"grid": {"features": ["@supervised", "@unsupervised"]}}))
    assert len(with_features(spec_from_file(path), cache).configs()) == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UsageError, match=r"must have embeddings of @supervised, @unsupervised"):
        with_features(spec_from_file(path), empty)


def test_a_list_of_grids_is_the_runs_of_all_each_once(cache: Path, tmp_path: Path):
    path = tmp_path / "sweep.yaml"
    grids = [
        {"features": ["net", "mae"], "seed": "0-1"},
        {"features": "net", "encoder": ["gru", "none"], "seed": "0-1", "head_hidden": [[8, 4]]},
    ]
    path.write_text(yaml.safe_dump({"fixed": {"epochs": 2}, "grid": grids}))
    spec = spec_from_file(path)
    found = {(c.features, c.encoder, c.seed, c.head_hidden) for c in spec.configs()}
    usual = spec.configs()[0].head_hidden
    assert found == {((f,), "gru", s, usual) for f in ("net", "mae") for s in (0, 1)} | {
        (("net",), e, s, (8, 4)) for e in ("gru", "none") for s in (0, 1)
    }
    assert {c.epochs for c in spec.configs()} == {2}
    write_spec(tmp_path / "again.yaml", spec)
    assert spec_from_file(tmp_path / "again.yaml").configs() == spec.configs()


def test_a_list_of_grids_takes_no_cases(tmp_path: Path):
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump({"grid": [{"features": "a"}], "cases": [{"epochs": 1}]}))
    with pytest.raises(UsageError, match=r"a list of grids in .* stands alone"):
        spec_from_file(path)
    path.write_text(yaml.safe_dump({"grid": [{"features": "a"}, 3]}))
    with pytest.raises(UsageError, match="must be mappings"):
        spec_from_file(path)


@pytest.mark.heavy
def test_the_papers_study_is_three_tables_that_share_runs(cache: Path):
    configs = with_features(spec_from_file(PAPER), cache).configs()
    every = tuple(names(cache))
    whole = [c for c in configs if c.features == every and c.seed == 0]
    assert sorted((c.encoder, c.framework.partition(":")[0]) for c in whole) == [
        ("gru", "label-feedback"),
        ("gru", "sbe"),
        ("gru", "sbe-hsf"),
        ("gru", "se"),
        ("gru", "single"),
        ("lstm", "se"),
        ("none", "se"),
        ("transformer", "se"),
    ]
    assert {c.features for c in configs} == {(n,) for n in every} | {every, ("net", "net2")} | {
        group for group in expanded(["@random"], cache)
    }
