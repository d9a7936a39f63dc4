"""Keys that may be missing or left over, classifiers, and position tables of other sizes."""

from pathlib import Path

import pytest
import timm
import torch

from abaw.core.errors import UsageError
from abaw.extract import EmbeddingRequest, WeightsError, load_backbone
from abaw.extract.backbones import load_backbones
from abaw.extract.backbones.loading import LoadedBackbone
from abaw.extract.preprocess import Preprocessor

from .test_backbones import faces
from .test_checkpoints import Tensors, fine_tuned, save, tensors_of

pytestmark = pytest.mark.heavy


def load(name: str, weights: object, missing=(), unexpected=(), **settings) -> LoadedBackbone:
    request = EmbeddingRequest(
        name="x",
        backbone=name,
        weights=str(weights),
        settings=settings,
        allow_missing=tuple(missing),
        allow_unexpected=tuple(unexpected),
    )
    return load_backbone(request)


@pytest.fixture(scope="module")
def face() -> Tensors:
    return tensors_of("denseface")


def test_left_over_keys_are_allowed_by_pattern_and_recorded(tmp_path: Path, face):
    extra = {"margin.weight": torch.zeros(3), "aux.0.bias": torch.zeros(1)}
    path = save(tmp_path / "w.pth", face | extra)
    with pytest.raises(WeightsError, match=r"2 unexpected keys \(margin\.weight, aux\.0\.bias\)"):
        load("denseface", path)
    with pytest.raises(WeightsError, match=r"1 unexpected keys \(aux\.0\.bias\)"):
        load("denseface", path, unexpected=["margin.*"])
    loaded = load("denseface", path, unexpected=["margin.*", "aux.?.bias"])
    assert loaded.spec == load("denseface", "random:0").spec
    assert loaded.provenance["allowed_unexpected"] == ["margin.weight", "aux.0.bias"]
    assert loaded.provenance["keys_loaded"] == len(face)
    # A pattern for the one kind of mismatch allows none of the other.
    with pytest.raises(WeightsError, match="2 unexpected keys"):
        load("denseface", path, missing=["*"])


def test_missing_keys_are_allowed_where_the_embedding_does_not_depend_on_them(tmp_path, face):
    early = {key: item for key, item in face.items() if "denseblock3" not in key}
    path = save(tmp_path / "w.pth", early)
    layer = "features.denseblock1"
    with pytest.raises(WeightsError, match=r"keys missing \(features\.denseblock3"):
        load("denseface", path, layer=layer)
    loaded = load("denseface", path, missing=["features.denseblock3.*"], layer=layer)
    whole = load("denseface", "random:0", layer=layer)
    frames = Preprocessor(loaded.spec)(faces())
    with torch.inference_mode():
        torch.testing.assert_close(loaded.module(frames), whole.module(frames), rtol=0, atol=0)
    lacking = {key for key in face if key not in early and "num_batches" not in key}
    assert set(loaded.provenance["allowed_missing"]) == lacking
    # What was not loaded is no part of the identity, and holds nothing.
    assert loaded.spec.weights != whole.spec.weights
    state = loaded.module.network.state_dict()
    assert all(not state[key].any() for key in lacking)


@pytest.mark.parametrize(
    ("key", "settings"),
    [
        ("features.denseblock3.denselayer16.conv2.weight", {}),
        ("features.norm3.running_var", {}),
        ("features.norm3.bias", {"pool": "grid3"}),
        ("features.conv0.weight", {"layer": "features.denseblock1"}),
    ],
)
def test_missing_keys_that_the_embedding_depends_on_are_refused(tmp_path, face, key, settings):
    path = save(tmp_path / "w.pth", {name: item for name, item in face.items() if name != key})
    with pytest.raises(WeightsError) as caught:
        load("denseface", path, missing=["features.*"], **settings)
    assert f"lacks {key}, on which the embedding" in str(caught.value)
    assert "--allow-missing" in str(caught.value)


def test_shared_networks_are_checked_for_each_of_their_embeddings(tmp_path: Path, face):
    path = save(tmp_path / "w.pth", {k: v for k, v in face.items() if "norm3" not in k})
    early, final = (
        EmbeddingRequest(
            name="x",
            backbone="denseface",
            weights=str(path),
            settings=settings,
            allow_missing=("features.norm3.*",),
        )
        for settings in ({"layer": "features.denseblock1"}, {})
    )
    assert load_backbones([early])[0].spec.dim == 216
    with pytest.raises(WeightsError, match=r"lacks features\.norm3\.weight"):
        load_backbones([early, final])


@pytest.mark.heavy
@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda t: {"state_dict": t}, id="state_dict"),
        pytest.param(
            lambda t: {"state_dict": {f"module.{k}": v for k, v in t.items()}, "epoch": 1},
            id="data-parallel",
        ),
        pytest.param(
            lambda t: {"epoch": 3, "state_dict_backbone": t, "state_optimizer": {"lr": 0.1}},
            id="insightface-checkpoint",
        ),
        pytest.param(
            lambda t: t | {"weight": torch.zeros(9, 512), "head.kernel": torch.zeros(512, 9)},
            id="arcface-head",
        ),
        pytest.param(
            lambda t: {
                "state_dict": {f"module.backbone.{k}": v for k, v in t.items()}
                | {"module.head.weight": torch.zeros(9, 512)}
            },
            id="backbone-beside-head",
        ),
    ],
)
def test_iresnet_reads_checkpoints_of_face_recognition_training(tmp_path: Path, wrap):
    loaded = load("iresnet18", save(tmp_path / "r18.pth", wrap(tensors_of("iresnet18"))))
    assert loaded.spec == load("iresnet18", "random:0").spec


def test_the_classifier_of_denseface_is_read_for_its_logits_only(tmp_path: Path, face):
    torch.manual_seed(0)
    head = {"fc.weight": torch.randn(5, 342), "fc.bias": torch.randn(5)}
    path = save(tmp_path / "w.pth", face | head)
    logits, final = load("denseface", path, layer="logits"), load("denseface", path)
    assert (logits.spec.dim, final.spec.dim) == (5, 342)
    frames = Preprocessor(final.spec)(faces())
    with torch.inference_mode():
        expected = final.module(frames) @ head["fc.weight"].T + head["fc.bias"]
        torch.testing.assert_close(logits.module(frames), expected)
    assert final.provenance["left_out"] == ["classifier"]
    assert "left_out" not in logits.provenance
    with pytest.raises(WeightsError, match=r"classifier\.weight.*bare\.pth has none"):
        load("denseface", save(tmp_path / "bare.pth", face), layer="logits")


@pytest.mark.heavy
def test_the_classifier_of_a_fine_tuned_vit_is_read_for_its_logits(tmp_path: Path):
    vit = tensors_of("mae_vit_small_patch16")
    path = save(tmp_path / "tuned.pth", {"model": fine_tuned(vit)})
    loaded = load("mae_vit_small_patch16", path, layer="logits", pool="mean_then_norm")
    assert (loaded.spec.dim, loaded.spec.layer) == (7, "logits")
    # A block's tokens do not go through the norm that these weights have for the mean only.
    assert load("mae_vit_small_patch16", path, layer="blocks.3").spec.dim == 384


@pytest.mark.heavy
def test_a_mae_table_is_resampled_only_on_request(tmp_path: Path):
    vit = tensors_of("mae_vit_small_patch16")
    path = save(tmp_path / "mae.pth", {"model": vit})
    with pytest.raises(WeightsError, match=r"--set position_table=interpolate"):
        load("mae_vit_small_patch16", path, input_size=112)
    loaded = load("mae_vit_small_patch16", path, input_size=112, position_table="interpolate")
    assert loaded.spec.position_table == "interpolated"
    assert loaded.spec.weights == load("mae_vit_small_patch16", path).spec.weights
    expected = timm.layers.resample_abs_pos_embed(vit["pos_embed"], [7, 7], num_prefix_tokens=1)
    torch.testing.assert_close(loaded.module.network.pos_embed, expected)
    # Where it fits, it is read as it is.
    same = load("mae_vit_small_patch16", path, position_table="interpolate")
    assert same.spec.position_table == "stored"
    odd = save(tmp_path / "odd.pth", vit | {"pos_embed": torch.zeros(1, 100, 384)})
    with pytest.raises(WeightsError, match=r"square of patches.*100 rows"):
        load("mae_vit_small_patch16", odd, input_size=112)


def test_a_network_without_a_table_has_none_to_resample(tmp_path: Path, face):
    path = save(tmp_path / "w.pth", face)
    with pytest.raises(UsageError, match="denseface has none; leave position_table out"):
        load("denseface", path, position_table="interpolate")


def test_a_licence_that_is_given_goes_before_that_of_the_file(tmp_path: Path, face):
    path = save(tmp_path / "w.safetensors", face)
    request = EmbeddingRequest(name="x", backbone="denseface", weights=str(path), settings={})
    assert load_backbone(request).provenance["licence"] == "MIT"
    stated = EmbeddingRequest(
        name="x", backbone="denseface", weights=str(path), settings={}, licence="research only"
    )
    assert load_backbone(stated).provenance["licence"] == "research only"
