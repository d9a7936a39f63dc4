"""The architecture of DESIGN as tests: who may import whom, and what loads what."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

MAY_IMPORT = {
    "core": set(),
    "cache": {"core"},
    "extract": {"cache", "core"},
    "temporal": {"cache", "core"},
    "sample": {"extract", "temporal", "cache", "core"},
}
KEPT_OUT = {"cache": {"torch", "timm", "torchvision"}, "core": {"timm", "h5py", "zarr"}}
PRETRAINING_MAY = {"temporal.losses", "temporal.metrics"}
"""The one exception: `extract/pretrain` learns with the losses and measures of stage 2."""


def imported(path: Path, root: Path = ROOT) -> set[str]:
    """Absolute dotted names, without the leading `abaw.`, of all that a file imports."""
    package = path.relative_to(root).parent.parts
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names |= {f"{stem}.{alias.name}".strip(".") for alias in node.names}
    return {name.removeprefix("abaw.") for name in names}


def forbidden_imports(package: str, root: Path = ROOT) -> list[str]:
    forbidden = set(MAY_IMPORT) - MAY_IMPORT[package] - {package} | KEPT_OUT.get(package, set())
    forbidden |= {"pipeline", *(path.stem for path in ROOT.glob("cli*.py"))}
    found = []
    for path in sorted((root / package).rglob("*.py")):
        where = path.relative_to(root)
        for name in sorted(imported(path, root)):
            head = name.split(".")[0]
            exempt = where.parts[:2] == ("extract", "pretrain") and any(
                name.startswith(allowed) for allowed in PRETRAINING_MAY
            )
            if head in forbidden and not exempt:
                found.append(f"{where} imports {name}")
            if package == "cache" and name.startswith("core.device"):
                found.append(f"{where} imports {name}")
            if package == "core" and head == "torch" and where.name != "device.py":
                found.append(f"{where} imports {name}")
    return found


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_package_imports_only_what_lies_below(package: str):
    found = forbidden_imports(package)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("temporal/data/x.py", "from ...extract import frames"),
        ("temporal/x.py", "from abaw.extract.frames import y"),
        ("temporal/x.py", "from .. import extract"),
        ("extract/x.py", "import abaw.temporal.train"),
        ("cache/x.py", "import torch.nn"),
        ("cache/x.py", "from ..core.device import resolve_device"),
        ("core/x.py", "from ..cache import open_store"),
        ("core/x.py", "import torch"),
        ("temporal/x.py", "from ..cli import main"),
    ],
)
def test_the_rule_sees_a_forbidden_import(tmp_path: Path, where: str, line: str):
    path = tmp_path / where
    path.parent.mkdir(parents=True)
    path.write_text(line + "\n")
    assert forbidden_imports(where.split("/")[0], tmp_path)


def modules_loaded_by(code: str) -> set[str]:
    script = f"{code}\nimport sys; print(*sorted(name.split('.')[0] for name in sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_help_loads_neither_torch_nor_a_store_library():
    code = "from abaw.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
    loaded = modules_loaded_by(code)
    assert not loaded & {"torch", "timm", "torchvision", "sklearn", "h5py", "zarr", "numpy"}


def test_opening_the_cache_package_loads_no_torch():
    assert "torch" not in modules_loaded_by("import abaw.cache")
