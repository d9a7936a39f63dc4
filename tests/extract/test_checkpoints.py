"""Weight files: what is read, what is refused, and what is never run."""

import argparse
import pickle
import time
from fractions import Fraction
from pathlib import Path

import pytest
import safetensors.torch
import torch

from abaw.extract import EmbeddingRequest, WeightsError, load_backbone
from abaw.extract.backbones import BACKBONES, resolve_settings
from abaw.extract.backbones.loading import LoadedBackbone, build_empty
from abaw.extract.checkpoints import content_hash, read_weights_file

pytestmark = pytest.mark.heavy

Tensors = dict[str, torch.Tensor]


def load(name: str, weights: object, **settings) -> LoadedBackbone:
    request = EmbeddingRequest(name="x", backbone=name, weights=str(weights), settings=settings)
    return load_backbone(request)


def tensors_of(name: str, seed: int = 0, **settings) -> Tensors:
    """The tensors of a random network, as a training script would save them."""
    kind = BACKBONES[name]
    network = build_empty(kind, resolve_settings(kind, settings)).network
    kind.initialise(network, torch.Generator().manual_seed(seed))
    return {key: tensor.clone() for key, tensor in network.state_dict().items()}


@pytest.fixture(scope="module")
def face() -> Tensors:
    return tensors_of("denseface")


@pytest.fixture(scope="module")
def vit() -> Tensors:
    return tensors_of("mae_vit_small_patch16")


def save(path: Path, value: object) -> Path:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(value, path, metadata={"license": "MIT"})
    else:
        torch.save(value, path)
    return path


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda t: t, id="plain"),
        pytest.param(lambda t: {"model": t, "epoch": 3}, id="model"),
        pytest.param(lambda t: {"state_dict": t, "best": 0.5}, id="state_dict"),
        pytest.param(lambda t: {"model_state_dict": t}, id="model_state_dict"),
        pytest.param(lambda t: {f"module.{k}": v for k, v in t.items()}, id="data-parallel"),
        pytest.param(lambda t: {"backbone." + k: v for k, v in t.items()}, id="backbone"),
        pytest.param(
            lambda t: {"model": {"module.backbone." + k: v for k, v in t.items()}}, id="all"
        ),
        pytest.param(
            lambda t: {k: v for k, v in t.items() if "num_batches" not in k}, id="no-counters"
        ),
    ],
)
def test_equal_tensors_are_one_identity_however_they_are_wrapped(tmp_path: Path, face, wrap):
    loaded = load("denseface", save(tmp_path / "w.pth", wrap(face)))
    assert loaded.spec == load("denseface", "random:0").spec
    assert loaded.provenance["objective"] == "supervised"
    assert loaded.provenance["weights_source"] == "w.pth"


def test_a_pth_and_a_safetensors_file_of_equal_tensors_are_one_identity(tmp_path: Path, face):
    files = [save(tmp_path / f"w{suffix}", face) for suffix in (".pth", ".safetensors", ".bin")]
    loaded = [load("denseface", file) for file in files]
    assert len({item.spec.fingerprint for item in loaded}) == 1
    assert loaded[1].provenance["licence"] == "MIT"
    hashes = {item.provenance["weights_file_sha256"] for item in loaded[:2]}
    assert len(hashes) == 2


def test_one_changed_number_is_another_identity(tmp_path: Path, face):
    changed = dict(face)
    key = "features.norm3.running_var"
    changed[key] = changed[key].clone()
    changed[key][7] += 1e-6
    spec = load("denseface", save(tmp_path / "w.pth", changed)).spec
    assert [name for name, *_ in spec.differences(load("denseface", "random:0").spec)] == [
        "weights"
    ]


def test_the_hash_tells_keys_types_and_shapes_apart():
    one = torch.arange(6.0)
    hashes = [
        content_hash([("a", one)]),
        content_hash([("b", one)]),
        content_hash([("a", one.view(2, 3))]),
        content_hash([("a", one.view(torch.int32))]),
        content_hash([("a", one), ("b", one)]),
    ]
    assert len(set(hashes)) == len(hashes)
    # Neither order nor memory layout counts.
    spread = torch.arange(12.0).view(6, 2)[:, 0] / 2
    assert content_hash([("b", one), ("a", spread)]) == hashes[4]


def test_the_classifier_of_denseface_is_left_out_and_reported(tmp_path: Path, face):
    whole = {**face, "classifier.weight": torch.zeros(8, 342), "classifier.bias": torch.zeros(8)}
    loaded = load("denseface", save(tmp_path / "model_step_9.pt", whole))
    assert loaded.spec == load("denseface", "random:0").spec
    assert loaded.provenance["keys_left_out"] == 2
    assert loaded.provenance["left_out"] == ["classifier"]


@pytest.mark.heavy
def test_torchvisions_older_densenet_keys_are_read(tmp_path: Path):
    old = {}
    for key, value in tensors_of("densenet121").items():
        parts = key.split(".")
        parts = [
            f"{part[:-1]}.{part[-1]}" if i == 3 and part[:-1] in ("norm", "conv") else part
            for i, part in enumerate(parts)
        ]
        old[".".join(parts)] = value
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    old["classifier.weight"] = torch.zeros(1000, 1024)
    loaded = load("densenet121", save(tmp_path / "densenet121.pth", old))
    assert loaded.spec == load("densenet121", "random:0").spec


@pytest.mark.heavy
def test_a_pretraining_checkpoint_of_mae_is_read_with_its_namespace(tmp_path: Path, vit):
    checkpoint = {
        "model": {
            **vit,
            "mask_token": torch.zeros(1, 1, 512),
            "decoder_embed.weight": torch.zeros(512, 384),
            "decoder_pos_embed": torch.zeros(1, 197, 512),
        },
        "optimizer": {"state": {0: {"step": 1, "exp_avg": torch.zeros(3)}}, "param_groups": []},
        "epoch": 799,
        "args": argparse.Namespace(lr=1e-3, model="mae_vit_small_patch16", mask_ratio=0.75),
    }
    loaded = load("mae_vit_small_patch16", save(tmp_path / "mae.pth", checkpoint))
    assert loaded.spec.weights == load("mae_vit_small_patch16", "random:0").spec.weights
    assert loaded.spec.position_table == "stored"
    assert loaded.provenance["objective"] == "unsupervised"
    assert loaded.provenance["left_out"] == ["decoder_embed", "decoder_pos_embed", "mask_token"]
    assert loaded.provenance["keys_loaded"] == len(vit)


def fine_tuned(vit: Tensors) -> Tensors:
    """As MAE's fine-tuning with global pooling saves it: `fc_norm` for `norm`, and a head."""
    renamed = {f"fc_{k}" if k.startswith("norm.") else k: v for k, v in vit.items()}
    return {**renamed, "head.weight": torch.zeros(7, 384), "head.bias": torch.zeros(7)}


@pytest.mark.heavy
def test_weights_fine_tuned_on_the_mean_token_are_read_for_that_pool(tmp_path: Path, vit):
    path = save(tmp_path / "tuned.pth", {"model": fine_tuned(vit)})
    loaded = load("mae_vit_small_patch16", path, pool="mean_then_norm")
    assert loaded.spec.weights == load("mae_vit_small_patch16", "random:0").spec.weights
    assert loaded.provenance["objective"] == "supervised"
    assert loaded.provenance["left_out"] == ["head"]
    with pytest.raises(WeightsError, match=r"fc_norm.*pool=cls.*pool=mean_then_norm"):
        load("mae_vit_small_patch16", path)


@pytest.mark.heavy
def test_a_position_table_of_another_size_is_refused(tmp_path: Path, vit):
    path = save(tmp_path / "mae.pth", {"model": vit})
    with pytest.raises(WeightsError) as caught:
        load("mae_vit_small_patch16", path, input_size=112)
    for word in ("input_size=112", "50 rows", "197 rows", "--set input_size=224"):
        assert word in str(caught.value)


def test_weights_of_another_architecture_are_refused_with_keys_and_counts(tmp_path: Path, face):
    path = save(tmp_path / "w.pth", face)
    with pytest.raises(WeightsError) as caught:
        load("iresnet18", path)
    n_missing = sum(not k.endswith("num_batches_tracked") for k in tensors_of("iresnet18"))
    for word in (
        "w.pth",
        "iresnet18",
        f"{n_missing} keys missing (conv1.weight",
        f"{len(face)} unexpected keys (features.conv0.weight",
    ):
        assert word in str(caught.value)


@pytest.mark.heavy
def test_weights_of_another_depth_and_width_are_refused(tmp_path: Path):
    path = save(tmp_path / "r18.safetensors", tensors_of("iresnet18"))
    with pytest.raises(WeightsError, match=r"iresnet34.*keys missing \(layer1\.2\."):
        load("iresnet34", path)
    narrow = tensors_of("iresnet18")
    narrow["fc.weight"] = torch.zeros(512, 64)
    path = save(tmp_path / "narrow.pth", narrow)
    with pytest.raises(WeightsError, match=r"fc\.weight \(512, 64\) instead of \(512, 25088\)"):
        load("iresnet18", path)


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path, face):
    broken = {**face, "features.norm3.bias": torch.full((342,), torch.nan)}
    with pytest.raises(WeightsError, match=r"w\.pth.*finite.*features\.norm3\.bias"):
        load("denseface", save(tmp_path / "w.pth", broken))


class Trap:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("form", ["torch", "torch-legacy", "pickle"])
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, face, suffix: str, form: str):
    sprung = tmp_path / "sprung"
    path = tmp_path / f"trap{suffix}"
    value = {"model": face, "args": Trap(sprung)}
    if form == "pickle":
        path.write_bytes(pickle.dumps({"args": Trap(sprung)}))
    else:
        torch.save(value, path, _use_new_zipfile_serialization=form == "torch")
    with pytest.raises(WeightsError) as caught:
        load("denseface", path)
    message = str(caught.value)
    assert path.name in message
    assert "\n" not in message
    assert "weights_only=False" not in message
    assert not sprung.exists()
    pickle.loads(pickle.dumps(Trap(sprung)))  # the trap does work
    assert sprung.exists()


def test_no_class_but_tensors_and_the_one_namespace_is_let_in(tmp_path: Path, face):
    path = save(tmp_path / "w.pth", {"model": face, "args": Fraction(1, 3)})
    with pytest.raises(WeightsError, match=r"fractions\.Fraction.*refused"):
        load("denseface", path)
    # Reading one file lets nothing into later ones, nor into the rest of the process.
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"PK\x03\x04broken"])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, suffix: str, content: bytes):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"w\{suffix}") as caught:
        read_weights_file(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_truncated_file_is_refused(tmp_path: Path, face, suffix: str):
    path = save(tmp_path / f"w{suffix}", face)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(WeightsError, match=rf"w\{suffix}.*cannot be read"):
        load("denseface", path)


@pytest.mark.parametrize("value", [[1, 2], {"epoch": 3}, torch.zeros(3)])
def test_a_checkpoint_without_a_state_dict_is_refused(tmp_path: Path, value):
    with pytest.raises(WeightsError, match=r"w\.pth must hold a state dict"):
        read_weights_file(save(tmp_path / "w.pth", value))


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path):
    with pytest.raises(WeightsError, match=r"none\.pth must exist.*hf-hub:"):
        load("denseface", tmp_path / "none.pth")
    with pytest.raises(WeightsError, match=r"denseface must be a file.*folder"):
        load("denseface", tmp_path)


@pytest.mark.parametrize("weights", ["pretrained", "hf-hub:timm/densenet121.ra_in1k"])
def test_without_a_network_the_hub_is_given_up_soon_and_in_one_sentence(
    tmp_path: Path, weights: str, monkeypatch
):
    import huggingface_hub.constants as hub

    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "ENDPOINT", "http://127.0.0.1:9")  # where nobody listens
    start = time.monotonic()
    with pytest.raises(WeightsError, match=r"timm/densenet121\.ra_in1k.*download the file") as got:
        load("densenet121", weights)
    assert time.monotonic() - start < 8
    assert "\n" not in str(got.value)
