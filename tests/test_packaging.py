"""What is shipped, and that a checkout works whatever its folder is called."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("core", "cache", "extract", "temporal", "sample")
MODULES = (
    "__init__.py",
    "__main__.py",
    "cli.py",
    "cli_cache.py",
    "cli_common.py",
    "cli_ensemble.py",
    "cli_folds.py",
    "cli_sweep.py",
    "cli_temporal.py",
)
SHIPPED = ("pyproject.toml", "README.md", "LICENSE", *MODULES)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The package's files in a folder whose name is no Python name, as GitHub's zips make."""
    folder = tmp_path / "x-1.2"
    folder.mkdir()
    for name in SHIPPED:
        shutil.copy(ROOT / name, folder / name)
    for name in (*PARTS, "tests", "bench", "docs"):
        ignore = shutil.ignore_patterns("__pycache__", "golden", "results")
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    return folder


def test_every_package_folder_is_listed_to_be_shipped():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        ".".join(("abaw", *path.parent.relative_to(ROOT).parts))
        for part in PARTS
        for path in (ROOT / part).rglob("__init__.py")
    }
    assert set(listed) == found | {"abaw"}


def test_a_checkout_in_a_folder_of_any_name_runs(checkout: Path):
    links = checkout / ".types"
    links.mkdir()
    (links / "abaw").symlink_to("..")
    result = subprocess.run(
        [sys.executable, "-c", "import abaw, abaw.cli, abaw.cache; print(abaw.__file__)"],
        env={**os.environ, "PYTHONPATH": str(links)},
        cwd=checkout.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(result.stdout.strip()).resolve() == checkout / "__init__.py"


@pytest.mark.heavy
def test_the_wheel_holds_the_package_and_nothing_else(checkout: Path, tmp_path: Path):
    build = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    command = [sys.executable, "-m", *build, str(tmp_path), str(checkout)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"abaw"}
    inside = {name.split("/")[1] for name in names if name.startswith("abaw/")}
    assert inside == {*MODULES, *PARTS}
    assert {"abaw/cache/README.md", "abaw/temporal/reporting/page.css"} <= set(names)
