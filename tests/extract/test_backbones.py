"""What every registered backbone keeps to, and what each family adds."""

import subprocess
import sys

import numpy as np
import pytest
import timm
import torch

from abaw.core.errors import NameLookupError, UsageError
from abaw.extract import EmbeddingRequest, list_backbones, load_backbone
from abaw.extract.backbones import BACKBONES, backbones_text, resolve_settings
from abaw.extract.backbones.loading import LoadedBackbone, build_empty
from abaw.extract.checkpoints import content_hash
from abaw.extract.preprocess import Preprocessor

pytestmark = pytest.mark.heavy

SMALL = ("thumbnail", "denseface", "densenet121", "iresnet18", "mae_vit_small_patch16")
QUICK = ("thumbnail", "denseface", "iresnet18")
LARGE = ("iresnet200", "mae_vit_large_patch16", "mae_vit_huge_patch14")
BATCH = 3


def marked(names: tuple[str, ...] | list[str]) -> list:
    """Names as parameters; what takes long is heavy, the largest networks are slow."""
    marks = {
        name: pytest.mark.slow if name in LARGE else pytest.mark.heavy
        for name in names
        if name not in QUICK
    }
    return [pytest.param(name, marks=marks.get(name, ())) for name in names]


def load(name: str, weights: str | None = None, **settings) -> LoadedBackbone:
    weights = weights or ("none" if name == "thumbnail" else "random:0")
    return load_backbone(
        EmbeddingRequest(name="x", backbone=name, weights=weights, settings=settings)
    )


def faces(n: int = BATCH, side: int = 112, seed: int = 0) -> torch.Tensor:
    """Faces of a kind, uint8 (n, side, side, 3): one head; light, eyes and mouth differ."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side - 0.5
    head = 150 * np.exp(-(((x / 0.33) ** 2 + (y / 0.42) ** 2) ** 2))
    found = []
    for _ in range(n):
        opened, smile = rng.uniform(0.01, 0.08, 2)
        light, dark = rng.uniform(0.7, 1.1), rng.uniform(20, 60)
        eyes = sum(
            np.exp(-(((x - c) / 0.07) ** 2 + ((y + 0.1) / opened) ** 2)) for c in (-0.15, 0.15)
        )
        mouth = np.exp(-((x / 0.15) ** 2 + ((y - 0.22 + smile * x * x * 30) / 0.03) ** 2))
        grey = dark + light * head * (1 - 0.7 * eyes - 0.6 * mouth) + rng.normal(0, 2, y.shape)
        found.append(np.stack([grey, 0.85 * grey, 0.75 * grey], axis=2))
    return torch.from_numpy(np.clip(found, 0, 255).astype(np.uint8))


def embed(loaded: LoadedBackbone, frames: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return loaded.module(Preprocessor(loaded.spec)(frames))


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Small networks on busy cores wait for their threads longer than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class BackboneContract:
    """What stage 1 relies on; `loaded` is the backbone, `found` its embeddings of `faces()`."""

    def test_it_gives_one_float32_vector_of_the_stated_length_a_frame(self, loaded, found):
        assert found.shape == (BATCH, loaded.spec.dim)
        assert found.dtype == torch.float32

    def test_the_list_tells_its_length(self, loaded):
        listed = {info.name: info.dim for info in list_backbones()}
        assert listed[loaded.spec.backbone] == loaded.spec.dim

    def test_float16_holds_its_embeddings_and_they_differ_from_face_to_face(self, found):
        half = found.half()
        assert torch.isfinite(half).all()
        step = np.spacing(half.abs().amax(dim=0).numpy()).astype(np.float32)
        alive = half.float().std(dim=0).numpy() > 8 * step
        # A random DenseNet has a tenth of its dimensions switched off by the last ReLU.
        assert alive.mean() > 0.75

    def test_an_embedding_depends_neither_on_batch_mates_nor_on_its_place(self, loaded, found):
        frames = faces()
        mates = torch.cat([frames[2:], torch.zeros_like(frames[:1]), frames[:1]])
        # Same shape, same kernels, so the same sums in the same order.
        torch.testing.assert_close(embed(loaded, mates)[[2, 0]], found[[0, 2]], rtol=0, atol=0)

    def test_a_frame_alone_is_the_frame_in_a_batch_up_to_rounding(self, loaded, found):
        alone = embed(loaded, faces()[1:2])[0]
        assert (alone - found[1]).abs().max() <= 1e-4 * found.abs().max()

    def test_it_is_frozen(self, loaded):
        assert not any(module.training for module in loaded.module.modules())
        assert not any(parameter.requires_grad for parameter in loaded.module.parameters())
        before = content_hash(loaded.module.network.state_dict().items())
        embed(loaded, faces())
        assert content_hash(loaded.module.network.state_dict().items()) == before

    def test_its_identity_is_that_of_its_tensors(self, loaded):
        tensors = dict(loaded.module.network.state_dict())
        expected = content_hash(tensors.items()) if tensors else "none"
        assert loaded.spec.weights == expected
        # A tensor outside the state dict would be neither loaded nor part of the identity.
        buffers = {name for name, _ in loaded.module.network.named_buffers()}
        assert buffers <= set(tensors)


@pytest.fixture(scope="module", params=marked(sorted(BACKBONES)))
def loaded(request) -> LoadedBackbone:
    return load(request.param)


@pytest.fixture(scope="module")
def found(loaded) -> torch.Tensor:
    return embed(loaded, faces())


class TestEveryBackbone(BackboneContract):
    """All registered names."""


def test_the_list_tells_what_loading_gives():
    listed = {info.name: info for info in list_backbones()}
    assert listed.keys() == set(BACKBONES)
    dims = {name: listed[name].dim for name in SMALL}
    assert dims == {
        "thumbnail": 144,
        "denseface": 342,
        "densenet121": 1024,
        "iresnet18": 512,
        "mae_vit_small_patch16": 384,
    }
    sizes = {name: listed[name].input_size for name in SMALL}
    assert sizes == {
        "thumbnail": 12,
        "denseface": 64,
        "densenet121": 112,
        "iresnet18": 112,
        "mae_vit_small_patch16": 224,
    }
    assert all(name in backbones_text() for name in BACKBONES)


@pytest.mark.parametrize("name", [name for name in BACKBONES if name.startswith("densenet")])
def test_pretrained_is_what_timm_means_by_it(name: str):
    config = timm.get_pretrained_cfg(name)
    assert BACKBONES[name].hub_id == config.hf_hub_id
    assert (BACKBONES[name].defaults.mean, BACKBONES[name].defaults.std) == (
        config.mean,
        config.std,
    )


def test_listing_the_backbones_loads_no_network_library():
    # timm takes as long to import as torch: the list would take twice the time.
    code = "import sys; from abaw.extract import backbones_text; backbones_text(); "
    code += "sys.exit('timm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "sha256"),
    [
        ("denseface", "240c427699a94"),
        ("iresnet18", "bd1de6823eed5f59"),
        pytest.param("mae_vit_small_patch16", "c39aa51189cc99a7", marks=pytest.mark.heavy),
    ],
)
def test_a_seed_is_one_set_of_weights_for_good(name: str, sha256: str):
    # Stores of `random:0` exist: an initialisation that changes makes all of them strangers.
    assert load(name).spec.weights.startswith(f"sha256:{sha256}")


def test_seeds_differ_and_torchs_own_generator_is_left_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, second = load("denseface"), load("denseface", "random:1")
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)
    assert first.spec.weights != second.spec.weights
    assert load("denseface").spec == first.spec
    assert first.provenance["objective"] == "random"


@pytest.mark.parametrize(
    "name",
    ["denseface", "iresnet18", pytest.param("mae_vit_small_patch16", marks=pytest.mark.heavy)],
)
def test_a_seed_sets_every_number_of_the_network(name: str):
    kind = BACKBONES[name]
    network = build_empty(kind, kind.defaults).network
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.fill_(7)
    kind.initialise(network, torch.Generator().manual_seed(0))
    left = [key for key, tensor in network.state_dict().items() if (tensor == 7).all()]
    assert not left


@pytest.mark.heavy
def test_activations_of_a_random_iresnet_neither_vanish_nor_grow_with_depth():
    norms = {}
    for name in ("iresnet18", "iresnet50"):
        norms[name] = embed(load(name), faces(1)).pow(2).mean().sqrt().item()
    assert all(0.05 < norm < 20 for norm in norms.values()), norms


def test_flip_is_the_mirror_image_or_the_mean_of_both():
    frames = faces()
    plain, mirrored, mean = (load("denseface", flip=flip) for flip in ("no", "mirror", "mean"))
    torch.testing.assert_close(
        embed(mirrored, frames), embed(plain, frames.flip(2)), rtol=1e-5, atol=1e-6
    )
    both = (embed(plain, frames) + embed(mirrored, frames)) / 2
    torch.testing.assert_close(embed(mean, frames), both, rtol=1e-5, atol=1e-6)
    assert mean.spec.differences(plain.spec) == [("flip", "mean", "no")]
    assert mirrored.spec.differences(plain.spec) == [("flip", "mirror", "no")]


@pytest.mark.heavy
def test_grid3_of_a_small_input_keeps_where_things_are():
    loaded = load("mae_vit_small_patch16", pool="grid3", input_size=112)
    assert loaded.spec.dim == 9 * 384
    assert loaded.spec.input_size == 112
    assert loaded.spec.position_table == "built"
    frames = faces(2)
    frames[1] = frames[0]
    frames[1, 80:, :40] = 255  # the lower left ninth
    change = (embed(loaded, frames).diff(dim=0)[0]).reshape(9, 384).norm(dim=1)
    assert change.argmax() == 6


@pytest.mark.heavy
def test_mean_is_short_for_mean_post_and_not_an_identity_of_its_own():
    specs = [load("mae_vit_small_patch16", pool=pool).spec for pool in ("mean", "mean_post")]
    assert specs[0].pool == "mean_post"
    assert specs[0].fingerprint == specs[1].fingerprint


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("iresnet18", {"poool": "none"}, ("'poool'", "did you mean pool?")),
        ("iresnet18", {"pool": "cls"}, ("none", "'cls'")),
        ("iresnet18", {"input_size": "224"}, ("112", "224")),
        ("iresnet18", {"layer": "layer9"}, ("'layer9'", "did you mean layer", "layer4")),
        ("iresnet18", {"layer": "layer3.1.prelux"}, ("layer3.1.prelux", "layer3.1.prelu or")),
        ("iresnet18", {"layer": "logits"}, ("no classifier", "submodule")),
        ("thumbnail", {"layer": "penultimate"}, ("no classifier", "submodule")),
        ("iresnet18", {"mean": "0.5"}, ("3 numbers", "1")),
        ("iresnet18", {"mean": "a,b,c"}, ("0.5,0.5,0.5", "'a,b,c'")),
        ("iresnet18", {"mean": "nan,0,0"}, ("nan,0,0",)),
        ("iresnet18", {"std": "0.5,0,0.5"}, ("above 0", "0.5, 0.0, 0.5")),
        ("iresnet18", {"dtype": "int8"}, ("float16 or float32", "'int8'")),
        ("iresnet18", {"interpolation": "nearest"}, ("bilinear", "'nearest'")),
        ("iresnet18", {"flip": "maybe"}, ("no or mirror or mean", "'maybe'")),
        ("denseface", {"mean": "0.5,0.5,0.5"}, ("1 number", "3")),
        ("densenet121", {"input_size": "16"}, ("at least 32", "16")),
        ("densenet121", {"input_size": "big"}, ("whole number", "'big'")),
        ("mae_vit_small_patch16", {"input_size": "100"}, ("multiple of 16", "100")),
        ("mae_vit_small_patch16", {"input_size": "32", "pool": "grid3"}, ("48", "grid3", "32")),
    ],
)
def test_a_wrong_setting_is_refused_with_what_is_allowed(name: str, settings, words):
    with pytest.raises(UsageError) as caught:
        load(name, **settings)
    missing = [word for word in (name.split("_")[0], *words) if word not in str(caught.value)]
    assert not missing or missing == ["mae"], (missing, str(caught.value))


def test_settings_read_text_and_yaml_alike():
    kind = BACKBONES["iresnet18"]
    text = {"mean": "0.4,0.5,0.6", "flip": "mean", "dtype": "float32"}
    yaml = {"mean": [0.4, 0.5, 0.6], "flip": "mean", "dtype": "float32"}
    assert resolve_settings(kind, text) == resolve_settings(kind, yaml)


@pytest.mark.parametrize(
    ("given", "flip"),
    [(True, "mirror"), ("true", "mirror"), (False, "no"), ("False", "no"), ("Mean", "mean")],
)
def test_flip_reads_yes_and_no_as_mirror_and_not(given, flip):
    assert resolve_settings(BACKBONES["iresnet18"], {"flip": given}).flip == flip


@pytest.mark.parametrize(
    ("name", "weights", "words"),
    [
        ("iresnet18", "none", ("needs weights", "random:SEED", "pretrained", "hf-hub:")),
        ("thumbnail", "random:0", ("no weights", "--weights none", "random:0")),
        ("iresnet18", "random", ("FILE", "random:SEED", "'random'")),
        ("iresnet18", "random:x", ("random:SEED", "'random:x'")),
        ("iresnet18", f"random:{2**63}", ("random:SEED", str(2**63 - 1))),
        ("iresnet18", "pretrained", ("no public weights", "iresnet18", "FILE")),
        ("mae_vit_small_patch16", "pretrained", ("no public weights", "mae_vit_small_patch16")),
        ("iresnet18", "hf-hub:not an id", ("timm/densenet121.ra_in1k", "'not an id'")),
    ],
)
def test_a_wrong_kind_of_weights_is_refused_with_the_kinds(name: str, weights: str, words):
    with pytest.raises(UsageError) as caught:
        load(name, weights)
    assert not [word for word in words if word not in str(caught.value)], str(caught.value)


def test_an_unknown_backbone_is_answered_with_the_nearest():
    with pytest.raises(NameLookupError, match=r"'iresnet1000'.*iresnet100"):
        load("iresnet1000")


def test_an_error_names_the_entry_of_the_file_that_asks_for_it(tmp_path):
    request = EmbeddingRequest(
        name="face_a",
        backbone="iresnet18",
        weights="random:0",
        settings={"pool": "max"},
        file=tmp_path / "embeddings.yaml",
    )
    with pytest.raises(UsageError, match=r"'max'.*'face_a' in .*embeddings\.yaml"):
        load_backbone(request)
