"""One network, several embeddings: one forward pass, each with its own frames and its own store."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from abaw.cache import open_store
from abaw.extract import EmbeddingRequest, load_backbone
from abaw.extract.backbones import load_backbones

from .made import OPTIONS, THUMBNAIL, assert_same, extract, request

pytestmark = pytest.mark.usefixtures("one_thread")

FACE = request("face", dtype="float32")
PAIR = ("thumbnail", "mirror")
DEEP = request("deep", dtype="float32", layer="features.denseblock1", pool="mean")


def counted_forwards(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by the batch size with every pass through a DenseFace's stem."""
    seen: list[int] = []
    forward = torch.nn.Conv2d.forward

    def counted(module: torch.nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        if module.in_channels == 1 and len(x) == OPTIONS["batch_size"]:  # loading tries a few
            seen.append(len(x))
        return forward(module, x)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", counted)
    return seen


@pytest.mark.heavy
def test_two_layers_of_one_network_cost_one_pass_and_equal_two_runs(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    passes = counted_forwards(monkeypatch)
    extract(tree, tmp_path / "together", FACE, DEEP)
    assert passes == [8] * 8  # 61 frames in batches of 8
    extract(tree, tmp_path / "apart", FACE)
    extract(tree, tmp_path / "apart", DEEP)
    assert len(passes) == 3 * 8
    for name in ("face", "deep"):
        assert_same(tmp_path / "together" / name, tmp_path / "apart" / name)


@pytest.mark.heavy
def test_embeddings_of_one_network_resume_from_where_each_was(tree: Path, tmp_path: Path):
    shutil.copytree(tree, tmp_path / "some")
    shutil.rmtree(tmp_path / "some" / "b")
    extract(tmp_path / "some", tmp_path / "c", FACE)
    shutil.rmtree(tmp_path / "some" / "a")
    extract(tmp_path / "some", tmp_path / "c", DEEP)
    both = extract(tree, tmp_path / "c", FACE, DEEP)
    assert [item.n_frames for item in both.embeddings] == [61 - 37 - 18, 61 - 18]
    extract(tree, tmp_path / "whole", FACE)
    extract(tree, tmp_path / "whole", DEEP)
    for name in ("face", "deep"):
        assert_same(tmp_path / "whole" / name, tmp_path / "c" / name)


def test_the_mirror_image_is_an_embedding_of_its_own(tree: Path, tmp_path: Path):
    mirror = request("mirror", "thumbnail", "none", flip="mirror")
    extract(tree, tmp_path / "c", THUMBNAIL, mirror)
    one, other = (
        open_store(tmp_path / "c" / name)["a"].embedding for name in ("thumbnail", "mirror")
    )
    faces = np.array(one).reshape(-1, 12, 12)
    np.testing.assert_array_equal(faces[:, :, ::-1].reshape(len(faces), -1), other)


def test_frames_outside_of_a_size_are_gaps_with_the_reason(tree: Path, tmp_path: Path):
    Image.new("RGB", (10, 40), "red").save(tree / "a" / "00003.png")
    limited = request("limited", "thumbnail", "none", min_side="16")
    summary = extract(tree, tmp_path / "c", limited, THUMBNAIL)
    assert [item.n_frames for item in summary.embeddings] == [60, 61]
    store = open_store(tmp_path / "c" / "limited")
    (failure,) = store.failures
    assert failure == ("a", 3, "shorter side of 10 pixels is below min_side=16")
    assert 3 not in store["a"].frame
    assert extract(tree, tmp_path / "c", limited).embeddings[0].n_current == 4
    full, part = (open_store(tmp_path / "c" / name)["a"] for name in ("thumbnail", "limited"))
    keep = full.frame != 3
    np.testing.assert_array_equal(full.embedding[keep], part.embedding)


def test_a_network_asked_for_twice_is_loaded_once():
    first, second = load_backbones([FACE, DEEP])
    assert first.module.network is second.module.network
    assert first.spec == load_backbone(FACE).spec


@pytest.mark.heavy
def test_a_network_of_timm_goes_all_the_way(tree: Path, tmp_path: Path):
    wanted = EmbeddingRequest(
        name="net", backbone="timm/resnet10t.c3_in1k", weights="random:0", settings={}
    )
    summary = extract(tree, tmp_path / "c", wanted)
    assert summary.embeddings[0].n_frames == 61
    store = open_store(tmp_path / "c" / "net")
    assert (store.spec.backbone, store.dim) == ("timm/resnet10t.c3_in1k", 512)
    assert extract(tree, tmp_path / "c", wanted).embeddings[0].n_forward == 0
