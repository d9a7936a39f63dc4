"""What the system refuses to write: one sentence that names the place, exit code 1, no loss."""

import json
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from abaw.cli import main
from abaw.tests.temporal.made import write_cache
from abaw.tests.unprivileged import obey_permissions, permissions_hold

pytestmark = pytest.mark.heavy

SMALL = "--set projection=8 --set hidden_size=8 --set head_hidden=4 --set epochs=1 -q"
COMMANDS = {
    "sample": "sample LOCKED/x1",
    "extract": "extract FRAMES --backbone thumbnail --weights none -q --cache LOCKED",
    "extract, new": "extract FRAMES --backbone thumbnail --weights none -q --cache LOCKED/x2",
    "labels": "labels FILES --name new --cache LOCKED",
    "folds": "folds --name new --k 2 --cache LOCKED",
    "import": "cache import NPY --layout npy --name new --cache LOCKED",
    "import, labels": "cache import NPY --layout npy --name new --labels labels --cache LOCKED",
    "convert": "cache convert face_a --store zarr --cache LOCKED",
    "convert, name": "cache convert face_a --dtype float32 --name new --cache LOCKED",
    "merge": "cache merge LOCKED/face_a.h5 --name new --cache LOCKED",
    "rm, store": "cache rm face_b --yes --cache LOCKED",
    "rm, video": "cache rm face_a --video train/0 --yes --cache LOCKED",
    "export": "cache export face_a --layout npy --cache LOCKED --out LOCKED/x3",
    "train, out": f"temporal-train face_a {SMALL} --cache LOCKED --out LOCKED/x4",
    "train, run": f"temporal-train face_a {SMALL} --cache LOCKED --run LOCKED/x5",
    "sweep": f"temporal-sweep --features face_a --seed 0-1 {SMALL} --cache LOCKED --out LOCKED/x6",
    "predict": "temporal-predict RUN --split val --cache LOCKED --out LOCKED/x7.csv",
    "ensemble": "temporal-ensemble RUN --cache LOCKED --out LOCKED/x8",
    "report, page": "report RUN --cache LOCKED --html LOCKED/x9.html",
    "report, csv": "report RUN --cache LOCKED --csv LOCKED/x10.csv",
    "report, latex": "report RUN --cache LOCKED --latex LOCKED/x11.tex",
}
CHILD = """
import json, sys, traceback
from click.testing import CliRunner
from abaw.cli import main
for name, words in json.load(sys.stdin).items():
    result = CliRunner().invoke(main, words)
    error = result.exception
    bug = "" if isinstance(error, SystemExit | None) else "".join(traceback.format_exception(error))
    print(json.dumps([name, result.exit_code, result.stderr, bug]))
"""


WRITTEN_BELOW_X = [name for name, text in COMMANDS.items() if "LOCKED/x" in text]
"""Commands whose files are in nothing that there was before."""


@dataclass
class Project:
    """A cache, a run and what else the commands work on."""

    cache: Path
    places: dict[str, Path]

    def told(
        self, names: Iterable[str], restrict: Callable[[], None]
    ) -> dict[str, tuple[int, str, str]]:
        """Run commands in a child that is restricted first: name -> code, stderr, traceback."""
        asked = {}
        for name in names:
            text = COMMANDS[name]
            for short, place in self.places.items():
                text = text.replace(short, str(place))
            asked[name] = text.split()
        child = subprocess.run(
            [sys.executable, "-c", CHILD],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=restrict,
        )
        assert child.returncode == 0, child.stderr
        results = [json.loads(line) for line in child.stdout.splitlines()]
        return {name: (code, text, bug) for name, code, text, bug in results}

    def files(self) -> dict[Path, bytes]:
        """What is in the cache."""
        return {path: path.read_bytes() for path in self.cache.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("refused")
    cache = write_cache(folder / "locked")
    frames, npy, run = folder / "frames", folder / "npy", folder / "run"
    sizes = "--set n_train_videos=2 --set n_val_videos=1 --set n_test_videos=1 --set frames=3"
    for words in (
        ["sample", frames, *sizes.split()],
        ["temporal-train", "face_a", *SMALL.split(), "--cache", cache, "--run", run],
        ["cache", "export", "face_a", "--layout", "npy", "--cache", cache, "--out", npy],
    ):
        done = CliRunner().invoke(main, [str(word) for word in words])
        assert done.exit_code == 0, done.output
    places = {
        "LOCKED": cache,
        "FRAMES": frames / "cropped_aligned",
        "FILES": frames / "annotations",
        "NPY": npy,
        "RUN": run,
    }
    return Project(cache, places)


@pytest.fixture(scope="module")
def locked(project: Project) -> dict[str, tuple[int, str, str]]:
    """What commands say that may write in no folder."""
    before = project.files()
    folders = [project.cache, *(path for path in project.cache.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    try:
        return project.told(COMMANDS, obey_permissions)
    finally:
        for path in folders:
            path.chmod(0o755)
        assert project.files() == before


@pytest.fixture(scope="module")
def full(project: Project) -> dict[str, tuple[int, str, str]]:
    """What commands say that may write no more than 10 bytes a file."""

    def restrict() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))

    before = project.files()
    found = project.told(WRITTEN_BELOW_X, restrict)
    after = project.files()
    assert {path: after[path] for path in before} == before
    return found


@permissions_hold
@pytest.mark.parametrize("name", COMMANDS)
def test_a_place_that_may_not_be_written_to(locked, name: str):
    line = sentence(*locked[name])
    assert "Permission denied" in line
    assert re.search("give a place that you may read and write|name another --out", line)


@pytest.mark.parametrize("name", WRITTEN_BELOW_X)
def test_a_disk_without_room(full, name: str):
    line = sentence(*full[name])
    assert "File too large" in line
    assert "make room" in line


def sentence(code: int, text: str, bug: str) -> str:
    assert not bug, bug
    line = text.strip().splitlines()[-1]
    assert code == 1, line
    assert line.startswith("Error: ")
    assert "locked" in line
    return line
