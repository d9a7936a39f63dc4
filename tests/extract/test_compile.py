"""`--compile`: the same embeddings but for last digits, and a sentence where it cannot be."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from abaw.cache import open_store
from abaw.core.errors import UsageError

from .made import arrays, extract, request, write_tree

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.heavy]

CODE = """
import torch
from torch import nn

def net():
    layers = nn.Conv2d(3, 32, 8, stride=8), nn.BatchNorm2d(32), nn.GELU(), nn.AdaptiveAvgPool2d(4)
    found = nn.Sequential(*layers)
    found.abaw_settings = {"input_size": 64}
    return found
"""


@pytest.fixture
def mine(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(CODE)
    return f"{tmp_path / 'mine.py'}:net"


def test_a_compiled_network_gives_the_same_and_the_store_stays_so(mine: str, tmp_path: Path):
    tree = write_tree(tmp_path / "frames", {"a": 11, "b": 7})
    net = request("net", mine, dtype="float32")
    extract(tree, tmp_path / "plain", net)
    extract(tree, tmp_path / "fast", net, compile=True)
    plain, fast = arrays(tmp_path / "plain" / "net"), arrays(tmp_path / "fast" / "net")
    assert plain.keys() == fast.keys()
    for name, values in plain.items():
        # Sums in another order: float32 has 7 digits.
        np.testing.assert_allclose(fast[name], values, rtol=1e-5, atol=1e-6)
    # A resume compiles without being told; a store begun without is never mixed.
    more = write_tree(tmp_path / "more", {"c": 3})
    extract([tree, more], tmp_path / "fast", net)
    store = open_store(tmp_path / "fast" / "net")
    assert store.run_settings["compile"] is True
    assert len(store) == 3
    with pytest.raises(UsageError, match="begun without --compile"):
        extract([tree, more], tmp_path / "plain", net, compile=True)


def test_without_a_compiler_it_is_refused_before_a_store_is_begun(mine: str, tmp_path: Path):
    tree = write_tree(tmp_path / "frames", {"a": 2})
    command = [sys.executable, "-m", "abaw", "extract", str(tree), "--backbone", mine, "-q"]
    command += ["--weights", "random:0", "--cache", str(tmp_path / "c"), "--name", "x", "--compile"]
    environment = {
        **os.environ,
        "CXX": "/nowhere/g++",
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor"),
    }
    result = subprocess.run(
        [*command, "--device", "cpu"], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1, result.stderr
    assert "--compile needs" in result.stderr
    assert "C++ compiler" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list((tmp_path / "c").glob("x.h5*"))
