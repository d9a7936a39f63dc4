"""Several embeddings of one network come from one forward pass, and are those of each alone."""

import itertools

import pytest
import torch

from abaw.core.errors import UsageError
from abaw.extract import EmbeddingRequest, load_backbone
from abaw.extract.backbones import can_share, forward_all, load_backbones
from abaw.extract.preprocess import Preprocessor

from .test_backbones import faces

pytestmark = pytest.mark.heavy


def request(backbone: str, weights: str = "random:0", **settings) -> EmbeddingRequest:
    return EmbeddingRequest(name="x", backbone=backbone, weights=weights, settings=settings)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


FACE = [
    {},
    {"pool": "grid3"},
    {"layer": "logits"},
    {"layer": "features.denseblock1"},
    {"layer": "features.transition1.norm"},
    {"layer": "features.denseblock2.denselayer3.conv2", "pool": "grid3"},
    {"flip": "mirror"},
    {"flip": "mean"},
    {"layer": "features.denseblock1", "flip": "mean"},
]
VIT = [
    {},
    {"pool": "mean"},
    {"pool": "mean_then_norm"},
    {"pool": "grid3"},
    {"layer": "blocks.8"},
    {"layer": "blocks.8", "pool": "mean"},
    {"layer": "blocks.2.mlp.act", "pool": "grid3"},
    {"layer": "patch_embed"},
]


@pytest.mark.parametrize(
    ("backbone", "variants"),
    [
        ("denseface", FACE),
        pytest.param("mae_vit_small_patch16", VIT, marks=pytest.mark.heavy),
        pytest.param(
            "densenet121",
            [{}, {"layer": "logits"}, {"layer": "features.norm0"}, {"layer": "features.pool0"}],
            marks=pytest.mark.heavy,
        ),
        pytest.param(
            "iresnet18", [{}, {"layer": "layer3"}, {"layer": "fc"}], marks=pytest.mark.heavy
        ),
    ],
)
def test_one_pass_gives_what_each_gives_alone_bit_for_bit(backbone: str, variants):
    loaded = load_backbones([request(backbone, **settings) for settings in variants])
    embedders = [item.module for item in loaded]
    assert len({id(embedder.network) for embedder in embedders}) == 1
    frames = Preprocessor(loaded[0].spec)(faces())
    with torch.inference_mode():
        alone = [embedder(frames) for embedder in embedders]
        pairs = [*itertools.combinations(range(len(variants)), 2)][::4]
        for places in (range(len(variants)), [*range(len(variants))][::-1], *pairs):
            together = forward_all([embedders[place] for place in places], frames)
            for place, found in zip(places, together, strict=True):
                assert torch.equal(found, alone[place]), variants[place]
    for item, found in zip(loaded, alone, strict=True):
        assert found.shape == (len(frames), item.spec.dim)
    # No hook stays behind.
    assert not any(module._forward_hooks for module in embedders[0].network.modules())


def test_an_embedding_is_the_same_whether_its_network_is_shared_or_not():
    # The classifier that one of them reads is no part of the others.
    variants = [{}, {"layer": "logits"}, {"layer": "features.denseblock2"}]
    together = load_backbones([request("denseface", **settings) for settings in variants])
    frames = faces()
    for item, settings in zip(together, variants, strict=True):
        alone = load_backbone(request("denseface", **settings))
        assert item.spec == alone.spec
        assert item.provenance == alone.provenance
        prepared = Preprocessor(alone.spec)(frames)
        with torch.inference_mode():
            assert torch.equal(item.module(prepared), alone.module(prepared))
    assert together[0].spec.weights == together[2].spec.weights != together[1].spec.weights
    assert [item.spec.dim for item in together] == [342, 8, 300]


def test_what_is_not_the_same_network_is_not_shared():
    requests = [
        request("denseface"),
        request("denseface", pool="grid3"),
        request("denseface", weights="random:1"),
        request("iresnet18"),
        request("denseface", mean="0.5"),
        request("denseface", crop="0.875"),
        request("denseface", flip="mirror"),
        request("denseface", dtype="float32", min_side="40"),
    ]
    loaded = load_backbones(requests)
    assert [can_share(loaded[0], item) for item in loaded] == [
        True, True, False, False, False, False, False, True,
    ]  # fmt: skip
    assert can_share(loaded[6], loaded[6])
    assert not can_share(loaded[0], load_backbone(requests[0]))
    with pytest.raises(ValueError, match="one and the same network"):
        forward_all([loaded[0].module, loaded[2].module], torch.zeros(1, 1, 64, 64))


def test_a_pass_ends_where_nothing_further_is_wanted():
    early, final = load_backbones(
        [request("denseface", layer="features.denseblock1"), request("denseface")]
    )
    seen = []
    handle = final.module.network.features.norm3.register_forward_hook(lambda *_: seen.append(1))
    frames = torch.zeros(1, 1, 64, 64)
    with torch.inference_mode():
        forward_all([early.module], frames)
        assert not seen
        forward_all([early.module, final.module], frames)
        assert len(seen) == 1
    handle.remove()


@pytest.mark.parametrize(
    ("backbone", "settings", "words"),
    [
        ("denseface", {"layer": "features.denseblock2", "pool": "cls"}, ("a map", "mean", "'cls'")),
        ("iresnet18", {"layer": "fc", "pool": "mean"}, ("a vector", "none", "'mean'")),
        ("iresnet18", {"layer": "layer1", "pool": "mean_post"}, ("none or cls", "'mean_post'")),
        ("iresnet18", {"layer": "layer1.0.prelu.x"}, ("'layer1.0.prelu.x'", "did you mean")),
        pytest.param(
            "mae_vit_small_patch16", {"layer": "norm"}, ("run once", "is not run"),
            marks=pytest.mark.heavy,
        ),
        pytest.param(
            "mae_vit_small_patch16", {"layer": "logits"}, ("classifier", "random"),
            marks=pytest.mark.heavy,
        ),
    ],
)  # fmt: skip
def test_a_layer_that_gives_no_such_vector_is_refused(backbone: str, settings, words):
    from abaw.core.errors import AbawError

    with pytest.raises(AbawError) as caught:
        load_backbone(request(backbone, **settings))
    assert not [word for word in words if word not in str(caught.value)], caught.value


def test_penultimate_is_another_word_for_final():
    assert load_backbone(request("denseface", layer="penultimate")).spec.layer == "final"


def test_an_error_names_the_entry_that_it_is_about(tmp_path):
    file = tmp_path / "embeddings.yaml"
    entries = [
        EmbeddingRequest(
            name=f"face_{layer}",
            backbone="denseface",
            weights="random:0",
            settings={"layer": layer},
            file=file,
        )
        for layer in ("final", "features.denseblock7")
    ]
    with pytest.raises(UsageError, match=r"denseblock3.*'face_features\.denseblock7' in .*yaml"):
        load_backbones(entries)
