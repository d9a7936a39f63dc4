"""A user's own encoder: from a file, or from an installed package."""

import hashlib
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from abaw.core.errors import NameLookupError, UsageError
from abaw.core.tasks import TASKS
from abaw.temporal.nets.build import build_network, check_networks
from abaw.temporal.nets.encoders import Encoder, encoder_identity, find_encoder
from abaw.temporal.nets.encoders.contract import EncoderContract
from abaw.temporal.nets.frameworks import FRAMEWORKS

from .nets import F, config, run

ROOT = Path(__file__).resolve().parents[2]
SHOWN = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "encoders.md").read_text(), re.DOTALL)

CODE = """
import torch
from torch import nn

from abaw.temporal.nets.encoders import Encoder


class Mine(Encoder):
    is_causal = True

    def __init__(self, n_features, config, layers):
        super().__init__()
        self.n_outputs = config.hidden_size
        self.layer = nn.Linear(n_features, config.hidden_size)

    def forward(self, features, is_frame, state=None):
        return self.layer(features).relu(), None


class Narrow(Mine):
    def forward(self, features, is_frame, state=None):
        return self.layer(features)[..., :-1], None


class Alone(Mine):
    def forward(self, features, is_frame, state=None):
        return self.layer(features)


class Folded(Mine):
    def forward(self, features, is_frame, state=None):
        return self.layer(features), (features[0], is_frame)


class Both(Mine):
    is_causal = False

    def forward(self, features, is_frame, state=None):
        return self.layer(features), features[:, -1]


class Sized(Mine):
    def __init__(self, n_features, size):
        super().__init__(n_features, size, 1)


class Unsaid(Encoder):
    def __init__(self, n_features, config, layers):
        super().__init__()
        self.n_outputs = "8"

    forward = Mine.forward


class Fails(Mine):
    def forward(self, features, is_frame, state=None):
        raise RuntimeError("no such thing")


class Plain(nn.Linear):
    def __init__(self, n_features, config, layers):
        super().__init__(n_features, 8)
"""


def write(folder: Path, code: str = CODE, name: str = "mine.py") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(code)
    return folder / name


@pytest.mark.heavy
class TestTheDocumentedEncoder(EncoderContract):
    @pytest.fixture(autouse=True, params=[1, 3])
    def _saved(self, tmp_path: Path, request):
        self.run = config(encoder=f"{write(tmp_path, SHOWN[0])}:Convolution")
        self.layers = request.param

    def build(self, n_features: int):
        return find_encoder(n_features, self.run, self.layers)[0]


@pytest.mark.heavy
def test_the_documented_test_file_runs(tmp_path: Path):
    for code in SHOWN:
        write(tmp_path, code, code.splitlines()[0].removeprefix("# "))
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "test_mine.py", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
    )
    n_tests = sum(name.startswith("test_") for name in dir(EncoderContract))
    assert f"{n_tests} passed" in result.stdout, result.stdout


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_framework_is_built_of_it(tmp_path: Path, framework: str):
    settings = config(encoder=f"{write(tmp_path)}:Mine", framework=framework)
    before = torch.get_rng_state()
    check_networks(settings)
    network = build_network(F, settings)
    assert torch.equal(torch.get_rng_state(), before)
    assert list(run(network, torch.randn(2, 3, F))) == list(TASKS)
    again = build_network(F, settings).state_dict()
    assert all(torch.equal(value, again[key]) for key, value in network.state_dict().items())


def test_its_identity_is_that_of_its_code_not_of_its_folder(tmp_path: Path):
    here, there = write(tmp_path / "a"), write(tmp_path / "b")
    edited = write(tmp_path / "c", f"{CODE}# more")
    first, second, third = (
        encoder_identity(config(encoder=f"{path}:Mine")) for path in (here, there, edited)
    )
    assert first.startswith("sha256:")
    assert first == second != third
    assert encoder_identity(config(encoder="gru")) is None


@pytest.mark.parametrize("where", ["", "        "])
def test_a_neighbour_that_it_imports_is_part_of_its_identity(tmp_path: Path, where: str):
    line = f"{where}import neighbour_of_my_encoder\n"
    code = (
        line + CODE
        if not where
        else CODE.replace("        return self", f"{line}        return self", 1)
    )
    write(tmp_path, "x = 1", "neighbour_of_my_encoder.py")
    write(tmp_path, "x = 1", "unused_by_my_encoder.py")
    settings = config(encoder=f"{write(tmp_path, code)}:Mine")
    try:
        first = encoder_identity(settings)
        write(tmp_path, "x = 2", "unused_by_my_encoder.py")
        assert encoder_identity(settings) == first
        write(tmp_path, "x = 2", "neighbour_of_my_encoder.py")
        assert encoder_identity(settings) != first
    finally:
        sys.modules.pop("neighbour_of_my_encoder", None)


def test_a_file_in_a_checkout_of_this_package_uses_the_package_that_runs():
    path = write(ROOT, name="encoder_of_a_test.py")
    try:
        encoder, code = find_encoder(F, config(encoder=f"{path}:Mine"), 1)
    finally:
        path.unlink()
    assert isinstance(encoder, Encoder)
    assert code == f"sha256:{hashlib.sha256(CODE.encode()).hexdigest()}"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Min", "mine.py must have a class 'Min', but has none; did you mean Mine"),
        ("Sized", r"called with \(n_features, config, layers\), but is Sized\(n_features, size\)"),
        ("Plain", "mine.py:Plain must be an abaw.*Encoder, but is a Plain that is none"),
        ("Unsaid", "n_outputs of the encoder mine.py:Unsaid must be an int.* but is '8'"),
        ("Narrow", r"must give \(2, 5, 8\).* features \(2, 5, 6\), but gives \(2, 5, 7\)"),
        ("Alone", r"must return \(outputs, state\), but returns a Tensor"),
        ("Folded", r"batch \(2\) first.* but holds a tensor of shape \(5, 6\)"),
        ("Both", "must return no state, for its is_causal is False"),
        ("Fails", "fails in line 57 of .*mine.py: RuntimeError: no such thing; mend it"),
    ],
)
def test_what_is_no_encoder_is_refused_before_data_are_read(tmp_path: Path, name, words):
    with pytest.raises(UsageError, match=words):
        check_networks(config(encoder=f"{write(tmp_path)}:{name}"))


def test_a_file_that_is_not_there_or_does_not_run_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match=r"file of the encoder .*none\.py does not"):
        check_networks(config(encoder=f"{tmp_path / 'none.py'}:Mine"))
    path = write(tmp_path, "class Mine(:\n")
    with pytest.raises(UsageError, match=r"line 1 of .*mine\.py: SyntaxError"):
        check_networks(config(encoder=f"{path}:Mine"))


def test_lanes_need_an_encoder_that_carries_its_state(tmp_path: Path):
    code = CODE.replace("is_causal = True", "is_causal = False", 1)
    path = write(tmp_path, code)
    check_networks(config(encoder=f"{path}:Mine", bidirectional=False))
    with pytest.raises(UsageError, match=r"feeding=lanes .*Mine has none to carry"):
        check_networks(config(encoder=f"{path}:Mine", bidirectional=False, feeding="lanes"))


@pytest.fixture
def package(tmp_path: Path, monkeypatch):
    """An installed package that offers encoders, as pip leaves it."""
    write(tmp_path, CODE, "installed_encoders.py")
    facts = tmp_path / "somebodys_encoders-1.5.dist-info"
    facts.mkdir()
    metadata = "Metadata-Version: 2.1\nName: somebodys-encoders\nVersion: 1.5\n"
    (facts / "METADATA").write_text(metadata)
    (facts / "entry_points.txt").write_text(
        "[abaw.encoders]\nmyown = installed_encoders:Mine\nbroken = installed_encoders:Fails\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield
    sys.modules.pop("installed_encoders", None)


@pytest.mark.usefixtures("package")
def test_an_installed_package_offers_encoders_by_name():
    settings = config(encoder="myown")
    check_networks(settings)
    assert list(run(build_network(F, settings), torch.randn(1, 2, F))) == list(TASKS)
    assert encoder_identity(settings) == "somebodys-encoders 1.5"
    with pytest.raises(NameLookupError, match="'myowns'; did you mean myown"):
        check_networks(config(encoder="myowns"))
    with pytest.raises(UsageError, match=r"broken of somebodys-encoders 1\.5.*RuntimeError: no"):
        check_networks(config(encoder="broken"))
