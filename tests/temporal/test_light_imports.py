"""A run loads what it uses and no more: its first step should not wait for other libraries."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .made import config, write_cache

UNUSED = (
    "PIL",
    "matplotlib",
    "optuna",
    "pandas",
    "pyarrow",
    "scipy",
    "simplejpeg",
    "sklearn",
    "sqlalchemy",
    "tensorflow",
    "timm",
    "torchvision",
    "zarr",
)


@pytest.mark.heavy
def test_a_run_loads_no_library_that_it_does_not_use(tmp_path: Path):
    cache = write_cache(tmp_path / "cache")
    code = (
        "import json, pathlib, sys\n"
        "from abaw.temporal.config import RunConfig\n"
        "from abaw.temporal.train import train\n"
        "config = RunConfig.from_dict(json.loads(sys.argv[1]), 'test')\n"
        "train(config, pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), progress=False)\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    settings = config(features=("face_a",), epochs=1).model_dump_json()
    found = subprocess.run(
        [sys.executable, "-c", code, settings, str(cache), str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = json.loads(found.stdout)
    assert "h5py" in loaded
    assert [name for name in UNUSED if name in loaded] == []
