"""The backbones are the published architectures: golden vectors from their own code."""

from functools import partial

import numpy as np
import pytest
import torch

from abaw.cache import EmbeddingSpec
from abaw.extract.backbones import BACKBONES, Embedder, mae_vit, resolve_settings
from abaw.extract.backbones.loading import build_empty
from abaw.extract.matching import load_strictly
from abaw.extract.preprocess import Preprocessor

from ..golden_recipe import entry_tensor, error, golden_input, load, state_dict, values

pytestmark = pytest.mark.heavy

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}
"""float32: the reference's own error is at most 3e-6. float64 sees what float32 cannot, such as a
batch-norm eps of 2e-5."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Small networks on busy cores wait for their threads longer than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def built(name: str, tensors: dict[str, torch.Tensor], dtype: torch.dtype, **given) -> Embedder:
    kind = BACKBONES[name]
    settings = resolve_settings(kind, given)
    embedder = build_empty(kind, settings)
    tensors, _ = kind.adapt(tensors, settings)
    tensors = {key: item for key, item in tensors.items() if not kind.is_classifier_key(key)}
    load_strictly(embedder.network, tensors, name, "the golden recipe")
    return embedder.to(dtype).eval()


def compare(embedder, arrays, name: str, shape, dtype: torch.dtype, kinds=("sin", "cos")) -> None:
    for kind in kinds:
        key = f"{name}_{kind}" + ("_f64" if dtype == torch.float64 else "")
        with torch.inference_mode():
            found = embedder(golden_input(shape, kind).to(dtype))
        assert error(found, arrays[key]) <= TOLERANCE[dtype], key


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("name", ["iresnet18", pytest.param("iresnet100", marks=pytest.mark.heavy)])
def test_iresnet_is_insightfaces(name: str, dtype: torch.dtype):
    facts, arrays = load(name)
    embedder = built(name, state_dict(facts), dtype)
    compare(embedder, arrays, "out", (2, 3, 112, 112), dtype)


@pytest.mark.heavy
def test_iresnet_is_insightfaces_at_every_stage():
    facts, arrays = load("iresnet18")
    network = built("iresnet18", state_dict(facts), torch.float64).network
    seen: dict[str, torch.Tensor] = {}
    for stage in ("prelu", "layer1", "layer2", "layer3", "layer4", "bn2", "fc"):
        module = network.get_submodule(stage)
        module.register_forward_hook(lambda _m, _i, out, stage=stage: seen.update({stage: out}))
    with torch.inference_mode():
        network(golden_input((2, 3, 112, 112), "sin").double())
    for stage, out in seen.items():
        sampled = out.flatten()[torch.from_numpy(arrays[f"stage_{stage}_idx"].astype(np.int64))]
        assert error(sampled, arrays[f"stage_{stage}_f64"]) <= 1e-9, stage


@pytest.fixture(scope="module")
def mae():
    facts, arrays = load("mae_vit_base_patch16")
    return facts, arrays, state_dict(facts)


@pytest.mark.heavy
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_mae_vit_is_the_encoder_of_facebookresearch_mae(mae, dtype: torch.dtype):
    _, arrays, tensors = mae
    embedder = built("mae_vit_base_patch16", dict(tensors), dtype)
    for pool in ("cls", "mean_post", "mean_then_norm"):
        pooled = Embedder(
            embedder.network, embedder.trunk, partial(mae_vit._pooled, pool), embedder.dim
        )
        compare(pooled, arrays, pool, (2, 3, 224, 224), dtype)


@pytest.mark.heavy
def test_mae_vit_reads_the_position_table_instead_of_building_one(mae):
    facts, arrays, tensors = mae
    (entry,) = (e for e in facts["state_dict"] if e["key"] == "pos_embed")
    n = int(np.prod(entry["shape"]))
    table = facts["recipe"]["gain"] * values(entry["k"], n) / np.sqrt(n / entry["shape"][0])
    changed = dict(tensors, pos_embed=torch.tensor(table.reshape(entry["shape"]).astype("f4")))
    embedder = built("mae_vit_base_patch16", changed, torch.float64)
    compare(
        embedder,
        {k.removeprefix("pe_recipe_"): a for k, a in arrays.items() if "pe_" in k},
        "cls",
        (2, 3, 224, 224),
        torch.float64,
        kinds=("sin",),
    )


@pytest.mark.heavy
def test_grid3_averages_the_normed_patch_tokens_over_the_nine_parts_of_the_face(mae):
    _, _, tensors = mae
    embedder = built("mae_vit_base_patch16", dict(tensors), torch.float64, pool="grid3")
    x = golden_input((2, 3, 224, 224), "sin").double()
    with torch.inference_mode():
        found = embedder(x)
        tokens = embedder.network.forward_features(x)[:, 1:]  # normed patch tokens
    grid = tokens.reshape(2, 14, 14, 768)
    edges = [(int(np.floor(i * 14 / 3)), int(np.ceil((i + 1) * 14 / 3))) for i in range(3)]
    cells = [grid[:, a:b, c:d].mean(dim=(1, 2)) for a, b in edges for c, d in edges]
    assert error(found, torch.cat(cells, dim=1).numpy()) <= 1e-9


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_denseface_is_the_published_one(dtype: torch.dtype):
    facts, arrays = load("denseface")
    embedder = built("denseface", state_dict(facts), dtype)
    compare(embedder, arrays, "feat", (2, 1, 64, 64), dtype)


def test_denseface_frames_are_prepared_as_published():
    _, arrays = load("denseface")
    defaults = BACKBONES["denseface"].defaults
    spec = EmbeddingSpec(
        backbone="denseface",
        weights="none",
        input_size=64,
        position_table="none",
        crop="full",
        interpolation=defaults.interpolation,
        mean=(131.0754 / 255,),
        std=(47.858177 / 255,),
        channels="grey",
        layer="final",
        pool="mean",
        flip="no",
        dim=342,
        dtype="float32",
    )
    rgb = torch.from_numpy(arrays["prep_bgr_u8"][:, :, ::-1].copy())[None]
    found = Preprocessor(spec)(rgb)[0, 0].numpy()
    levels = np.abs(found - arrays["prep_norm_f64"]) * 47.858177
    # cv2 resizes whole numbers with 11-bit weights, which rounds some pixels to the next level.
    assert levels.max() <= 1.01
    assert (levels > 0.01).mean() < 0.15


@pytest.mark.parametrize("name", ["iresnet18", "denseface"])
def test_the_recipes_entries_are_those_on_record(name: str):
    facts, _ = load(name)
    broken = dict(facts["state_dict"][0], sum=facts["state_dict"][0]["sum"] + 1)
    with pytest.raises(AssertionError):
        entry_tensor(broken, facts["recipe"]["gain"])
