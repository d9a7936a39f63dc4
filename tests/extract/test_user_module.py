"""A user's own module as a backbone: from a file, or from an installed package."""

import hashlib
import importlib
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from abaw.core.errors import NameLookupError, UsageError
from abaw.extract import EmbeddingRequest, WeightsError, backbones_text, load_backbone
from abaw.extract.backbones import load_backbones
from abaw.extract.checkpoints import content_hash
from abaw.extract.preprocess import Preprocessor
from abaw.extract.requests import requests_from_command

from .test_backbones import faces

CODE = """
import torch
from torch import nn


class Net(nn.Module):
    abaw_settings = {"input_size": 32, "mean": [0.5] * 3, "std": [0.5] * 3, "channels": "bgr"}

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, stride=4)
        self.block = nn.Conv2d(8, 6, 3, padding=1)

    def forward(self, x):
        return self.block(torch.relu(self.stem(x)))


def net():
    return Net()


class Tokens(Net):
    num_prefix_tokens = 1

    def forward(self, x):
        tokens = super().forward(x).flatten(2).transpose(1, 2)
        return torch.cat([tokens.amax(1, keepdim=True), tokens], dim=1)


def own():
    found = Net()
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.fill_(0.5)
    return found


def plain():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 224 * 224, 4))


def nothing():
    return None


def fails():
    raise RuntimeError("no such thing")


class Wrong(Net):
    abaw_settings = {"input_sise": 32}


class Strict(Net):
    def forward(self, x):
        return x.view(1, 7)


def pair():
    class Pair(Net):
        def forward(self, x):
            return x, x

    return Pair()
"""


def write(folder: Path, code: str = CODE, name: str = "mine.py") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(code)
    return folder / name


def request(backbone: str, weights: object = "random:0", **settings) -> EmbeddingRequest:
    return EmbeddingRequest(name="x", backbone=backbone, weights=str(weights), settings=settings)


def embed(loaded, n: int = 2) -> torch.Tensor:
    with torch.inference_mode():
        return loaded.module(Preprocessor(loaded.spec)(faces(n)))


def test_a_function_in_a_file_is_a_backbone(tmp_path: Path):
    state = torch.get_rng_state()
    loaded = load_backbone(request(f"{write(tmp_path)}:net"))
    assert torch.equal(torch.get_rng_state(), state)
    spec = loaded.spec
    assert (spec.backbone, spec.input_size, spec.channels, spec.crop) == (
        "mine.py:net", 32, "bgr", "full",
    )  # fmt: skip
    assert (spec.pool, spec.dim) == ("mean", 6)
    assert spec.weights == content_hash(loaded.module.network.state_dict().items())
    assert spec.options["code"].startswith("sha256:")
    assert loaded.provenance["objective"] == "random"
    assert embed(loaded).shape == (2, 6)


def test_its_identity_is_that_of_its_code_and_its_tensors_not_of_its_folder(tmp_path: Path):
    here = load_backbone(request(f"{write(tmp_path / 'a')}:net")).spec
    there = load_backbone(request(f"{write(tmp_path / 'b')}:net")).spec
    changed = load_backbone(request(f"{write(tmp_path / 'c', CODE + '# more')}:net")).spec
    seeded = load_backbone(request(f"{tmp_path / 'a' / 'mine.py'}:net", "random:1")).spec
    assert here == there
    assert [name for name, *_ in here.differences(changed)] == ["options.code"]
    assert [name for name, *_ in here.differences(seeded)] == ["weights"]


def test_its_weights_are_its_own_or_come_from_a_file(tmp_path: Path):
    path = write(tmp_path)
    own = load_backbone(request(f"{path}:own", "own"))
    assert own.provenance["weights_source"] == "own"
    assert own.provenance["objective"] == "unknown"
    tensors = dict(own.module.network.state_dict())
    safetensors.torch.save_file(tensors, tmp_path / "w.safetensors")
    from_file = load_backbone(request(f"{path}:net", tmp_path / "w.safetensors"))
    assert from_file.spec.weights == own.spec.weights
    assert torch.equal(embed(from_file), embed(own))
    tensors.pop("block.bias")
    safetensors.torch.save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"mine\.py:net.*block\.bias"):
        load_backbone(request(f"{path}:net", tmp_path / "w.safetensors"))
    with pytest.raises(UsageError, match=r"own is for a module of your own.*iresnet18 is none"):
        load_backbone(request("iresnet18", "own"))


@pytest.mark.parametrize(
    ("factory", "settings", "pool", "dim"),
    [
        ("net", {}, "mean", 6),
        ("net", {"pool": "grid3"}, "grid3", 54),
        ("net", {"layer": "stem"}, "mean", 8),
        ("Tokens", {}, "cls", 6),
        ("Tokens", {"pool": "mean"}, "mean", 6),
        ("Tokens", {"pool": "grid3"}, "grid3", 54),
        ("plain", {}, "none", 4),
    ],
)
def test_pools_follow_the_form_of_its_output(tmp_path: Path, factory, settings, pool, dim):
    loaded = load_backbone(request(f"{write(tmp_path)}:{factory}", **settings))
    assert (loaded.spec.pool, loaded.spec.dim) == (pool, dim)
    assert embed(loaded).shape == (2, dim)


def test_embeddings_of_one_factory_share_its_network(tmp_path: Path):
    backbone = f"{write(tmp_path)}:net"
    first, second = load_backbones([request(backbone), request(backbone, layer="stem")])
    assert first.module.network is second.module.network
    assert first.module.network is not load_backbone(request(backbone)).module.network


@pytest.mark.parametrize(
    ("factory", "settings", "words"),
    [
        ("nett", {}, ("mine.py", "'nett'", "did you mean net")),
        ("nothing", {}, ("mine.py:nothing", "torch.nn.Module", "NoneType")),
        ("fails", {}, ("mine.py", "in line 47", "RuntimeError: no such thing")),
        ("Wrong", {}, ("'input_sise'", "input_size", "abaw_settings of mine.py:Wrong")),
        ("Strict", {}, ("mine.py:Strict", "(2, 3, 32, 32)", "RuntimeError")),
        ("pair", {}, ("mine.py:pair", "a tuple")),
        ("net", {"layer": "logits"}, ("no classifier",)),
        ("net", {"layer": "penultimate"}, ("no classifier",)),
        ("net", {"pool": "cls"}, ("a map", "'cls'")),
    ],
)
def test_what_does_not_work_is_said_with_its_place(tmp_path: Path, factory, settings, words):
    with pytest.raises(UsageError) as caught:
        load_backbone(request(f"{write(tmp_path)}:{factory}", **settings))
    assert not [word for word in words if word not in str(caught.value)], caught.value


def test_the_traceback_of_a_users_error_is_kept(tmp_path: Path):
    path = write(tmp_path, "def net(:\n")
    with pytest.raises(UsageError, match=r"line 1 of .*mine\.py: SyntaxError") as caught:
        load_backbone(request(f"{path}:net"))
    assert isinstance(caught.value.__cause__, SyntaxError)
    with pytest.raises(UsageError, match=r"none\.py does not"):
        load_backbone(request(f"{tmp_path / 'none.py'}:net"))


def test_a_file_may_import_its_neighbours(tmp_path: Path):
    write(tmp_path, CODE, "neighbour_of_mine.py")
    path = write(tmp_path, "from neighbour_of_mine import net\n", "here.py")
    before = list(sys.path)
    assert load_backbone(request(f"{path}:net")).spec.dim == 6
    assert sys.path == before
    del sys.modules["neighbour_of_mine"]


def test_a_neighbour_that_it_imports_is_part_of_its_identity(tmp_path: Path):
    write(tmp_path, CODE, "nets_of_mine.py")
    write(tmp_path, "not = imported", "unused_of_mine.py")
    path = write(tmp_path, "from nets_of_mine import net\n", "here.py")
    lazy = write(tmp_path, "def net():\n    import nets_of_mine\n    return nets_of_mine.net()\n")
    try:
        first = load_backbone(request(f"{path}:net")).spec
        write(tmp_path, "other = 1", "unused_of_mine.py")
        assert load_backbone(request(f"{path}:net")).spec == first
        before = load_backbone(request(f"{lazy}:net")).spec
        write(tmp_path, CODE.replace("torch.relu", "torch.tanh"), "nets_of_mine.py")
        for name, spec in ((path, first), (lazy, before)):
            after = load_backbone(request(f"{name}:net"))
            assert [name for name, *_ in spec.differences(after.spec)] == ["options.code"]
            assert embed(after).abs().max() > 0
        # What a file imports does not depend on what another one has imported before.
        alone = write(tmp_path, CODE, "alone.py")
        code = load_backbone(request(f"{alone}:net")).spec.options["code"]
        assert code == f"sha256:{hashlib.sha256(CODE.encode()).hexdigest()}"
    finally:
        sys.modules.pop("nets_of_mine", None)


def test_modules_that_the_program_itself_has_imported_stay_its_own(tmp_path: Path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path, CODE, "mine_and_yours.py")
    mine = importlib.import_module("mine_and_yours")
    path = write(tmp_path, "from mine_and_yours import net\n", "here.py")
    assert load_backbone(request(f"{path}:net")).spec.dim == 6
    assert sys.modules.pop("mine_and_yours") is mine


def test_a_file_without_its_folder_names_the_embedding():
    (made,) = requests_from_command("nets/mine.py:net", "random:0", None, None, [], None, [])
    assert (made.name, made.backbone) == ("mine-py-net", "nets/mine.py:net")


@pytest.fixture
def package(tmp_path: Path, monkeypatch):
    """An installed package that offers backbones, as pip leaves it."""
    write(tmp_path, CODE, "installed_mine.py")
    facts = tmp_path / "somebodys_nets-1.5.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: somebodys-nets\nVersion: 1.5\n")
    (facts / "entry_points.txt").write_text(
        "[abaw.backbones]\nmynet = installed_mine:net\nbroken = installed_mine:fails\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield
    sys.modules.pop("installed_mine", None)


@pytest.mark.usefixtures("package")
def test_an_installed_package_offers_backbones_by_name():
    loaded = load_backbone(request("mynet"))
    assert loaded.spec.backbone == "mynet"
    assert loaded.spec.options["code"] == "somebodys-nets 1.5"
    assert "mynet" in backbones_text()
    assert "somebodys-nets 1.5" in backbones_text()
    with pytest.raises(NameLookupError, match="did you mean mynet"):
        load_backbone(request("mynets"))
    with pytest.raises(UsageError, match=r"broken of somebodys-nets 1\.5.*RuntimeError: no such"):
        load_backbone(request("broken"))


def test_the_documented_example_works(tmp_path: Path):
    text = (Path(__file__).parents[2] / "docs" / "backbones.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    loaded = load_backbone(request(f"{write(tmp_path, code)}:my_net"))
    assert (loaded.spec.input_size, loaded.spec.pool, loaded.spec.dim) == (64, "mean", 32)


def test_the_list_tells_how_other_backbones_are_named():
    text = backbones_text()
    assert "timm/NAME" in text
    assert "FILE.py:FUNCTION" in text
    with pytest.raises(NameLookupError, match="write timm/resnet50"):
        load_backbone(request("resnet50"))
