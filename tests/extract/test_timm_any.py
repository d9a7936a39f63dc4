"""Any network of timm: found by name, prepared as timm prepares it, drawn from a seed."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config

from abaw.cache import EmbeddingSpec
from abaw.core.errors import AbawError, NameLookupError, UsageError
from abaw.extract import EmbeddingRequest, WeightsError, load_backbone
from abaw.extract.backbones import BACKBONES, load_backbones, resolve_settings
from abaw.extract.backbones.draws import UniformDraws
from abaw.extract.backbones.timm_any import timm_kind
from abaw.extract.preprocess import Preprocessor

from .test_preprocess import SPEC, photo

pytestmark = pytest.mark.heavy


def request(model: str, weights: object = "random:0", **settings) -> EmbeddingRequest:
    return EmbeddingRequest(
        name="x", backbone=f"timm/{model}", weights=str(weights), settings=settings
    )


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def spec_of(model: str) -> EmbeddingSpec:
    defaults = timm_kind(f"timm/{model}").defaults
    names = ("input_size", "crop", "interpolation", "mean", "std")
    return EmbeddingSpec(**(vars(SPEC) | {name: getattr(defaults, name) for name in names}))


@pytest.mark.parametrize("shape", [(112, 112), (150, 150), (120, 90), (301, 407)])
@pytest.mark.parametrize(
    "model",
    [
        "resnet50.a1_in1k",  # bicubic, 0.95
        "resnet18.tv_in1k",  # bilinear, 0.875
        "vit_base_patch16_224.mae",  # bicubic, 0.9
        "vit_base_patch16_clip_224.openai",  # another mean
        "convnext_large_mlp.clip_laion2b_soup_ft_in12k_in1k_320",  # 1.0
        "eva_large_patch14_196.in22k_ft_in1k",  # squash, 1.0
        "tresnet_m.miil_in21k_ft_in1k",  # mean 0, std 1
    ],
)
def test_frames_are_prepared_as_timm_prepares_them(model: str, shape: tuple[int, int]):
    config = timm.get_pretrained_cfg(model)
    transform = create_transform(**resolve_data_config(pretrained_cfg=config.to_dict()))
    frame = np.ascontiguousarray(photo(max(shape), n=1)[0, : shape[0], : shape[1]])
    spec = spec_of(model)
    expected = transform(Image.fromarray(frame)).numpy()
    found = Preprocessor(spec)(torch.from_numpy(frame)[None])[0].numpy()
    assert found.shape == expected.shape == (3, spec.input_size, spec.input_size)
    levels = np.abs(found - expected) * np.array(spec.std)[:, None, None] * 255
    # Pillow rounds between its two passes and holds 8-bit weights: one level, rarely two.
    assert levels.max() <= 2.01
    assert (levels > 1.01).mean() < 0.001
    assert levels.mean() < 0.25


def test_squash_with_a_fraction_is_timms():
    frame = np.ascontiguousarray(photo(200, n=1)[0, :, :140])
    settings = {"input_size": (3, 112, 112), "interpolation": "bicubic", "crop_pct": 0.8}
    transform = create_transform(**settings, crop_mode="squash", mean=(0,) * 3, std=(1,) * 3)
    expected = transform(Image.fromarray(frame)).numpy() * 255
    changes = {"crop": "squash:0.8", "interpolation": "bicubic", "input_size": 112}
    spec = EmbeddingSpec(**(vars(SPEC) | changes))
    found = Preprocessor(spec)(torch.from_numpy(frame)[None])[0].numpy() * 255
    assert np.abs(found - expected).max() <= 2.01


@pytest.mark.parametrize(
    ("model", "kind", "words"),
    [
        ("resnet5", NameLookupError, ("'resnet5'", "did you mean", "resnet50")),
        ("resnet50.a1_in1", NameLookupError, ("'resnet50.a1_in1'", "resnet50.a1_in1k")),
        ("deepseek_vit_412m", UsageError, ("center or squash", "border", "another model")),
    ],
)
def test_a_model_that_cannot_be_taken_is_refused(model: str, kind, words):
    with pytest.raises(kind) as caught:
        load_backbone(request(model))
    assert not [word for word in words if word not in str(caught.value)], caught.value


@pytest.mark.parametrize(
    ("model", "size", "words"),
    [
        ("test_vit", 100, ("multiple", "16 pixels", "100")),
        ("swin_tiny_patch4_window7_224", 50, ("multiple", "4 pixels", "50")),
    ],
)
def test_an_input_size_that_does_not_fit_is_refused(model: str, size: int, words):
    with pytest.raises(UsageError) as caught:
        load_backbone(request(model, input_size=size))
    assert not [word for word in words if word not in str(caught.value)], caught.value


def test_a_config_gives_settings_and_settings_given_replace_it():
    kind = timm_kind("timm/resnet50.a1_in1k")
    assert (kind.defaults.crop, kind.hub_id) == ("0.95", "timm/resnet50.a1_in1k")
    settings = resolve_settings(kind, {"crop": "full", "input_size": 112})
    assert (settings.crop, settings.input_size) == ("full", 112)
    with pytest.raises(UsageError, match=r"0\.875, or squash:0\.95, but got '2'"):
        resolve_settings(kind, {"crop": "2"})


def test_a_seed_is_one_set_of_weights_and_leaves_torchs_generator_alone():
    state = torch.get_rng_state()
    first = load_backbone(request("test_resnet"))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    again, other = (load_backbone(request("test_resnet", f"random:{seed}")) for seed in (0, 1))
    torch.set_rng_state(state)
    assert first.spec == again.spec
    assert first.spec.weights != other.spec.weights
    assert first.provenance["objective"] == "random"
    # Stores of `random:0` exist: an initialisation that changes makes all of them strangers.
    assert first.spec.weights.startswith("sha256:47dfa2b1dc9e38e1")


@pytest.mark.parametrize("model", ["test_vit", "test_resnet", "test_convnext", "test_efficientnet"])
def test_uniform_draws_have_the_spread_of_timms_own(model: str):
    torch.manual_seed(0)
    own = timm.create_model(model)
    with UniformDraws(0):
        drawn = timm.create_model(model)
    for key, tensor in own.state_dict().items():
        found = drawn.state_dict()[key].float()
        if tensor.numel() < 500 or tensor.float().std() == 0:
            continue
        assert found.std() == pytest.approx(tensor.std().item(), rel=0.15), key
        assert found.abs().max() <= found.std() * 1.9, key  # no tails: uniform


@pytest.mark.parametrize(
    ("model", "settings", "dim", "pool"),
    [
        ("test_resnet", {}, 96, "own"),
        ("test_resnet", {"layer": "logits"}, 1000, "own"),
        ("test_resnet", {"pool": "grid3"}, 864, "grid3"),
        ("test_resnet", {"layer": "layer2"}, 48, "mean"),
        ("test_vit", {}, 64, "own"),
        ("test_vit", {"pool": "mean"}, 64, "mean"),
        ("test_vit", {"layer": "blocks.3", "pool": "grid3"}, 576, "grid3"),
        ("test_vit", {"layer": "blocks.3"}, 64, "cls"),
        ("swin_tiny_patch4_window7_224", {"pool": "grid3"}, 9 * 768, "grid3"),
        ("swin_tiny_patch4_window7_224", {"layer": "layers.1"}, 192, "mean"),
    ],
)  # fmt: skip
def test_pools_and_layers_follow_the_networks_form(model: str, settings, dim: int, pool: str):
    loaded = load_backbone(request(model, **settings))
    assert (loaded.spec.dim, loaded.spec.pool) == (dim, pool)


def test_tokens_that_are_not_in_rows_have_no_grid():
    with pytest.raises(UsageError, match=r"tokens of shape .* pool must be mean or own, but got"):
        load_backbone(request("hiera_tiny_224", pool="grid3"))


@pytest.mark.heavy
def test_the_mean_of_a_map_whose_channels_come_last_is_timms_own():
    name = "swin_tiny_patch4_window7_224"
    own, mean = load_backbones([request(name), request(name, pool="mean")])
    x = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(own.module(x), mean.module(x))


def test_logits_and_penultimate_are_timms_own_and_share_a_network():
    logits, final, mean = load_backbones(
        [
            request("test_resnet", layer="logits"),
            request("test_resnet", layer="penultimate"),
            request("test_resnet", pool="mean"),
        ]
    )
    network = final.module.network
    assert logits.module.network is network is mean.module.network
    x = torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(logits.module(x), network(x))
        expected = network.forward_head(network.forward_features(x), pre_logits=True)
        assert torch.equal(final.module(x), expected)
        torch.testing.assert_close(mean.module(x), expected)
    assert final.spec == load_backbone(request("test_resnet")).spec


def test_weights_of_a_file_are_loaded_strictly_and_the_classifier_left_out(tmp_path):
    torch.manual_seed(1)
    whole = timm.create_model("test_resnet", num_classes=7).eval()
    torch.save(whole.state_dict(), tmp_path / "w.pth")
    final, logits = load_backbones(
        [
            request("test_resnet", tmp_path / "w.pth"),
            request("test_resnet", tmp_path / "w.pth", layer="logits"),
        ]
    )
    assert final.provenance["left_out"] == ["fc"]
    assert "left_out" not in logits.provenance
    x = torch.randn(2, 3, 160, 160)
    with torch.inference_mode():
        torch.testing.assert_close(logits.module(x), whole(x))
    alone = load_backbone(request("test_resnet", tmp_path / "w.pth"))
    assert alone.spec == final.spec
    headless = {k: v for k, v in whole.state_dict().items() if not k.startswith("fc.")}
    torch.save(headless, tmp_path / "no_head.pth")
    assert load_backbone(request("test_resnet", tmp_path / "no_head.pth")).spec == final.spec
    with pytest.raises(WeightsError, match=r"fc\.weight.*no_head\.pth has none"):
        load_backbone(request("test_resnet", tmp_path / "no_head.pth", layer="logits"))


def test_tables_outside_the_state_dict_are_kept(tmp_path):
    # Swin's relative positions are in no state dict; built on the meta device they would be lost.
    torch.manual_seed(1)
    name = "swin_tiny_patch4_window7_224"
    own = timm.create_model(name, num_classes=0).eval()
    torch.save(own.state_dict(), tmp_path / "w.pth")
    loaded = load_backbone(request(name, tmp_path / "w.pth"))
    x = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.module(x), own(x))


@pytest.mark.heavy
def test_random_weights_through_which_nothing_arrives_are_refused():
    with pytest.raises(WeightsError, match=r"efficientnet_b0.*differ from frame to frame.*float16"):
        load_backbone(request("efficientnet_b0"))


def test_a_vits_table_is_resampled_only_on_request(tmp_path):
    torch.manual_seed(1)
    own = timm.create_model("test_vit", num_classes=0).eval()
    torch.save(own.state_dict(), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"position_table=interpolate"):
        load_backbone(request("test_vit", tmp_path / "w.pth", input_size=96))
    resampled = load_backbone(
        request("test_vit", tmp_path / "w.pth", input_size=96, position_table="interpolate")
    )
    assert resampled.spec.position_table == "interpolated"
    # The identity is that of the weights as stored: no resampling on any machine is part of it.
    stored = load_backbone(request("test_vit", tmp_path / "w.pth"))
    assert resampled.spec.weights == stored.spec.weights
    assert stored.spec.position_table == "stored"
    expected = timm.layers.resample_abs_pos_embed(own.pos_embed, [6, 6], num_prefix_tokens=1)
    torch.testing.assert_close(resampled.module.network.pos_embed, expected.detach())
    with pytest.raises(AbawError, match=r"position_table=interpolate.*from a file"):
        load_backbone(request("test_vit", position_table="interpolate"))


@pytest.mark.heavy
@pytest.mark.parametrize(
    "model", ["resnet50.a1_in1k", "convnext_tiny", "vit_small_patch16_224", "densenet121"]
)
def test_common_networks_can_be_drawn(model: str):
    loaded = load_backbone(request(model))
    assert loaded.spec.backbone == f"timm/{model}"
    assert loaded.module.network.num_features == loaded.spec.dim


def test_registered_names_are_left_alone():
    assert not any(name.startswith("timm/") for name in BACKBONES)
